package v1alpha1

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// outsideFolder matches prefixes that leave their place, or are no place.
var outsideFolder = regexp.MustCompile(`^/|//|(^|/)[.][.]?(/|$)`)

// upwards matches paths that a pod must not mount.
var upwards = regexp.MustCompile(`(^|/)[.][.](/|$)`)

// maxJobBytes bounds what is read: the apiserver takes no larger object either.
const maxJobBytes = 1 << 20

// Load reads a job from YAML or JSON, strictly: an unknown field is an error. Defaults are filled in.
func Load(r io.Reader) (*HRMTrainingJob, error) {
	job, err := Parse(r)
	if err == nil {
		job.Default()
	}
	return job, err
}

// Parse reads a job as Load does, and leaves unset what its text does not set.
func Parse(r io.Reader) (*HRMTrainingJob, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxJobBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	if len(raw) > maxJobBytes {
		return nil, fmt.Errorf("the job is larger than %d bytes", maxJobBytes)
	}
	var job HRMTrainingJob
	if err := yaml.UnmarshalStrict(raw, &job); err != nil {
		return nil, fmt.Errorf("not a job: %w", err)
	}
	if job.APIVersion != GroupVersion.String() || job.Kind != Kind {
		return nil, fmt.Errorf("want apiVersion %s and kind %s, not %q and %q", GroupVersion, Kind, job.APIVersion, job.Kind)
	}
	return &job, nil
}

// Float returns the number. Empty is an error, so that a forgotten default is seen.
func (d Decimal) Float() (float64, error) {
	x, err := strconv.ParseFloat(string(d), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
		return 0, fmt.Errorf("%q is not a decimal number of at least 0, such as 1e-4", string(d))
	}
	return x, nil
}

// Validate says everything that the cluster's schema would refuse, and what only the trainer knows.
func (j *HRMTrainingJob) Validate() error {
	spec := field.NewPath("spec")
	return errors.Join(
		j.Spec.Model.validate(spec.Child("model")),
		j.Spec.Dataset.validate(spec.Child("dataset")),
		j.Spec.Training.validate(spec.Child("training"), j.Spec.Nodes),
		j.Spec.validateAnalysis(spec),
		j.Spec.validateRest(spec),
		j.Spec.Template.validate(spec.Child("template")),
		j.Spec.Template.DatasetCache.validate(spec.Child("template", "datasetCache")),
	)
}

// rule is a claim about a field, and what to say if it does not hold.
type rule struct {
	holds  bool
	path   *field.Path
	remedy string
}

func check(rules ...rule) error {
	var errs []error
	for _, r := range rules {
		if !r.holds {
			errs = append(errs, fmt.Errorf("%s %s", r.path, r.remedy))
		}
	}
	return errors.Join(errs...)
}

// decimal is a rule that a field holds a number from low to high.
func decimal(d Decimal, low, high float64, path *field.Path) rule {
	x, err := d.Float()
	return rule{err == nil && x >= low && x <= high, path, fmt.Sprintf("must be a decimal number from %g to %g, not %q", low, high, d)}
}

func between[T int32 | int64](x, low, high T, path *field.Path) rule {
	return rule{x >= low && x <= high, path, fmt.Sprintf("must be from %d to %d, not %d", low, high, x)}
}

// only is a rule for a number that some architectures have, from 1 to high, and others do not.
func only(x, high int32, has bool, path *field.Path, remedy string) rule {
	if has {
		return between(x, 1, high, path)
	}
	return rule{x == 0, path, remedy}
}

// onlyDecimal is a rule for a decimal number that some architectures have, and others do not.
func onlyDecimal(d Decimal, low, high float64, has bool, path *field.Path, remedy string) rule {
	if has {
		return decimal(d, low, high, path)
	}
	return rule{d == "", path, remedy}
}

// oneOf is a rule for a field of a few values; "" says that it may be unset.
func oneOf[T ~string](x T, path *field.Path, values ...T) rule {
	return rule{slices.Contains(values, x), path, fmt.Sprintf("%q does not exist; use one of %s", x, strings.Trim(fmt.Sprint(values), "[ ]"))}
}

