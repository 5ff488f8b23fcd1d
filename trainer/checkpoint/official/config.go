package official

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// ConfigName is the file that the official training writes beside its checkpoints.
const ConfigName = "all_config.yaml"

// MaxConfig is far more than a configuration needs.
const MaxConfig = 1 << 20

// config is the part of all_config.yaml that says how the model computes. Fields that are absent have the defaults of
// their class, which are ours too.
type config struct {
	Arch struct {
		Name string `json:"name"`
		Loss struct {
			Type string `json:"loss_type"`
		} `json:"loss"`
		HCycles      int32    `json:"H_cycles"`
		LCycles      int32    `json:"L_cycles"`
		HLayers      int32    `json:"H_layers"`
		LLayers      int32    `json:"L_layers"`
		HiddenSize   int32    `json:"hidden_size"`
		NumHeads     int32    `json:"num_heads"`
		Expansion    float64  `json:"expansion"`
		PuzzleDim    *int32   `json:"puzzle_emb_ndim"`
		PuzzleLen    *int32   `json:"puzzle_emb_len"`
		NoContinue   *bool    `json:"no_ACT_continue"`
		MLP          bool     `json:"mlp_t"`
		PosEncodings string   `json:"pos_encodings"`
		MaxSteps     int32    `json:"halt_max_steps"`
		Exploration  *float64 `json:"halt_exploration_prob"`
		Epsilon      *float64 `json:"rms_norm_eps"`
		Theta        *float64 `json:"rope_theta"`
	} `json:"arch"`
}

// classes are those that our architectures compute the same as.
var classes = map[string]v1alpha1.Architecture{
	"HierarchicalReasoningModel_ACTV1":  v1alpha1.ArchitectureHRM,
	"TinyRecursiveReasoningModel_ACTV1": v1alpha1.ArchitectureTRM,
	"Model_ACTV2":                       v1alpha1.ArchitectureTransformer,
}

// The constants that a configuration could change, and ours.
const (
	epsilon = 1e-5
	theta   = 10000
)

// ParseConfig reads what an all_config.yaml says about the model; what it does not say has zero values.
func ParseConfig(raw []byte) (v1alpha1.ModelSpec, error) {
	var c config
	var spec v1alpha1.ModelSpec
	if len(raw) > MaxConfig {
		return spec, fmt.Errorf("%d bytes are too many for a configuration", len(raw))
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return spec, fmt.Errorf("not the %s that training writes, in which everything has its value: %w", ConfigName, err)
	}
	a := &c.Arch
	_, class, _ := strings.Cut(a.Name, "@")
	architecture, ok := classes[class]
	if !ok {
		return spec, fmt.Errorf("arch.name is %.200q, want one that ends in @ and one of %s: other architectures compute something else",
			a.Name, strings.Join(slices.Sorted(maps.Keys(classes)), ", "))
	}
	for _, constant := range []struct {
		name string
		have *float64
		want float64
	}{{"rms_norm_eps", a.Epsilon, epsilon}, {"rope_theta", a.Theta, theta}} {
		if constant.have != nil && *constant.have != constant.want {
			return spec, fmt.Errorf("arch.%s is %g, and %g is all that is known here", constant.name, *constant.have, constant.want)
		}
	}
	spec = v1alpha1.ModelSpec{
		Architecture: architecture, HiddenSize: a.HiddenSize, NumHeads: a.NumHeads,
		PuzzleEmbeddingSize: a.PuzzleDim, ACT: v1alpha1.ACTSpec{MaxSteps: a.MaxSteps},
	}
	c.recurrence(&spec)
	// Other expansions are rounded to a width: the tensors show it.
	if e := a.Expansion; e == math.Trunc(e) && math.Abs(e) < math.MaxInt32 {
		spec.Expansion = int32(e)
	}
	if a.Exploration != nil {
		spec.ACT.ExplorationProbability = v1alpha1.Decimal(strconv.FormatFloat(*a.Exploration, 'g', -1, 64))
	}
	var err error
	if spec.PositionEncoding, err = named("arch.pos_encodings", a.PosEncodings, map[string]v1alpha1.PositionEncoding{
		"": "", "rope": v1alpha1.PositionEncodingRoPE, "learned": v1alpha1.PositionEncodingLearned, "none": v1alpha1.PositionEncodingNone,
	}); err != nil {
		return spec, err
	}
	spec.Loss, err = named("arch.loss.loss_type", a.Loss.Type, map[string]v1alpha1.Loss{
		"": "", "stablemax_cross_entropy": v1alpha1.LossStablemax, "softmax_cross_entropy": v1alpha1.LossSoftmax,
	})
	return spec, err
}

// recurrence reads what is said in another way of each architecture.
func (c *config) recurrence(spec *v1alpha1.ModelSpec) {
	a := &c.Arch
	switch spec.Architecture {
	case v1alpha1.ArchitectureHRM:
		spec.HLayers, spec.LLayers, spec.HCycles, spec.LCycles = a.HLayers, a.LLayers, a.HCycles, a.LCycles
	case v1alpha1.ArchitectureTRM:
		spec.Layers, spec.HCycles, spec.LCycles = a.LLayers, a.HCycles, a.LCycles
		if a.MLP {
			spec.Mixing = v1alpha1.MixingMLP
		}
		if a.NoContinue != nil && !*a.NoContinue {
			spec.ACT.Halting = v1alpha1.HaltingQLearning
		}
		if a.PuzzleLen == nil {
			break
		}
		spec.PuzzleEmbeddingPositions = *a.PuzzleLen
		// 0 is as many as the embedding needs.
		if *a.PuzzleLen == 0 && a.PuzzleDim != nil && a.HiddenSize > 0 {
			spec.PuzzleEmbeddingPositions = (*a.PuzzleDim + a.HiddenSize - 1) / a.HiddenSize
		}
	case v1alpha1.ArchitectureTransformer:
		spec.Layers, spec.ACT.Halting = a.HLayers, v1alpha1.HaltingQDifference
	}
}

// named translates a word of the configuration.
func named[T any](field, word string, words map[string]T) (T, error) {
	t, ok := words[word]
	if !ok {
		return t, fmt.Errorf("%s is %.200q, which does not exist here", field, word)
	}
	return t, nil
}
