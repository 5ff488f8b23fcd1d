package v1alpha1

// Architecture names a model.
// +kubebuilder:validation:Enum=HRM;TRM;Transformer;UniversalTransformer;ElmanRNN;ClockworkRNN;HierarchicalRNN;MultiscaleRNN;MixtureOfRecursions;NeuralHistoryCompressor;FastWeights
type Architecture string

// The architectures.
const (
	// ArchitectureHRM is the Hierarchical Reasoning Model (arXiv 2506.21734).
	ArchitectureHRM Architecture = "HRM"
	// ArchitectureTRM is the Tiny Recursive Model (arXiv 2510.04871).
	ArchitectureTRM Architecture = "TRM"
	// ArchitectureTransformer predicts directly: one pass through its layers (arXiv 1706.03762).
	ArchitectureTransformer Architecture = "Transformer"
	// ArchitectureUniversalTransformer passes through the same layer again and again (arXiv 1807.03819).
	ArchitectureUniversalTransformer Architecture = "UniversalTransformer"
	// ArchitectureElmanRNN is the plain network that is recurrent over positions (Elman 1990).
	ArchitectureElmanRNN Architecture = "ElmanRNN"
	// ArchitectureClockworkRNN has groups of columns that are updated at different rates (arXiv 1402.3511).
	ArchitectureClockworkRNN Architecture = "ClockworkRNN"
	// ArchitectureHierarchicalRNN has levels, each of which reads the one below at a lower rate (El Hihi and Bengio 1996).
	ArchitectureHierarchicalRNN Architecture = "HierarchicalRNN"
	// ArchitectureMultiscaleRNN has levels that find by themselves where to hand on what they have read (arXiv 1609.01704).
	ArchitectureMultiscaleRNN Architecture = "MultiscaleRNN"
	// ArchitectureMixtureOfRecursions passes through the same layers again and again, at ever fewer positions that a router chooses
	// (arXiv 2507.10524).
	ArchitectureMixtureOfRecursions Architecture = "MixtureOfRecursions"
	// ArchitectureNeuralHistoryCompressor is a recurrent network that predicts tokens, and one that reads those that the first did not
	// (Schmidhuber 1992, Neural Computation 4(2)).
	ArchitectureNeuralHistoryCompressor Architecture = "NeuralHistoryCompressor"
	// ArchitectureFastWeights is a recurrent network that also attends to its own past states (arXiv 1610.06258).
	ArchitectureFastWeights Architecture = "FastWeights"
)

// PositionEncoding says how a model knows positions.
// +kubebuilder:validation:Enum=RoPE;Learned;None
type PositionEncoding string

// The position encodings.
const (
	PositionEncodingRoPE    PositionEncoding = "RoPE"
	PositionEncodingLearned PositionEncoding = "Learned"
	PositionEncodingNone    PositionEncoding = "None"
)

// Mixing is how a layer lets positions see each other.
// +kubebuilder:validation:Enum=Attention;MLP
type Mixing string

// The ways to mix.
const (
	MixingAttention Mixing = "Attention"
	// MixingMLP is a SwiGLU over the positions, one for all channels (arXiv 2105.01601).
	MixingMLP Mixing = "MLP"
)

// Combination is how a module takes its input into its state.
// +kubebuilder:validation:Enum=Add;Gated
type Combination string

// The ways to combine.
const (
	CombinationAdd Combination = "Add"
	// CombinationGated learns how much of either to take, and begins as Add.
	CombinationGated Combination = "Gated"
)

// GradientReach is how far back in a segment the gradient goes.
// +kubebuilder:validation:Enum=OneStep;LastCycle;Full;Steps
type GradientReach string

// The reaches of the gradient.
const (
	// GradientOneStep is the last update of each module.
	GradientOneStep GradientReach = "OneStep"
	// GradientLastCycle is the last high-level cycle, with all its low-level updates.
	GradientLastCycle GradientReach = "LastCycle"
	// GradientFull is the whole segment.
	GradientFull GradientReach = "Full"
	// GradientSteps is the last model.gradientSteps updates, of whichever module.
	GradientSteps GradientReach = "Steps"
)

// Sharing says which parts of a UniversalTransformer's layers are the same weights (arXiv 1909.11942).
// +kubebuilder:validation:Enum=All;Attention;FeedForward
type Sharing string

// The shared parts.
const (
	SharingAll Sharing = "All"
	// SharingAttention gives every layer a feed-forward part of its own.
	SharingAttention Sharing = "Attention"
	// SharingFeedForward gives every layer an attention (or what mixes positions in its place) of its own.
	SharingFeedForward Sharing = "FeedForward"
)

// Loss names the token loss.
// +kubebuilder:validation:Enum=Stablemax;Softmax
type Loss string

