package v1alpha1

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