// atLeast is a rule for a field that may be unset.
func atLeast[T int32 | int64](x *T, low T, path *field.Path) rule {
	return rule{x == nil || *x >= low, path, fmt.Sprintf("must be at least %d", low)}
}

// Validate says everything that the cluster's schema would refuse about the model.
func (m *ModelSpec) Validate() error { return m.validate(field.NewPath("spec", "model")) }

func (m *ModelSpec) validate(path *field.Path) error {
	err := check(
		oneOf(m.Architecture, path.Child("architecture"), ArchitectureHRM, ArchitectureTRM, ArchitectureTransformer, ArchitectureUniversalTransformer,
			ArchitectureElmanRNN, ArchitectureClockworkRNN, ArchitectureHierarchicalRNN, ArchitectureMultiscaleRNN,
			ArchitectureMixtureOfRecursions, ArchitectureNeuralHistoryCompressor, ArchitectureFastWeights),
		between(m.HiddenSize, 8, 8192, path.Child("hiddenSize")), between(m.NumHeads, 1, 128, path.Child("numHeads")),
		between(m.Expansion, 1, 16, path.Child("expansion")),
		between(m.ACT.MaxSteps, 1, 1024, path.Child("act", "maxSteps")),
		oneOf(m.ACT.Halting, path.Child("act", "halting"), HaltingQLearning, HaltingQHalt, HaltingQDifference, HaltingFixed),
		decimal(m.ACT.ExplorationProbability, 0, 1, path.Child("act", "explorationProbability")),
		oneOf(m.Loss, path.Child("loss"), LossStablemax, LossSoftmax),
		oneOf(m.PositionEncoding, path.Child("positionEncoding"), PositionEncodingRoPE, PositionEncodingLearned, PositionEncodingNone),
		oneOf(m.Mixing, path.Child("mixing"), "", MixingAttention, MixingMLP),
		oneOf(m.Combination, path.Child("combination"), "", CombinationAdd, CombinationGated),
	)
	if err != nil {
		return err
	}
	return errors.Join(m.validateRecurrence(path), m.validateMemory(path), check(
		rule{m.HiddenSize%m.NumHeads == 0, path.Child("numHeads"), "must divide hiddenSize: change one of them"},
		rule{m.PositionEncoding != PositionEncodingRoPE || m.HiddenSize/m.NumHeads%2 == 0, path.Child("positionEncoding"),
			"RoPE needs an even hiddenSize/numHeads: change numHeads or use Learned"},
		rule{m.PuzzleEmbedding() >= 0 && m.PuzzleEmbedding() <= 64*int(m.HiddenSize), path.Child("puzzleEmbeddingSize"), "may be at most 64 times hiddenSize"},
		rule{m.PuzzleEmbeddingPositions == 0 || m.PuzzleEmbedding() > 0 && m.PuzzlePositions()*int(m.HiddenSize) >= m.PuzzleEmbedding() && m.PuzzlePositions() <= 64,
			path.Child("puzzleEmbeddingPositions"), "must be at most 64 and have room for puzzleEmbeddingSize, which must be above 0: change one of them"},
	))
}