// The token losses.
const (
	LossStablemax Loss = "Stablemax"
	LossSoftmax   Loss = "Softmax"
)

// Halting says when training is done with an example.
// +kubebuilder:validation:Enum=QLearning;QHalt;QDifference;Fixed
type Halting string

// The ways to halt.
const (
	// HaltingQLearning halts where the Q head expects less of going on; what it expects costs another segment without gradient.
	HaltingQLearning Halting = "QLearning"
	// HaltingQHalt halts where the Q head holds the answer for right, q_halt > 0. It learns nothing of going on.
	HaltingQHalt Halting = "QHalt"
	// HaltingQDifference halts where q_halt > q_continue, though q_continue is never taught: so does the official Transformer.
	HaltingQDifference Halting = "QDifference"
	// HaltingFixed halts after act.maxSteps segments: deep supervision without adaptive computation time.
	HaltingFixed Halting = "Fixed"
)

// ModelSpec is the network.
// +kubebuilder:validation:XValidation:rule="!has(self.hiddenSize) || !has(self.numHeads) || self.hiddenSize % self.numHeads == 0",message="model.numHeads must divide model.hiddenSize: change one of them",fieldPath=".numHeads"
// +kubebuilder:validation:XValidation:rule="!has(self.positionEncoding) || !has(self.hiddenSize) || !has(self.numHeads) || self.positionEncoding != 'RoPE' || (self.hiddenSize / self.numHeads) % 2 == 0",message="model.positionEncoding RoPE needs an even hiddenSize/numHeads: change numHeads or use Learned",fieldPath=".positionEncoding"
// +kubebuilder:validation:XValidation:rule="!has(self.puzzleEmbeddingSize) || self.puzzleEmbeddingSize <= 64 * self.hiddenSize",message="model.puzzleEmbeddingSize may be at most 64 times model.hiddenSize",fieldPath=".puzzleEmbeddingSize"
// +kubebuilder:validation:XValidation:rule="!has(self.puzzleEmbeddingPositions) || (has(self.puzzleEmbeddingSize) ? self.puzzleEmbeddingSize > 0 && self.puzzleEmbeddingPositions * self.hiddenSize >= self.puzzleEmbeddingSize : true)",message="model.puzzleEmbeddingPositions must have room for model.puzzleEmbeddingSize, which must be above 0: change one of them",fieldPath=".puzzleEmbeddingPositions"
// +kubebuilder:validation:XValidation:rule="!has(self.layers) || has(self.architecture) && self.architecture != 'HRM'",message="model.layers is not for architecture HRM: use hLayers and lLayers",fieldPath=".layers"
// +kubebuilder:validation:XValidation:rule="!has(self.layers) || !has(self.architecture) || !(self.architecture in ['ElmanRNN', 'ClockworkRNN', 'HierarchicalRNN', 'MultiscaleRNN', 'NeuralHistoryCompressor', 'FastWeights'])",message="model.layers is not for architectures that are recurrent over positions: remove it",fieldPath=".layers"
// +kubebuilder:validation:XValidation:rule="!has(self.mixing) || !has(self.architecture) || !(self.architecture in ['ElmanRNN', 'ClockworkRNN', 'HierarchicalRNN', 'MultiscaleRNN', 'NeuralHistoryCompressor', 'FastWeights'])",message="model.mixing is not for architectures that are recurrent over positions: remove it",fieldPath=".mixing"
// +kubebuilder:validation:XValidation:rule="!has(self.hLayers) || !has(self.architecture) || self.architecture == 'HRM'",message="model.hLayers is only for architecture HRM: use layers",fieldPath=".hLayers"
// +kubebuilder:validation:XValidation:rule="!has(self.lLayers) || (!has(self.architecture) || self.architecture == 'HRM') && (!has(self.levels) || self.levels == 2)",message="model.lLayers is only for architecture HRM with two levels: remove it",fieldPath=".lLayers"
// +kubebuilder:validation:XValidation:rule="!has(self.hCycles) || !has(self.architecture) || self.architecture in ['HRM', 'TRM']",message="model.hCycles is only for architectures HRM and TRM: remove it",fieldPath=".hCycles"
// +kubebuilder:validation:XValidation:rule="!has(self.lCycles) || (!has(self.architecture) || self.architecture in ['HRM', 'TRM']) && (!has(self.levels) || self.levels == 2)",message="model.lCycles is only for architectures HRM and TRM with two levels: remove it",fieldPath=".lCycles"
// +kubebuilder:validation:XValidation:rule="!has(self.levels) || !has(self.architecture) || self.architecture in ['HRM', 'ClockworkRNN', 'HierarchicalRNN', 'MultiscaleRNN']",message="model.levels is only for architectures HRM, ClockworkRNN, HierarchicalRNN and MultiscaleRNN: remove it",fieldPath=".levels"
// +kubebuilder:validation:XValidation:rule="!has(self.levels) || has(self.architecture) && self.architecture != 'HRM' || self.levels <= 2",message="model.levels of architecture HRM are 1 or 2: change it",fieldPath=".levels"
// +kubebuilder:validation:XValidation:rule="!has(self.levels) || !has(self.architecture) || self.architecture == 'HRM' || self.levels >= 2",message="model.levels must be at least 2: a single level is architecture ElmanRNN",fieldPath=".levels"
// +kubebuilder:validation:XValidation:rule="!has(self.hiddenSize) || !has(self.architecture) || self.architecture == 'HRM' || self.hiddenSize % (has(self.levels) ? self.levels : self.architecture == 'MultiscaleRNN' ? 2 : self.architecture in ['ClockworkRNN', 'HierarchicalRNN'] ? 4 : 1) == 0",message="model.levels (by default 4, of a MultiscaleRNN 2) must divide model.hiddenSize: change one of them",fieldPath=".levels"
// +kubebuilder:validation:XValidation:rule="!has(self.period) || has(self.architecture) && self.architecture in ['ClockworkRNN', 'HierarchicalRNN']",message="model.period is only for architectures ClockworkRNN and HierarchicalRNN: remove it",fieldPath=".period"
// +kubebuilder:validation:XValidation:rule="!has(self.sharing) || has(self.architecture) && self.architecture == 'UniversalTransformer'",message="model.sharing is only for architecture UniversalTransformer: remove it",fieldPath=".sharing"
// +kubebuilder:validation:XValidation:rule="!has(self.gradient) || !has(self.architecture) || self.architecture in ['HRM', 'TRM']",message="model.gradient is only for architectures HRM and TRM, others have the whole one: remove it",fieldPath=".gradient"
// +kubebuilder:validation:XValidation:rule="has(self.gradientSteps) == (has(self.gradient) && self.gradient == 'Steps')",message="model.gradientSteps and gradient Steps need each other: set both or neither",fieldPath=".gradientSteps"
// +kubebuilder:validation:XValidation:rule="!has(self.gradientSteps) || self.gradientSteps > 1 || has(self.levels) && self.levels == 1",message="model.gradientSteps must be at least 2, so that the gradient reaches both modules",fieldPath=".gradientSteps"
// +kubebuilder:validation:XValidation:rule="!has(self.recursions) || has(self.architecture) && self.architecture == 'MixtureOfRecursions'",message="model.recursions is only for architecture MixtureOfRecursions: remove it",fieldPath=".recursions"
// +kubebuilder:validation:XValidation:rule="!has(self.innerSteps) || has(self.architecture) && self.architecture == 'FastWeights'",message="model.innerSteps is only for architecture FastWeights: remove it",fieldPath=".innerSteps"
// +kubebuilder:validation:XValidation:rule="!has(self.fastDecay) || has(self.architecture) && self.architecture == 'FastWeights'",message="model.fastDecay is only for architecture FastWeights: remove it",fieldPath=".fastDecay"
// +kubebuilder:validation:XValidation:rule="!has(self.fastDecay) || double(self.fastDecay) <= 1.0",message="model.fastDecay must be at most 1, at which nothing is forgotten",fieldPath=".fastDecay"
// +kubebuilder:validation:XValidation:rule="!has(self.fastRate) || has(self.architecture) && self.architecture == 'FastWeights'",message="model.fastRate is only for architecture FastWeights: remove it",fieldPath=".fastRate"
// +kubebuilder:validation:XValidation:rule="!has(self.fastRate) || double(self.fastRate) <= 10.0",message="model.fastRate must be at most 10",fieldPath=".fastRate"
type ModelSpec struct {
	// architecture of the network.
	// +optional
	// +kubebuilder:default=HRM
	Architecture Architecture `json:"architecture,omitempty"`
	// hiddenSize is the width D of every position's state.
	// +optional
	// +kubebuilder:default=512
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=8192
	HiddenSize int32 `json:"hiddenSize,omitempty"`
	// numHeads of attention; it divides hiddenSize.
	// +optional
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	NumHeads int32 `json:"numHeads,omitempty"`
	// expansion of the SwiGLU: its width is expansion*hiddenSize*2/3, rounded up to a multiple of 256.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	Expansion int32 `json:"expansion,omitempty"`
	// layers is the number of layers: of TRM's network or a MixtureOfRecursions (default 2), of a Transformer, or how often a
	// UniversalTransformer passes through its layer (default 8).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	Layers int32 `json:"layers,omitempty"`
	// recursions is how often a MixtureOfRecursions passes through its layers, the last time at one in as many positions; the default
	// is 3.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Recursions int32 `json:"recursions,omitempty"`
	// innerSteps of FastWeights is how often a new state attends to the past before it is final; the default is 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	InnerSteps int32 `json:"innerSteps,omitempty"`
	// fastDecay of FastWeights is by which factor a state counts less with each position that passes; the default is 0.95.
	// +optional
	FastDecay Decimal `json:"fastDecay,omitempty"`
	// fastRate of FastWeights is how much the last state counts; the default is 0.5.
	// +optional
	FastRate Decimal `json:"fastRate,omitempty"`
	// hLayers is the number of layers of HRM's slow, high-level module (default 4).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	HLayers int32 `json:"hLayers,omitempty"`
	// lLayers is the number of layers of HRM's fast, low-level module (default 4).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	LLayers int32 `json:"lLayers,omitempty"`
	// hCycles is the number of high-level updates of a segment of HRM (default 2) or TRM (default 3).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	HCycles int32 `json:"hCycles,omitempty"`
	// lCycles is the number of low-level updates in each high-level cycle of HRM (default 2) or TRM (default 6).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	LCycles int32 `json:"lCycles,omitempty"`
	// levels of HRM: 2 by default. With 1 there is no low-level module, and the high-level one sees the input itself. Of a
	// ClockworkRNN (default 4), a HierarchicalRNN (default 4) or a MultiscaleRNN (default 2) into how many groups of columns the
	// state is divided; it divides hiddenSize.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	Levels int32 `json:"levels,omitempty"`
	// period of a ClockworkRNN or a HierarchicalRNN (default 2): level i, counted from 0, is updated every period^i positions.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=64
	Period int32 `json:"period,omitempty"`
	// gradient is how far back in a segment of HRM (default OneStep) or TRM (default LastCycle) the gradient goes.
	// +optional
	Gradient GradientReach `json:"gradient,omitempty"`
	// gradientSteps is through how many of a segment's last updates the gradient goes, if gradient is Steps; what a segment has
	// fewer of is all.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4160
	GradientSteps int32 `json:"gradientSteps,omitempty"`
	// combination is how a module takes its input into its state; the default is Add.
	// +optional
	Combination Combination `json:"combination,omitempty"`
	// mixing is how a layer lets positions see each other; the default is Attention.
	// +optional
	Mixing Mixing `json:"mixing,omitempty"`
	// sharing says which parts of the layers of a UniversalTransformer are the same; the default is All.
	// +optional
	Sharing Sharing `json:"sharing,omitempty"`
	// positionEncoding of the tokens. RoPE is part of attention: where an MLP mixes positions it does nothing.
	// +optional
	// +kubebuilder:default=RoPE
	PositionEncoding PositionEncoding `json:"positionEncoding,omitempty"`
	// loss of the predicted tokens.
	// +optional
	// +kubebuilder:default=Stablemax
	Loss Loss `json:"loss,omitempty"`
	// puzzleEmbeddingSize is the width of the learned vector of each puzzle; the default is hiddenSize, 0 means none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=524288
	PuzzleEmbeddingSize *int32 `json:"puzzleEmbeddingSize,omitempty"`
	// puzzleEmbeddingPositions is how many positions before the tokens that vector takes, the rest of them zeros; the default
	// is as many as it needs, with TRM 16.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	PuzzleEmbeddingPositions int32 `json:"puzzleEmbeddingPositions,omitempty"`
	// act is adaptive computation time.
	// +optional
	// +kubebuilder:default={}
	ACT ACTSpec `json:"act,omitzero"`
}

// ACTSpec is adaptive computation time by Q-learning.
// +kubebuilder:validation:XValidation:rule="!has(self.explorationProbability) || double(self.explorationProbability) <= 1.0",message="model.act.explorationProbability is a probability: at most 1",fieldPath=".explorationProbability"
type ACTSpec struct {
	// maxSteps is the largest number of segments for one example.
	// +optional
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	MaxSteps int32 `json:"maxSteps,omitempty"`
	// halting decides how many segments an example gets in training: what QLearning finds best (the default with HRM), as many
	// as QHalt needs to hold its answer for right (the default with others), or Fixed, always maxSteps. QLearning takes some eight
	// fifths of the time of the others for each of them, with HRM's gradient. Evaluation runs evaluation.segments with all.
	// +optional
	Halting Halting `json:"halting,omitempty"`
	// explorationProbability of keeping an example for a random least number of segments.
	// +optional
	// +kubebuilder:default="0.1"
	ExplorationProbability Decimal `json:"explorationProbability,omitempty"`
}
