package model

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// publishedExpansion is taken where several expansions give the same width.
const publishedExpansion = 4

// maxExpansion is the largest that a spec may ask for.
const maxExpansion = 16

// Infer derives a model's sizes from the shapes of its tensors, which have the names of [Parameter]. What no tensor shows
// (heads, cycles, loss, ACT, how often a shared layer is passed) stays as spec has it; where spec says something else than the tensors, that is an error, and
// so is a tensor that is missing, or that such a model does not have. Of a model without layers spec has to say the architecture. An HRM with one level has the tensors of a Transformer,
// and is taken for one unless spec says otherwise. The length of the examples shows only in learned positions, and where an MLP
// mixes positions: with others Shape.SeqLen is 0.
func Infer(tensors map[string][]int, spec v1alpha1.ModelSpec) (v1alpha1.ModelSpec, Shape, error) {
	i := inference{tensors: tensors, spec: spec}
	shape := i.sizes()
	if i.err == nil {
		i.err = i.compare(shape)
	}
	return i.spec, shape, i.err
}

// Shows says whether the tensors of an architecture show that they are its.
func Shows(a v1alpha1.Architecture) bool { return architectures[a].module == "" }

// inference is a spec in the making. The first error stays.
type inference struct {
	tensors map[string][]int
	spec    v1alpha1.ModelSpec
	err     error
}

func (i *inference) fail(format string, args ...any) {
	if i.err == nil {
		i.err = fmt.Errorf(format, args...)
	}
}

// matrix returns the sizes of a tensor of two dimensions.
func (i *inference) matrix(name string) (rows, columns int) {
	s, ok := i.tensors[name]
	if !ok {
		i.fail("tensor %s is missing: these are not the weights of a model that is known here", name)
		return 0, 0
	}
	if len(s) != 2 || s[0] < 1 || s[1] < 1 {
		i.fail("tensor %s has the shape %d, want two dimensions", name, s)
		return 0, 0
	}
	return s[0], s[1]
}

// settle sets a field of the spec, or compares it.
func settle[T comparable](i *inference, field *T, name string, found T) {
	var unset T
	if *field != unset && *field != found {
		i.fail("model.%s is %v, but the tensors are those of %v", name, *field, found)
	}
	*field = found
}

// settleOption is settle for an option that is unset where it has its default.
func settleOption[T ~string](i *inference, field *T, name string, usual, found T) {
	if *field != "" && *field != found {
		i.fail("model.%s is %v, but the tensors are those of %v", name, *field, found)
	}
	if found != usual {
		*field = found
	}
}

func (i *inference) sizes() Shape {
	s := &i.spec
	vocabulary, hidden := i.matrix("embed_tokens.embedding_weight")
	if i.err != nil {
		return Shape{}
	}
	settle(i, &s.HiddenSize, "hiddenSize", int32(hidden))
	module := architectures[s.Architecture].module
	if module == "" {
		module = i.modules()
		rows, _ := i.matrix(layerOf(module, 0) + "mlp.gate_up_proj.weight")
		if i.err != nil {
			return Shape{}
		}
		settle(i, &s.Expansion, "expansion", i.expansion(hidden, rows, layerOf(module, 0)))
	}
	if i.has(module + "gate.state.weight") {
		settleOption(i, &s.Combination, "combination", v1alpha1.CombinationAdd, v1alpha1.CombinationGated)
	}
	shape := Shape{VocabSize: vocabulary}
	width := 0
	if i.has(PuzzleTable) {
		shape.NumPuzzleIdentifiers, width = i.matrix(PuzzleTable)
	}
	i.puzzles(int32(width))
	i.positions(&shape, module)
	return shape
}

// positions finds what knows of positions, and how many there are if that shows it.
func (i *inference) positions(shape *Shape, module string) {
	s, prefix := &i.spec, i.spec.PuzzlePositions()
	count := func(name string, positions int) {
		shape.SeqLen = positions - prefix
		if shape.SeqLen < 1 {
			i.fail("tensor %s has %d positions, which is not more than the %d of the puzzle embedding", name, positions, prefix)
		}
	}
	if i.has(positionTable) {
		settle(i, &s.PositionEncoding, "positionEncoding", v1alpha1.PositionEncodingLearned)
		positions, _ := i.matrix(positionTable)
		count(positionTable, positions)
	} else if s.PositionEncoding != v1alpha1.PositionEncodingNone {
		settle(i, &s.PositionEncoding, "positionEncoding", v1alpha1.PositionEncodingRoPE)
	}
	name := layerOf(module, 0) + "mlp_t.gate_up_proj.weight"
	if !i.has(name) {
		settleOption(i, &s.Mixing, "mixing", v1alpha1.MixingAttention, v1alpha1.MixingAttention)
		return
	}
	settleOption(i, &s.Mixing, "mixing", v1alpha1.MixingAttention, v1alpha1.MixingMLP)
	_, positions := i.matrix(name)
	count(name, positions)
}

func (i *inference) has(name string) bool {
	_, ok := i.tensors[name]
	return ok
}

