package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// Task names what a dataset is about.
// +kubebuilder:validation:Enum=Sudoku;Maze;ARC;Custom
type Task string

// The tasks.
const (
	TaskSudoku Task = "Sudoku"
	TaskMaze   Task = "Maze"
	TaskARC    Task = "ARC"
	TaskCustom Task = "Custom"
)

// DatasetRecipe names a dataset that is put together from public collections.
// +kubebuilder:validation:Enum=SudokuHard
type DatasetRecipe string

// DatasetRecipeSudokuHard stands in for Sudoku-Extreme: the hardest public puzzles, in the proportions of its ratings.
const DatasetRecipeSudokuHard DatasetRecipe = "SudokuHard"

// EvaluationMetric is a figure of an evaluation; more is better.
// +kubebuilder:validation:Enum=ExactAccuracy;TokenAccuracy;ValidAccuracy;PassAt1;PassAt2
type EvaluationMetric string

// The evaluation metrics.
const (
	// EvaluationMetricExactAccuracy is the share of examples with every labelled token right.
	EvaluationMetricExactAccuracy EvaluationMetric = "ExactAccuracy"
	// EvaluationMetricTokenAccuracy is the share of right tokens, averaged over examples.
	EvaluationMetricTokenAccuracy EvaluationMetric = "TokenAccuracy"
	// EvaluationMetricValidAccuracy is the share of answers that the task's rules accept: of mazes, valid and shortest paths.
	EvaluationMetricValidAccuracy EvaluationMetric = "ValidAccuracy"
	// EvaluationMetricPassAt1 is the ARC Prize's score with one answer for each test input.
	EvaluationMetricPassAt1 EvaluationMetric = "PassAt1"
	// EvaluationMetricPassAt2 is the ARC Prize's score with two answers for each test input.
	EvaluationMetricPassAt2 EvaluationMetric = "PassAt2"
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

// Precision is the number format of activations; parameters are always float32.
// +kubebuilder:validation:Enum=BFloat16;Float32
type Precision string

// The precisions.
const (
	PrecisionBFloat16 Precision = "BFloat16"
	PrecisionFloat32  Precision = "Float32"
)

// Decimal is a number in decimal or scientific notation, for example "1e-4".
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$`
type Decimal string

// The rules below look at has(…) first because the apiserver also tries them on the default {} of each section, before
// the fields' own defaults are filled in.

// HRMTrainingJobSpec says what to train, on what, with what.
// +kubebuilder:validation:XValidation:rule="self.training.globalBatchSize % self.nodes == 0",message="training.globalBatchSize must be a multiple of nodes: change one of them",fieldPath=".training.globalBatchSize"
// +kubebuilder:validation:XValidation:rule="self.model == oldSelf.model",message="model cannot be changed: create another job",fieldPath=".model"
// +kubebuilder:validation:XValidation:rule="self.dataset == oldSelf.dataset",message="dataset cannot be changed: create another job",fieldPath=".dataset"
// +kubebuilder:validation:XValidation:rule="self.training == oldSelf.training",message="training cannot be changed: create another job",fieldPath=".training"
// +kubebuilder:validation:XValidation:rule="self.storage == oldSelf.storage",message="storage cannot be changed: create another job",fieldPath=".storage"
// +kubebuilder:validation:XValidation:rule="self.nodes == oldSelf.nodes || self.suspend",message="nodes can only be changed while the job is suspended: set suspend to true first",fieldPath=".nodes"
// +kubebuilder:validation:XValidation:rule="self.template == oldSelf.template || self.suspend",message="template can only be changed while the job is suspended: set suspend to true first",fieldPath=".template"
type HRMTrainingJobSpec struct {
	// model is the network; the default is the published one of 27 million parameters.
	// +optional
	// +kubebuilder:default={}
	Model ModelSpec `json:"model,omitzero"`
	// dataset is what to learn.
	// +required
	Dataset DatasetSpec `json:"dataset,omitzero"`
	// training is the recipe; the default is the published one for Sudoku-Extreme.
	// +optional
	// +kubebuilder:default={}
	Training TrainingSpec `json:"training,omitzero"`
	// evaluation says when to measure on the held-out examples.
	// +optional
	// +kubebuilder:default={}
	Evaluation EvaluationSpec `json:"evaluation,omitzero"`
	// storage is the bucket that datasets and checkpoints go to.
	// +required
	Storage StorageSpec `json:"storage,omitzero"`
	// checkpoint says when to save and how much to keep.
	// +optional
	// +kubebuilder:default={}
	Checkpoint CheckpointSpec `json:"checkpoint,omitzero"`
	// nodes is the number of pods that train together.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Nodes int32 `json:"nodes,omitempty"`
	// image is the trainer's; the operator's default fits its own version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// template shapes the pods.
	// +optional
	// +kubebuilder:default={}
	Template PodTemplate `json:"template,omitzero"`
	// suspend stops the job, saved, and gives its resources back; setting it to false resumes.
	// +optional
	// +kubebuilder:default=false
	Suspend *bool `json:"suspend,omitempty"`
	// maxRestarts is how many failed attempts are tried again, and how many stalls in a row that no new step comes
	// between. Disruptions do not count.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MaxRestarts *int32 `json:"maxRestarts,omitempty"`
	// activeDeadlineSeconds ends the job as failed when it has been active for so long. As for a Kubernetes Job, time
	// suspended does not count, and resuming starts the clock anew.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// progressDeadlineSeconds restarts an attempt, from its last checkpoint, that got no further for so long.
	// +optional
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=30
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
	// ttlSecondsAfterFinished deletes the finished job after so long; checkpoints stay.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
	// terminationGracePeriodSeconds is the time a pod has to finish its step and save.
	// +optional
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=3600
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

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
	// which takes some five eighths of the time for each of them. Evaluation runs maxSteps segments with both.
	// +optional
	// +kubebuilder:default=QLearning
	Halting Halting `json:"halting,omitempty"`
	// explorationProbability of keeping an example for a random least number of segments.
	// +optional
	// +kubebuilder:default="0.1"
	ExplorationProbability Decimal `json:"explorationProbability,omitempty"`
}

// DatasetSpec is what to learn.
// +kubebuilder:validation:XValidation:rule="!has(self.maxBlanks) || self.task == 'Sudoku'",message="dataset.maxBlanks is only for task Sudoku: remove it",fieldPath=".maxBlanks"
// +kubebuilder:validation:XValidation:rule="!has(self.minRating) || self.task == 'Sudoku'",message="dataset.minRating is only for task Sudoku: remove it",fieldPath=".minRating"
// +kubebuilder:validation:XValidation:rule="!has(self.maxRating) || self.task == 'Sudoku'",message="dataset.maxRating is only for task Sudoku: remove it",fieldPath=".maxRating"
// +kubebuilder:validation:XValidation:rule="!has(self.minRating) || !has(self.maxRating) || self.minRating <= self.maxRating",message="dataset.minRating is above dataset.maxRating: no puzzle is left",fieldPath=".maxRating"
// +kubebuilder:validation:XValidation:rule="!has(self.recipe) || self.task == 'Sudoku'",message="dataset.recipe SudokuHard is only for task Sudoku: remove it",fieldPath=".recipe"
// +kubebuilder:validation:XValidation:rule="!has(self.maze) || self.task == 'Maze'",message="dataset.maze is only for task Maze: remove it",fieldPath=".maze"
// +kubebuilder:validation:XValidation:rule="has(self.source) && has(self.source.uri) || has(self.maze)",message="dataset.source is missing: say where the examples come from, or for task Maze how to generate them with dataset.maze",fieldPath=".source"
// +kubebuilder:validation:XValidation:rule="!(has(self.source) && has(self.maze))",message="dataset.source and dataset.maze exclude each other: read mazes, or generate them",fieldPath=".maze"
// +kubebuilder:validation:XValidation:rule="!has(self.source) || !has(self.source.additionalURIs) || self.task == 'ARC'",message="dataset.source.additionalURIs is only for task ARC: remove it",fieldPath=".source.additionalURIs"
// +kubebuilder:validation:XValidation:rule="!has(self.testFraction) || double(self.testFraction) < 1.0",message="dataset.testFraction must be below 1: training needs examples too",fieldPath=".testFraction"
type DatasetSpec struct {
	// task says how source is read.
	// +required
	Task Task `json:"task,omitempty"`
	// source is where the examples come from; mazes can also be generated.
	// +optional
	Source DatasetSource `json:"source,omitzero"`
	// recipe puts the dataset together from collections: source is then the folder that holds them.
	// +optional
	Recipe DatasetRecipe `json:"recipe,omitempty"`
	// maze generates mazes, in place of source.
	// +optional
	Maze *MazeSpec `json:"maze,omitempty"`
	// testFraction of the originals is held out, before any augmentation. A source that comes with a split keeps its own.
	// +optional
	// +kubebuilder:default="0.1"
	TestFraction Decimal `json:"testFraction,omitempty"`
	// subsample is the number of originals to train on; the default is all of them.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Subsample *int32 `json:"subsample,omitempty"`
	// augmentations is the number of variants made of each original, besides itself. A maze has 7, turned and mirrored:
	// any number above 0 makes all of them.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Augmentations int32 `json:"augmentations,omitempty"`
	// maxBlanks makes Sudokus easier: blanks are filled in from the solution until at most so many remain.
	// +optional
	// +kubebuilder:validation:Minimum=20
	// +kubebuilder:validation:Maximum=64
	MaxBlanks *int32 `json:"maxBlanks,omitempty"`
	// minRating leaves out Sudokus that are rated easier.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinRating *int32 `json:"minRating,omitempty"`
	// maxRating leaves out Sudokus that are rated harder.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxRating *int32 `json:"maxRating,omitempty"`
	// seed of the split, the subsample and the augmentations.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Seed int64 `json:"seed,omitempty"`
}

// DatasetSource is where examples come from.
type DatasetSource struct {
	// uri of a file (plain or gzip) or folder: s3://bucket/key, https://…, or a path that the pod sees.
	// An s3 URI is read from the storage's endpoint with its credentials.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri,omitempty"`
	// additionalURIs are further collections of ARC tasks, to train on.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	AdditionalURIs []string `json:"additionalURIs,omitempty"`
}