// validateRecurrence checks what depends on the architecture: how many layers and updates there are, and how far the gradient
// goes.
func (m *ModelSpec) validateRecurrence(path *field.Path) error {
	hrm, universal := m.Architecture == ArchitectureHRM, m.Architecture == ArchitectureUniversalTransformer
	recurrent, two, positions := hrm || m.Architecture == ArchitectureTRM, m.TwoLevels(), m.RecursOverPositions()
	return check(
		rule{m.Layers == 0 || !hrm, path.Child("layers"), "is not for architecture HRM: use hLayers and lLayers"},
		only(m.Layers, 128, !hrm && !positions, path.Child("layers"), "is not for architectures that are recurrent over positions: remove it"),
		rule{m.Mixing == "" || !positions, path.Child("mixing"), "is not for architectures that are recurrent over positions: remove it"},
		only(m.HLayers, 64, hrm, path.Child("hLayers"), "is only for architecture HRM: use layers"),
		only(m.LLayers, 64, hrm && two, path.Child("lLayers"), "is only for architecture HRM with two levels: remove it"),
		only(m.HCycles, 64, recurrent, path.Child("hCycles"), "is only for architectures HRM and TRM: remove it"),
		only(m.LCycles, 64, two, path.Child("lCycles"), "is only for architectures HRM and TRM with two levels: remove it"),
		rule{m.Levels == 0 || hrm || m.Grouped(), path.Child("levels"), "is only for architectures HRM, ClockworkRNN, HierarchicalRNN and MultiscaleRNN: remove it"},
		rule{m.Levels <= 2 || !hrm, path.Child("levels"), "of architecture HRM are 1 or 2: change it"},
		rule{m.Levels >= 2 || !m.Grouped(), path.Child("levels"), "must be at least 2: a single level is architecture ElmanRNN"},
		between(m.Levels, 0, 16, path.Child("levels")),
		rule{!m.Grouped() || m.Levels > 0 && m.HiddenSize%m.Levels == 0, path.Child("levels"), "must divide hiddenSize: change one of them"},
		rule{m.Period == 0 || m.Periodic(), path.Child("period"), "is only for architectures ClockworkRNN and HierarchicalRNN: remove it"},
		rule{!m.Periodic() || m.Period >= 2 && m.Period <= 64, path.Child("period"), "must be from 2 to 64"},
		rule{m.Sharing == "" || universal, path.Child("sharing"), "is only for architecture UniversalTransformer: remove it"},
		oneOf(m.Sharing, path.Child("sharing"), "", SharingAll, SharingAttention, SharingFeedForward),
		rule{m.Gradient == "" || recurrent, path.Child("gradient"), "is only for architectures HRM and TRM, others have the whole one: remove it"},
		oneOf(m.Gradient, path.Child("gradient"), "", GradientOneStep, GradientLastCycle, GradientFull, GradientSteps),
		rule{(m.GradientSteps != 0) == (m.Gradient == GradientSteps), path.Child("gradientSteps"), "and gradient Steps need each other: set both or neither"},
		between(m.GradientSteps, 0, 4160, path.Child("gradientSteps")),
		rule{m.GradientSteps != 1 || !two, path.Child("gradientSteps"), "must be at least 2, so that the gradient reaches both modules"},
	)
}

// validateMemory checks how positions are chosen and how past states are kept.
func (m *ModelSpec) validateMemory(path *field.Path) error {
	mixture, fast := m.Architecture == ArchitectureMixtureOfRecursions, m.Architecture == ArchitectureFastWeights
	const remedy = "is only for architecture FastWeights: remove it"
	return check(
		only(m.Recursions, 64, mixture, path.Child("recursions"), "is only for architecture MixtureOfRecursions: remove it"),
		only(m.InnerSteps, 16, fast, path.Child("innerSteps"), remedy),
		onlyDecimal(m.FastDecay, 0, 1, fast, path.Child("fastDecay"), remedy),
		onlyDecimal(m.FastRate, 0, 10, fast, path.Child("fastRate"), remedy),
	)
}

// Validate says everything that the cluster's schema would refuse of a dataset.
func (d *DatasetSpec) Validate() error { return d.validate(field.NewPath("dataset")) }

func (d *DatasetSpec) validate(path *field.Path) error {
	sudoku := d.Task == TaskSudoku
	fraction := decimal(d.TestFraction, 0, math.Nextafter(1, 0), path.Child("testFraction"))
	fraction.remedy = fmt.Sprintf("must be a decimal number from 0 to below 1, not %q", d.TestFraction)
	return errors.Join(d.validateOrigin(path), check(
		rule{sudoku || d.Task == TaskMaze || d.Task == TaskARC || d.Task == TaskCustom, path.Child("task"), fmt.Sprintf("%q does not exist; use Sudoku, Maze, ARC or Custom", d.Task)},
		fraction,
		atLeast(d.Subsample, 1, path.Child("subsample")),
		between(d.Augmentations, 0, 100000, path.Child("augmentations")),
		rule{d.MaxBlanks == nil || sudoku, path.Child("maxBlanks"), "is only for task Sudoku: remove it"},
		rule{d.MaxBlanks == nil || *d.MaxBlanks >= 20 && *d.MaxBlanks <= 64, path.Child("maxBlanks"), "must be from 20 to 64"},
		rule{d.MinRating == nil || sudoku, path.Child("minRating"), "is only for task Sudoku: remove it"},
		rule{d.MaxRating == nil || sudoku, path.Child("maxRating"), "is only for task Sudoku: remove it"},
		atLeast(d.MinRating, 0, path.Child("minRating")), atLeast(d.MaxRating, 0, path.Child("maxRating")),
		rule{d.MinRating == nil || d.MaxRating == nil || *d.MinRating <= *d.MaxRating, path.Child("maxRating"), "is below minRating: no puzzle is left"},
		between(d.Seed, 0, math.MaxInt64, path.Child("seed")),
	))
}

