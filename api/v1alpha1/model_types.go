package v1alpha1

// Architecture names a model.
// +kubebuilder:validation:Enum=HRM
type Architecture string

// ArchitectureHRM is the Hierarchical Reasoning Model of arXiv 2506.21734.
const ArchitectureHRM Architecture = "HRM"

// PositionEncoding says how a model knows positions.
// +kubebuilder:validation:Enum=RoPE;Learned
type PositionEncoding string

// The position encodings.
const (
	PositionEncodingRoPE    PositionEncoding = "RoPE"
	PositionEncodingLearned PositionEncoding = "Learned"
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
// +kubebuilder:validation:Enum=QLearning;Fixed
type Halting string

// The ways to halt.
const (
	// HaltingQLearning halts where the Q head expects less of going on; what it expects costs another segment without gradient.
	HaltingQLearning Halting = "QLearning"
	// HaltingFixed halts after act.maxSteps segments: deep supervision without adaptive computation time.
	HaltingFixed Halting = "Fixed"
)

// ModelSpec is the network.
// +kubebuilder:validation:XValidation:rule="!has(self.hiddenSize) || !has(self.numHeads) || self.hiddenSize % self.numHeads == 0",message="model.numHeads must divide model.hiddenSize: change one of them",fieldPath=".numHeads"
// +kubebuilder:validation:XValidation:rule="!has(self.positionEncoding) || !has(self.hiddenSize) || !has(self.numHeads) || self.positionEncoding != 'RoPE' || (self.hiddenSize / self.numHeads) % 2 == 0",message="model.positionEncoding RoPE needs an even hiddenSize/numHeads: change numHeads or use Learned",fieldPath=".positionEncoding"
// +kubebuilder:validation:XValidation:rule="!has(self.puzzleEmbeddingSize) || self.puzzleEmbeddingSize <= 64 * self.hiddenSize",message="model.puzzleEmbeddingSize may be at most 64 times model.hiddenSize",fieldPath=".puzzleEmbeddingSize"
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
	// hLayers is the number of blocks of the slow, high-level module.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	HLayers int32 `json:"hLayers,omitempty"`
	// lLayers is the number of blocks of the fast, low-level module.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	LLayers int32 `json:"lLayers,omitempty"`
	// hCycles is the number of high-level updates of a segment.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	HCycles int32 `json:"hCycles,omitempty"`
	// lCycles is the number of low-level updates in each high-level cycle.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	LCycles int32 `json:"lCycles,omitempty"`
	// positionEncoding of the tokens.
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
	// halting decides how many segments an example gets in training: what QLearning finds best, or Fixed, always maxSteps,
	// which takes some five eighths of the time for each of them. Evaluation runs
	// evaluation.segments with both.
	// +optional
	// +kubebuilder:default=QLearning
	Halting Halting `json:"halting,omitempty"`
	// explorationProbability of keeping an example for a random least number of segments.
	// +optional
	// +kubebuilder:default="0.1"
	ExplorationProbability Decimal `json:"explorationProbability,omitempty"`
}