// MazeSpec generates mazes as Maze-Hard's authors do: walls at random, and the shortest path between two cells kept if it is long.
type MazeSpec struct {
	// size is the length of a side. 30 % to 50 % of the cells are walls.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=64
	Size int32 `json:"size,omitempty"`
	// minPathLength is what the number of cells of a shortest path must exceed.
	// +optional
	// +kubebuilder:default=110
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	MinPathLength int32 `json:"minPathLength,omitempty"`
	// count of mazes, held-out ones included.
	// +optional
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000000
	Count int32 `json:"count,omitempty"`
}

// TrainingSpec is the recipe.
// +kubebuilder:validation:XValidation:rule="!(has(self.epochs) && has(self.steps))",message="training.epochs and training.steps exclude each other: set one of them",fieldPath=".steps"
// +kubebuilder:validation:XValidation:rule="!has(self.minLearningRateRatio) || double(self.minLearningRateRatio) <= 1.0",message="training.minLearningRateRatio is a share of learningRate: at most 1",fieldPath=".minLearningRateRatio"
// +kubebuilder:validation:XValidation:rule="!has(self.beta1) || !has(self.beta2) || double(self.beta1) < 1.0 && double(self.beta2) < 1.0",message="training.beta1 and training.beta2 must be below 1",fieldPath=".beta1"
// +kubebuilder:validation:XValidation:rule="!has(self.learningRate) || double(self.learningRate) > 0.0 && double(self.learningRate) <= 1.0",message="training.learningRate must be above 0 and at most 1",fieldPath=".learningRate"
type TrainingSpec struct {
	// globalBatchSize is the number of examples per step, over all nodes.
	// +optional
	// +kubebuilder:default=768
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	GlobalBatchSize int32 `json:"globalBatchSize,omitempty"`
	// epochs over the originals; 20000 if neither epochs nor steps is set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Epochs *int32 `json:"epochs,omitempty"`
	// steps of the optimizer, in place of epochs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Steps *int64 `json:"steps,omitempty"`
	// learningRate of AdamATan2 after warm-up.
	// +optional
	// +kubebuilder:default="1e-4"
	LearningRate Decimal `json:"learningRate,omitempty"`
	// minLearningRateRatio is where the cosine ends, as a share of learningRate; 1 keeps it constant.
	// +optional
	// +kubebuilder:default="1"
	MinLearningRateRatio Decimal `json:"minLearningRateRatio,omitempty"`
	// warmupSteps until the full learning rate.
	// +optional
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=0
	WarmupSteps *int32 `json:"warmupSteps,omitempty"`
	// weightDecay of all parameters, decoupled.
	// +optional
	// +kubebuilder:default="1.0"
	WeightDecay Decimal `json:"weightDecay,omitempty"`
	// beta1 is the decay of the gradient's moving average.
	// +optional
	// +kubebuilder:default="0.9"
	Beta1 Decimal `json:"beta1,omitempty"`
	// beta2 is the decay of the squared gradient's moving average.
	// +optional
	// +kubebuilder:default="0.95"
	Beta2 Decimal `json:"beta2,omitempty"`
	// embedding is the recipe of the puzzle embeddings.
	// +optional
	// +kubebuilder:default={}
	Embedding EmbeddingTraining `json:"embedding,omitzero"`
	// seed of the initial weights, the order of examples and exploration.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Seed int64 `json:"seed,omitempty"`
	// precision of the activations.
	// +optional
	// +kubebuilder:default=BFloat16
	Precision Precision `json:"precision,omitempty"`
}