// validateOrigin checks where the examples come from.
func (d *DatasetSpec) validateOrigin(path *field.Path) error {
	source := path.Child("source")
	rules := []rule{
		{d.Recipe == "" || d.Recipe == DatasetRecipeSudokuHard, path.Child("recipe"), fmt.Sprintf("%q does not exist; SudokuHard does", d.Recipe)},
		{d.Recipe == "" || d.Task == TaskSudoku, path.Child("recipe"), "is only for task Sudoku: remove it"},
		{len(d.Source.AdditionalURIs) == 0 || d.Task == TaskARC, source.Child("additionalURIs"), "is only for task ARC: remove it"},
	}
	if d.Maze == nil {
		return check(append(rules, rule{d.Source.URI != "", source.Child("uri"), "is required: s3://bucket/key, https://… or a path"})...)
	}
	maze := path.Child("maze")
	return check(append(rules,
		rule{d.Task == TaskMaze, maze, "is only for task Maze: remove it"},
		rule{d.Source.URI == "", maze, "and source exclude each other: read mazes, or generate them"},
		between(d.Maze.Size, 5, 64, maze.Child("size")), between(d.Maze.MinPathLength, 1, 4096, maze.Child("minPathLength")),
		between(d.Maze.Count, 2, 1_000_000, maze.Child("count")))...)
}

func (t *TrainingSpec) validate(path *field.Path, nodes int32) error {
	err := check(
		between(t.GlobalBatchSize, 1, 1<<20, path.Child("globalBatchSize")), between(nodes, 1, 1024, field.NewPath("spec", "nodes")),
		rule{t.Epochs == nil || t.Steps == nil, path.Child("steps"), "and epochs exclude each other: set one of them"},
		atLeast(t.Epochs, 1, path.Child("epochs")), atLeast(t.Steps, 1, path.Child("steps")), atLeast(t.WarmupSteps, 0, path.Child("warmupSteps")),
		decimal(t.LearningRate, 1e-99, 1, path.Child("learningRate")), decimal(t.MinLearningRateRatio, 0, 1, path.Child("minLearningRateRatio")),
		decimal(t.WeightDecay, 0, 1e6, path.Child("weightDecay")),
		decimal(t.Beta1, 0, 0.9999999, path.Child("beta1")), decimal(t.Beta2, 0, 0.9999999, path.Child("beta2")),
		decimal(t.Embedding.LearningRate, 0, 1, path.Child("embedding", "learningRate")),
		decimal(t.Embedding.WeightDecay, 0, 1e6, path.Child("embedding", "weightDecay")),
		rule{t.Precision == PrecisionBFloat16 || t.Precision == PrecisionFloat32, path.Child("precision"), "must be BFloat16 or Float32"},
		rule{t.EMADecay == "" || decimal(t.EMADecay, 0, 0.9999999, path).holds, path.Child("emaDecay"), fmt.Sprintf("must be a decimal number from 0 to below 1, not %q", t.EMADecay)},
		between(t.Seed, 0, math.MaxInt64, path.Child("seed")),
	)
	if err != nil {
		return err
	}
	return check(rule{t.GlobalBatchSize%nodes == 0, path.Child("globalBatchSize"), "must be a multiple of nodes: change one of them"})
}

var evaluationMetrics = []EvaluationMetric{
	EvaluationMetricExactAccuracy, EvaluationMetricTokenAccuracy, EvaluationMetricValidAccuracy, EvaluationMetricPassAt1, EvaluationMetricPassAt2,
}

