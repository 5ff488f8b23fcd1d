package dataset

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// SubmissionWriter is a Scorer that can put the answers into the form in which a competition takes them.
type SubmissionWriter interface {
	Scorer
	// WriteSubmission writes the answers so far as JSON.
	WriteSubmission(w io.Writer) error
}

// arcScorer lets the variants of a test input vote for its answer.
type arcScorer struct {
	election *arc.Election
	tasks    []arc.Task
	// ballots says what each example is.
	ballots []arcBallot
	ks      []int
}

// arcBallot is a variant of a test input.
type arcBallot struct {
	task, input int32
	variant     *arc.Augmentation
}

func newARCScorer(d *Dataset, dir string) (Scorer, error) {
	s := &arcScorer{ballots: make([]arcBallot, 0, d.Examples())}
	if d.Examples() == 0 {
		s.election = arc.NewElection(nil)
		return s, nil
	}
	file := filepath.Join(dir, testPuzzlesName)
	var tasks []arc.Task
	if err := opened(file, func(r io.Reader) (err error) { tasks, err = arc.ParseChallenges(file, r); return err }); err != nil {
		return nil, fmt.Errorf("score answers to ARC tasks: %w", err)
	}
	s.tasks, s.election = tasks, arc.NewElection(tasks)
	names, err := readIdentifiers(dir, d.NumPuzzleIdentifiers)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]int, len(tasks))
	for i, t := range tasks {
		byID[t.ID] = i
	}
	inputs, labels, identifier := make([]int32, d.SeqLen), make([]int32, d.SeqLen), make([]int32, 1)
	input := func(example, puzzle int) arc.Grid {
		d.Fill([]Draw{{int32(example), int32(puzzle)}}, inputs, labels, identifier)
		return arc.Crop(inputs)
	}
	for p := range d.Puzzles() {
		if err := s.addPuzzle(d, p, names[d.identifiers[p]], byID, tasks, input); err != nil {
			return nil, dataerror.New(file, 0, "%v: build the dataset again", err)
		}
	}
	most := int32(0)
	for g := range d.Groups() {
		most = max(most, d.groups[g+1]-d.groups[g])
	}
	for _, k := range []int{1, 2, 10, 100, 1000} {
		if k <= 2 || k <= int(most) {
			s.ks = append(s.ks, k)
		}
	}
	return s, nil
}

// addPuzzle finds out what the examples of a puzzle are: they come in the order of the task's test inputs.
func (s *arcScorer) addPuzzle(d *Dataset, p int, name string, byID map[string]int, tasks []arc.Task, input func(example, puzzle int) arc.Grid) error {
	id, a, err := arc.ParseName(name)
	if err != nil {
		return err
	}
	task, ok := byID[id]
	if !ok {
		return fmt.Errorf("the task %s of the test split is missing", id)
	}
	first, end := int(d.puzzles[p]), int(d.puzzles[p+1])
	if want := len(tasks[task].Test); end-first != want {
		return fmt.Errorf("task %s has %d test inputs, but %d examples of variant %s", id, want, end-first, name)
	}
	for i := first; i < end; i++ {
		if !a.Undo(input(i, p)).Equal(tasks[task].Test[i-first].Input) {
			return fmt.Errorf("example %d of the test split is not test input %d of variant %s", i, i-first+1, name)
		}
		s.ballots = append(s.ballots, arcBallot{int32(task), int32(i - first), &a})
	}
	return nil
}

func readIdentifiers(dir string, want int) (names []string, err error) {
	if names, err = ReadIdentifiers(dir); err != nil {
		return nil, err
	}
	if len(names) != want {
		return nil, dataerror.New(filepath.Join(dir, identifiersName), 0, "%d names for %d identifiers: build the dataset again", len(names), want)
	}
	return names, nil
}

// Fresh implements Scorer.
func (s *arcScorer) Fresh() Scorer {
	return &arcScorer{election: arc.NewElection(s.tasks), tasks: s.tasks, ballots: s.ballots, ks: s.ks}
}

// Add implements Scorer.
func (s *arcScorer) Add(example int, answer []int32, qHalt float32) {
	b := s.ballots[example]
	s.election.Vote(int(b.task), int(b.input), b.variant, answer, qHalt)
}

// Scores implements Scorer: the ARC Prize's figures, then those of HRM's authors, for one and two answers, then for more.
func (s *arcScorer) Scores() []Score {
	results, tasks := s.election.Results(s.ks)
	metrics := map[int]v1alpha1.EvaluationMetric{1: v1alpha1.EvaluationMetricPassAt1, 2: v1alpha1.EvaluationMetricPassAt2}
	var prize, whole, more []Score
	for _, r := range results {
		p := Score{Name: fmt.Sprintf("pass_at_%d", r.K), Metric: metrics[r.K], Value: r.Prize, Of: tasks}
		w := Score{Name: fmt.Sprintf("hrm_pass_at_%d", r.K), Value: r.Whole, Of: tasks}
		if r.K <= 2 {
			prize, whole = append(prize, p), append(whole, w)
		} else {
			more = append(more, p, w)
		}
	}
	return append(append(prize, whole...), more...)
}

// WriteSubmission implements SubmissionWriter.
func (s *arcScorer) WriteSubmission(w io.Writer) error { return s.election.WriteSubmission(w) }