// EmbeddingTraining is the recipe of the puzzle embeddings: sparse SignSGD.
type EmbeddingTraining struct {
	// learningRate of the puzzle embeddings.
	// +optional
	// +kubebuilder:default="1e-4"
	LearningRate Decimal `json:"learningRate,omitempty"`
	// weightDecay of the puzzle embeddings.
	// +optional
	// +kubebuilder:default="1.0"
	WeightDecay Decimal `json:"weightDecay,omitempty"`
}

// EvaluationSpec says when to measure on the held-out examples. The end of training is always measured.
// +kubebuilder:validation:XValidation:rule="!(has(self.everyEpochs) && has(self.everySteps))",message="evaluation.everyEpochs and evaluation.everySteps exclude each other: set one of them",fieldPath=".everySteps"
type EvaluationSpec struct {
	// everyEpochs between two evaluations.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EveryEpochs *int32 `json:"everyEpochs,omitempty"`
	// everySteps between two evaluations, in place of everyEpochs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EverySteps *int64 `json:"everySteps,omitempty"`
	// maxExamples of the held-out set that are used.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	MaxExamples *int32 `json:"maxExamples,omitempty"`
	// segments for each example; the default is model.act.maxSteps. More of them than training has let a model think longer.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Segments *int32 `json:"segments,omitempty"`
	// metric decides which checkpoint is the best one, and when patience ends.
	// +optional
	// +kubebuilder:default=ExactAccuracy
	Metric EvaluationMetric `json:"metric,omitempty"`
	// patience ends training, as complete, after so many evaluations in a row without a better metric.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Patience *int32 `json:"patience,omitempty"`
}

