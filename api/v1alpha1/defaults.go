package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// DefaultEpochs is how long a job trains that sets neither epochs nor steps: the published Sudoku recipe.
const DefaultEpochs = 20000

// setDefault replaces a zero value.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// setPointer replaces a nil pointer.
func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// Default fills in what the schema's defaults would on a cluster, for a job that is read from a file.
func (j *HRMTrainingJob) Default() {
	s := &j.Spec
	s.Model.setDefaults()
	s.Training.setDefaults()
	if s.Model.Architecture == ArchitectureTRM {
		setDefault(&s.Training.EMADecay, "0.999")
	}
	setDefault(&s.Dataset.TestFraction, "0.1")
	if m := s.Dataset.Maze; m != nil {
		setDefault(&m.Size, 30)
		setDefault(&m.MinPathLength, 110)
		setDefault(&m.Count, 2000)
	}
	setDefault(&s.Evaluation.Metric, EvaluationMetricExactAccuracy)
	setPointer(&s.Evaluation.MaxExamples, 10000)
	if a := s.Analysis; a != nil {
		setDefault(&a.Trajectories, 100)
		setPointer(&a.Untrained, false)
		setDefault(&a.TimeoutSeconds, 300)
	}
	setDefault(&s.Storage.Region, "us-east-1")
	setPointer(&s.Storage.PathStyle, false)
	setPointer(&s.Checkpoint.EverySeconds, 600)
	setDefault(&s.Checkpoint.KeepLast, 3)
	setDefault(&s.Nodes, 1)
	if c := s.Template.DatasetCache; c != nil {
		setPointer(&c.SizeLimit, resource.MustParse("50Gi"))
	}
	setPointer(&s.Suspend, false)
	setPointer(&s.MaxRestarts, 3)
	setPointer(&s.ProgressDeadlineSeconds, 1800)
	setPointer(&s.TerminationGracePeriodSeconds, 120)
}

func (m *ModelSpec) setDefaults() {
	setDefault(&m.Architecture, ArchitectureHRM)
	setDefault(&m.HiddenSize, 512)
	setDefault(&m.NumHeads, 8)
	setDefault(&m.Expansion, 4)
	setDefault(&m.PositionEncoding, PositionEncodingRoPE)
	setDefault(&m.Loss, LossStablemax)
	setDefault(&m.ACT.MaxSteps, 16)
	setDefault(&m.ACT.ExplorationProbability, "0.1")
	m.setArchitectureDefaults()
}

// setArchitectureDefaults fills in what depends on the architecture, as the published models have it. The schema cannot:
// it would give every architecture the options of one. Options whose default is a single value stay unset.
func (m *ModelSpec) setArchitectureDefaults() {
	switch m.Architecture {
	case ArchitectureHRM:
		setDefault(&m.HLayers, 4)
		setDefault(&m.HCycles, 2)
		if m.TwoLevels() {
			setDefault(&m.LLayers, 4)
			setDefault(&m.LCycles, 2)
		}
		setDefault(&m.ACT.Halting, HaltingQLearning)
	case ArchitectureTRM:
		setDefault(&m.Layers, 2)
		setDefault(&m.HCycles, 3)
		setDefault(&m.LCycles, 6)
	case ArchitectureClockworkRNN, ArchitectureHierarchicalRNN:
		setDefault(&m.Levels, 4)
		setDefault(&m.Period, 2)
	case ArchitectureMultiscaleRNN:
		setDefault(&m.Levels, 2)
	case ArchitectureMixtureOfRecursions:
		setDefault(&m.Layers, 2)
		setDefault(&m.Recursions, 3)
	case ArchitectureFastWeights:
		setDefault(&m.InnerSteps, 1)
		setDefault(&m.FastDecay, "0.95")
		setDefault(&m.FastRate, "0.5")
	case ArchitectureTransformer, ArchitectureUniversalTransformer:
		setDefault(&m.Layers, 8)
	}
	setDefault(&m.ACT.Halting, HaltingQHalt)
}

// RecursOverPositions says whether the model reads a sequence position by position, and has no layers.
func (m *ModelSpec) RecursOverPositions() bool {
	switch m.Architecture {
	case ArchitectureElmanRNN, ArchitectureNeuralHistoryCompressor, ArchitectureFastWeights:
		return true
	}
	return m.Grouped()
}

// Grouped says whether the columns of the model's state are in groups, model.levels of them.
func (m *ModelSpec) Grouped() bool {
	return m.Periodic() || m.Architecture == ArchitectureMultiscaleRNN
}

// Periodic says whether each level is updated at a fixed rate.
func (m *ModelSpec) Periodic() bool {
	return m.Architecture == ArchitectureClockworkRNN || m.Architecture == ArchitectureHierarchicalRNN
}

// TwoLevels says whether there are a high and a low level.
func (m *ModelSpec) TwoLevels() bool {
	return m.Architecture == ArchitectureTRM || m.Architecture == ArchitectureHRM && m.Levels != 1
}

func (t *TrainingSpec) setDefaults() {
	setDefault(&t.GlobalBatchSize, 768)
	setDefault(&t.LearningRate, "1e-4")
	setDefault(&t.MinLearningRateRatio, "1")
	setPointer(&t.WarmupSteps, 2000)
	setDefault(&t.WeightDecay, "1.0")
	setDefault(&t.Beta1, "0.9")
	setDefault(&t.Beta2, "0.95")
	setDefault(&t.Embedding.LearningRate, "1e-4")
	setDefault(&t.Embedding.WeightDecay, "1.0")
	setDefault(&t.Precision, PrecisionBFloat16)
}

// PuzzleEmbedding returns the width of the puzzle embedding: hiddenSize unless set.
func (m *ModelSpec) PuzzleEmbedding() int {
	if m.PuzzleEmbeddingSize != nil {
		return int(*m.PuzzleEmbeddingSize)
	}
	return int(m.HiddenSize)
}

// trmPuzzlePositions is how many positions the published TRM gives to the puzzle embedding.
const trmPuzzlePositions = 16

// PuzzlePositions returns how many positions before the tokens the puzzle embedding takes, 0 if there is none.
func (m *ModelSpec) PuzzlePositions() int {
	size, hidden := m.PuzzleEmbedding(), int(m.HiddenSize)
	needed := (size + hidden - 1) / hidden
	switch {
	case size == 0:
		return 0
	case m.PuzzleEmbeddingPositions > 0:
		return int(m.PuzzleEmbeddingPositions)
	case m.Architecture == ArchitectureTRM:
		return max(trmPuzzlePositions, needed)
	}
	return needed
}

// EvaluationSegments returns how many segments an example gets in evaluation.
func (s *HRMTrainingJobSpec) EvaluationSegments() int {
	if s.Evaluation.Segments != nil {
		return int(*s.Evaluation.Segments)
	}
	return int(s.Model.ACT.MaxSteps)
}

// EpochsOrSteps returns the length of the training: steps if that is set, else epochs, 20000 if neither is.
func (t *TrainingSpec) EpochsOrSteps() (epochs int, steps int64) {
	switch {
	case t.Steps != nil:
		return 0, *t.Steps
	case t.Epochs != nil:
		return int(*t.Epochs), 0
	}
	return DefaultEpochs, 0
}
