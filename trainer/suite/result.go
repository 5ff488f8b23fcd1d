package suite

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/fieldpath"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// State is how far a run has come.
type State string

// The states of a run.
const (
	NotStarted State = "NotStarted"
	// Unfinished runs train now, or were interrupted.
	Unfinished State = "Unfinished"
	// Failed runs have ended with an error, and not been started again.
	Failed State = "Failed"
	// Other is what lies in the run's place, but was trained by another recipe than the suite's.
	Other    State = "Other"
	Finished State = "Finished"
)

// Result is what a run has come to. What is not known is nil.
type Result struct {
	Run string `json:"run"`
	// Values are those of the axes, by their names.
	Values map[string]string `json:"values"`
	State  State             `json:"state"`
	// Metric is by what the job calls a checkpoint the best one, and the suite compares.
	Metric v1alpha1.EvaluationMetric `json:"metric"`
	// Why says why a run has failed, ended early, or is another one.
	Why        string `json:"why,omitempty"`
	Steps      int64  `json:"steps"`
	TotalSteps int64  `json:"totalSteps,omitempty"`
	// Parameters that are trained, puzzle embeddings not counted.
	Parameters int64 `json:"parameters,omitempty"`
	// SamplesPerSecond is the median in training.
	SamplesPerSecond *float64 `json:"samplesPerSecond,omitempty"`
	// Loss is the mean of the last hundred steps, and HaltedAfter that of the segments until an example halts in training.
	Loss        *float64 `json:"loss,omitempty"`
	HaltedAfter *float64 `json:"haltedAfter,omitempty"`
	// The figures of the last evaluation during training, with the segments of evaluation.segments.
	ExactAccuracy *float64           `json:"exactAccuracy,omitempty"`
	TokenAccuracy *float64           `json:"tokenAccuracy,omitempty"`
	Examples      int                `json:"examples,omitempty"`
	Scores        map[string]float64 `json:"scores,omitempty"`

	// Evaluation is what has been measured for the suite.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Evaluation is what a trained model's answers come to, by the number of segments.
type Evaluation struct {
	// Checkpoint is the one that was measured, by its key below the run's place, and MaxExamples how many were asked for.
	Checkpoint  string     `json:"checkpoint"`
	MaxExamples int        `json:"maxExamples"`
	Points      []EvalPart `json:"points"`
}

// EvalPart is what the answers after a number of segments come to. Scores are the task's own, by name.
type EvalPart struct {
	Segments      int                `json:"segments"`
	Examples      int                `json:"examples"`
	ExactAccuracy float64            `json:"exactAccuracy"`
	TokenAccuracy float64            `json:"tokenAccuracy"`
	Scores        map[string]float64 `json:"scores,omitempty"`
}

// Covers says whether an evaluation that was kept tells what is wanted of a checkpoint.
func (e *Evaluation) Covers(checkpoint string, maxExamples int, segments []int) bool {
	if e == nil || e.Checkpoint != checkpoint || e.MaxExamples != maxExamples {
		return false
	}
	return !slices.ContainsFunc(segments, func(n int) bool { return e.at(n) == nil })
}

func (e *Evaluation) at(segments int) *EvalPart {
	i := slices.IndexFunc(e.Points, func(p EvalPart) bool { return p.Segments == segments })
	if i < 0 {
		return nil
	}
	return &e.Points[i]
}

// tailLines is how many lines of the journal, of ten steps each, the last loss is the mean of.
const tailLines = 10

// AddJournal takes from a run's journal what it tells of the run.
func (r *Result) AddJournal(records []progress.Record) {
	var rates []float64
	for _, record := range records {
		r.Steps = max(r.Steps, record.Step)
		if record.SamplesPerSecond > 0 {
			rates = append(rates, record.SamplesPerSecond)
		}
		if record.EvalExactAccuracy != nil {
			r.ExactAccuracy, r.TokenAccuracy = record.EvalExactAccuracy, record.EvalAccuracy
			r.Examples, r.Scores = record.EvalExamples, record.EvalScores
		}
	}
	r.SamplesPerSecond = median(rates)
	r.Loss = tailMean(records, func(r progress.Record) *float64 { return r.Loss })
	r.HaltedAfter = tailMean(records, func(r progress.Record) *float64 { return r.Steps })
}

func median(list []float64) *float64 {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return &list[len(list)/2]
}

// tailMean is the mean of the last lines that have a value.
func tailMean(records []progress.Record, value func(progress.Record) *float64) *float64 {
	sum, n := 0.0, 0
	for _, record := range slices.Backward(records) {
		if v := value(record); v != nil && n < tailLines {
			sum, n = sum+*v, n+1
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}

// A measure is the figure by which a suite's runs are compared: the one that their jobs call the best checkpoint's.
type measure struct {
	name string
	of   func(exact, tokens *float64, scores map[string]float64) *float64
}

// measureOf returns the measure of jobs that are told to use a metric. Scores are known by the names that the tasks' scorers give.
func measureOf(metric v1alpha1.EvaluationMetric) measure {
	score := func(name string) measure {
		return measure{name, func(_, _ *float64, scores map[string]float64) *float64 {
			if v, ok := scores[name]; ok {
				return &v
			}
			return nil
		}}
	}
	switch metric {
	case v1alpha1.EvaluationMetricTokenAccuracy:
		return measure{"tokens", func(_, tokens *float64, _ map[string]float64) *float64 { return tokens }}
	case v1alpha1.EvaluationMetricPassAt1:
		return score("pass_at_1")
	case v1alpha1.EvaluationMetricPassAt2:
		return score("pass_at_2")
	case v1alpha1.EvaluationMetricValidAccuracy:
		return score("shortest_path")
	}
	return measure{"exact", func(exact, _ *float64, _ map[string]float64) *float64 { return exact }}
}

// end is the measure of a finished run's last evaluation in training; after is that of so many segments.
func (m measure) end(r *Result) *float64 {
	if r.State != Finished {
		return nil
	}
	return m.of(r.ExactAccuracy, r.TokenAccuracy, r.Scores)
}

func (m measure) after(r *Result, segments int) *float64 {
	if r.Evaluation == nil {
		return nil
	}
	p := r.Evaluation.at(segments)
	if p == nil {
		return nil
	}
	return m.of(&p.ExactAccuracy, &p.TokenAccuracy, p.Scores)
}

// Differences lists the fields in which a job is not as the suite wants it; empty if there are none.
func Differences(is, wanted *v1alpha1.HRMTrainingJobSpec) string {
	have, want := fieldpath.Flatten(is), fieldpath.Flatten(wanted)
	names := maps.Clone(have)
	maps.Copy(names, want)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if x, y := cmp.Or(have[name], "unset"), cmp.Or(want[name], "unset"); x != y {
			list = append(list, fmt.Sprintf("%s is %s, not %s", name, x, y))
		}
	}
	return strings.Join(list, "; ")
}