// StorageSpec is an S3-compatible bucket.
// +kubebuilder:validation:XValidation:rule="!has(self.prefix) || !self.prefix.matches('^/|//|(^|/)[.][.]?(/|$)')",message="storage.prefix names a folder of the bucket: no part of it may be empty, . or ..",fieldPath=".prefix"
type StorageSpec struct {
	// endpoint of the S3 service, with its scheme; empty means AWS.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^/]+/?$`
	Endpoint string `json:"endpoint,omitempty"`
	// region of the bucket.
	// +optional
	// +kubebuilder:default=us-east-1
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Region string `json:"region,omitempty"`
	// bucket that exists already.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`
	Bucket string `json:"bucket,omitempty"`
	// prefix of all keys; the default is the job's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Prefix string `json:"prefix,omitempty"`
	// credentialsSecretRef names a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without it the pod's own
	// identity is used.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
	// caConfigMapRef names a ConfigMap whose ca.crt is trusted besides the system's authorities.
	// +optional
	CAConfigMapRef *LocalReference `json:"caConfigMapRef,omitempty"`
	// pathStyle puts the bucket into the path in place of the host name, as most self-hosted servers want it.
	// +optional
	// +kubebuilder:default=false
	PathStyle *bool `json:"pathStyle,omitempty"`
}