// modules finds the architecture by its modules, counts their layers, and names one of them.
func (i *inference) modules() string {
	s := &i.spec
	high, low := i.layers(highLevel), i.layers(lowLevel)
	switch {
	case i.layers(sharedLevel) > 0:
		settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureUniversalTransformer)
		i.shared()
		return sharedLevel
	case i.layers(recursiveLevel) > 0:
		settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureMixtureOfRecursions)
		settle(i, &s.Layers, "layers", i.layers(recursiveLevel))
		settle(i, &s.Recursions, "recursions", i.routers())
		return recursiveLevel
	case high > 0 && low > 0:
		settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureHRM)
		settle(i, &s.HLayers, "hLayers", high)
		settle(i, &s.LLayers, "lLayers", low)
	case high > 0 && s.Architecture == v1alpha1.ArchitectureHRM:
		settle(i, &s.Levels, "levels", 1)
		settle(i, &s.HLayers, "hLayers", high)
	case high > 0:
		settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureTransformer)
		settle(i, &s.Layers, "layers", high)
	case low > 0:
		settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureTRM)
		settle(i, &s.Layers, "layers", low)
		return lowLevel
	case slices.ContainsFunc(slices.Collect(maps.Keys(i.tensors)), func(name string) bool { return strings.HasPrefix(name, recurrentModule) }):
		i.fail("tensors %s… are those of a network that is recurrent over positions, but do not show of which: its job has to say model.architecture", recurrentModule)
	default:
		i.fail("there is neither an H_level.layers.0 nor an L_level.layers.0: these are weights of another architecture")
	}
	return highLevel
}

// layers counts the layers of a module that have a feed-forward part.
func (i *inference) layers(module string) int32 {
	n := int32(0)
	for i.has(layerOf(module, n) + "mlp.down_proj.weight") {
		n++
	}
	return n
}

// routers counts those of a MixtureOfRecursions, one for each recursion.
func (i *inference) routers() int32 {
	n := int32(0)
	for i.has(routerOf(n)) {
		n++
	}
	return n
}

// shared finds what the layers of a UniversalTransformer share, and how many there are if they do not share all.
func (i *inference) shared() {
	s, own := &i.spec, i.layers(sharedLevel)
	mixed := int32(0)
	for i.has(layerOf(sharedLevel, mixed)+"self_attn.o_proj.weight") || i.has(layerOf(sharedLevel, mixed)+"mlp_t.down_proj.weight") {
		mixed++
	}
	switch {
	case own > 1:
		settleOption(i, &s.Sharing, "sharing", v1alpha1.SharingAll, v1alpha1.SharingAttention)
	case mixed > 1:
		settleOption(i, &s.Sharing, "sharing", v1alpha1.SharingAll, v1alpha1.SharingFeedForward)
	default:
		return
	}
	settle(i, &s.Layers, "layers", max(own, mixed))
}

// expansion finds one that gives the width of gate and up projection together.
func (i *inference) expansion(hidden, rows int, layer string) int32 {
	candidates := []int32{cmp.Or(i.spec.Expansion, publishedExpansion)}
	for e := int32(1); e <= maxExpansion; e++ {
		candidates = append(candidates, e)
	}
	for _, e := range candidates {
		if 2*swiGLUWidth(hidden, int(e)) == rows {
			return e
		}
	}
	i.fail("%smlp.gate_up_proj.weight has %d rows, which no expansion from 1 to %d gives", layer, rows, maxExpansion)
	return 0
}

// puzzles sets the width of the puzzle table, 0 if there is none.
func (i *inference) puzzles(width int32) {
	s := &i.spec
	if s.PuzzleEmbeddingSize != nil && *s.PuzzleEmbeddingSize != width {
		i.fail("model.puzzleEmbeddingSize is %d, but the tensors are those of %d", *s.PuzzleEmbeddingSize, width)
	}
	s.PuzzleEmbeddingSize = &width
	if width == s.HiddenSize {
		s.PuzzleEmbeddingSize = nil
	}
}

// compare names the tensors that are not what a model of these sizes has.
func (i *inference) compare(shape Shape) error {
	var missing, misshapen []string
	unknown := maps.Clone(i.tensors)
	spec := i.spec
	spec.Layers = max(spec.Layers, 1) // a shared layer does not show how often it is passed
	for _, p := range parameters(&Model{Spec: spec, Shape: shape}) {
		have, ok := i.tensors[p.Name]
		delete(unknown, p.Name)
		switch {
		case !ok:
			missing = append(missing, p.Name)
		case !slices.Equal(have, p.Shape):
			misshapen = append(misshapen, fmt.Sprintf("%s has %d, want %d", p.Name, have, p.Shape))
		}
	}
	return errors.Join(
		listed("tensors are missing", missing),
		listed("tensors have another shape", misshapen),
		listed(fmt.Sprintf("tensors belong to no %s of these sizes", i.spec.Architecture), slices.Sorted(maps.Keys(unknown))),
	)
}

// listed is an error about some names, nil if there are none.
func listed(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	const most = 10
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return fmt.Errorf("%s: %.2000s%s", what, strings.Join(names, ", "), more)
}