func (s *HRMTrainingJobSpec) validateRest(path *field.Path) error {
	return check(
		rule{s.Evaluation.EveryEpochs == nil || s.Evaluation.EverySteps == nil, path.Child("evaluation", "everySteps"), "and everyEpochs exclude each other: set one of them"},
		atLeast(s.Evaluation.EveryEpochs, 1, path.Child("evaluation", "everyEpochs")),
		atLeast(s.Evaluation.EverySteps, 1, path.Child("evaluation", "everySteps")),
		atLeast(s.Evaluation.MaxExamples, 1, path.Child("evaluation", "maxExamples")),
		rule{s.Evaluation.Segments == nil || *s.Evaluation.Segments >= 1 && *s.Evaluation.Segments <= 1024, path.Child("evaluation", "segments"), "must be from 1 to 1024"},
		atLeast(s.Evaluation.Patience, 1, path.Child("evaluation", "patience")),
		rule{slices.Contains(evaluationMetrics, s.Evaluation.Metric), path.Child("evaluation", "metric"),
			fmt.Sprintf("%q does not exist; use one of %v", s.Evaluation.Metric, evaluationMetrics)},
		atLeast(s.Checkpoint.EverySteps, 1, path.Child("checkpoint", "everySteps")),
		atLeast(s.Checkpoint.EverySeconds, 1, path.Child("checkpoint", "everySeconds")),
		between(s.Checkpoint.KeepLast, 1, 1000, path.Child("checkpoint", "keepLast")),
		rule{s.Storage.Bucket != "", path.Child("storage", "bucket"), "is required"},
		rule{!outsideFolder.MatchString(s.Storage.Prefix), path.Child("storage", "prefix"), "names a folder of the bucket: no part of it may be empty, . or .."},
	)
}

func (s *HRMTrainingJobSpec) validateAnalysis(path *field.Path) error {
	a := s.Analysis
	if a == nil {
		return nil
	}
	path = path.Child("analysis")
	rules := []rule{
		between(a.Trajectories, 1, 10_000, path.Child("trajectories")),
		{a.Segments == nil || *a.Segments >= 1 && *a.Segments <= 1024, path.Child("segments"), "must be from 1 to 1024"},
		between(a.TimeoutSeconds, 1, 86_400, path.Child("timeoutSeconds")),
		{s.ProgressDeadlineSeconds == nil || a.TimeoutSeconds < *s.ProgressDeadlineSeconds, path.Child("timeoutSeconds"),
			"must be below progressDeadlineSeconds: lower one or raise the other"},
		{len(a.Attention) <= 8, path.Child("attention"), "may name at most 8 layers"},
	}
	for i, name := range a.Attention {
		h, l := s.Model.AttentionLayers("H"), s.Model.AttentionLayers("L")
		rules = append(rules,
			rule{!slices.Contains(a.Attention[:i], name), path.Child("attention").Index(i), fmt.Sprintf("names %s again: remove it", name)},
			rule{s.Model.hasAttention(name), path.Child("attention").Index(i),
				fmt.Sprintf("%q is no layer with attention of this model, which has %d of module H and %d of L: name one of them, as in H1", name, h, l)})
	}
	return check(rules...)
}

// hasAttention says whether the model has a layer of this name, as in H1, with attention of its own.
func (m *ModelSpec) hasAttention(layer AttentionLayer) bool {
	if len(layer) < 2 {
		return false
	}
	number, err := strconv.ParseUint(string(layer[1:]), 10, 16)
	return err == nil && number >= 1 && int64(number) <= int64(m.AttentionLayers(string(layer[:1])))
}

func (c *DatasetCache) validate(path *field.Path) error {
	if c == nil {
		return nil
	}
	return check(
		rule{(c.HostPath == "") != (c.ClaimName == ""), path, "takes either hostPath or claimName: set one of them"},
		rule{c.HostPath == "" || len(c.HostPath) > 1 && c.HostPath[0] == '/', path.Child("hostPath"), "must be an absolute path below /"},
		rule{!upwards.MatchString(c.HostPath), path.Child("hostPath"), "must not go up by .."},
		rule{c.ClaimName == "" || len(validation.IsDNS1123Subdomain(c.ClaimName)) == 0, path.Child("claimName"), fmt.Sprintf("%q is no name of a claim", c.ClaimName)},
		rule{c.SizeLimit == nil || c.SizeLimit.Sign() > 0, path.Child("sizeLimit"), "must be above 0, as in 50Gi"},
	)
}