// LocalReference names an object in the job's namespace.
type LocalReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// CheckpointSpec says when to save. The end, SIGTERM and the best evaluation are always saved.
type CheckpointSpec struct {
	// everySteps between two checkpoints.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EverySteps *int64 `json:"everySteps,omitempty"`
	// everySeconds between two checkpoints.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	EverySeconds *int32 `json:"everySeconds,omitempty"`
	// keepLast is how many checkpoints are kept, besides the best one.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	KeepLast int32 `json:"keepLast,omitempty"`
}

// PodTemplate shapes the pods.
type PodTemplate struct {
	// resources of each pod, accelerators included.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// nodeSelector of the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations of the pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity of the pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// priorityClassName of the pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// serviceAccountName of the pods, for a workload identity; the pods get no Kubernetes token.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// env adds variables to the trainer.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`
	// datasetCache keeps datasets for the pods of a node, or of a claim, so that not each of them downloads its own.
	// +optional
	DatasetCache *DatasetCache `json:"datasetCache,omitempty"`
}

// DatasetCache is a volume that datasets stay in when pods go. Pods run as user 65532, which must be able to write to it.
// +kubebuilder:validation:XValidation:rule="has(self.hostPath) != has(self.claimName)",message="template.datasetCache takes either hostPath or claimName: set one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.hostPath) || !self.hostPath.matches('(^|/)[.][.](/|$)')",message="template.datasetCache.hostPath must not go up by ..",fieldPath=".hostPath"
// +kubebuilder:validation:XValidation:rule="!has(self.sizeLimit) || quantity(string(self.sizeLimit)).isGreaterThan(quantity('0'))",message="template.datasetCache.sizeLimit must be above 0, as in 50Gi",fieldPath=".sizeLimit"
type DatasetCache struct {
	// hostPath is a directory of the nodes; it is created, belonging to root, where there is none. The pod security
	// standards baseline and restricted do not allow it: use claimName there.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	HostPath string `json:"hostPath,omitempty"`
	// claimName is a PersistentVolumeClaim in the job's namespace; ReadWriteMany if pods on several nodes are to share it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ClaimName string `json:"claimName,omitempty"`
	// sizeLimit is the size above which the datasets that were not used for the longest time are removed.
	// +optional
	// +kubebuilder:default="50Gi"
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
}

// HRMTrainingJob trains a Hierarchical Reasoning Model.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=hrmjob;hrmjobs
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.progress.stepOfTotal`
// +kubebuilder:printcolumn:name="Loss",type=string,JSONPath=`.status.progress.loss`
// +kubebuilder:printcolumn:name="Exact",type=string,JSONPath=`.status.progress.evalExactAccuracy`
// +kubebuilder:printcolumn:name="Restarts",type=integer,JSONPath=`.status.restarts`
// +kubebuilder:printcolumn:name="Disruptions",type=integer,JSONPath=`.status.disruptions`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Nodes",type=integer,priority=1,JSONPath=`.spec.nodes`
// +kubebuilder:printcolumn:name="Attempts",type=integer,priority=1,JSONPath=`.status.attempts`
// +kubebuilder:printcolumn:name="Stalls",type=integer,priority=1,JSONPath=`.status.stalls`
// +kubebuilder:printcolumn:name="Samples/s",type=string,priority=1,JSONPath=`.status.progress.samplesPerSecond`
// +kubebuilder:printcolumn:name="Ends",type=string,priority=1,JSONPath=`.status.progress.estimatedCompletion`
// +kubebuilder:printcolumn:name="Checkpoint",type=string,priority=1,JSONPath=`.status.lastCheckpoint.uri`
type HRMTrainingJob struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`
	// spec is what the user wants.
	// +required
	Spec HRMTrainingJobSpec `json:"spec,omitzero"`
	// status is what the operator has seen.
	// +optional
	Status HRMTrainingJobStatus `json:"status,omitzero"`
}

// HRMTrainingJobList is a list of jobs.
// +kubebuilder:object:root=true
type HRMTrainingJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HRMTrainingJob `json:"items"`
}
