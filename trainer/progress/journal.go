package progress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// JournalKey is the name of the journal in a job's store, beside the checkpoints.
const JournalKey = "metrics.jsonl"

// AttemptJournalKey is the name of the journal of one attempt: the same lines, but only those that the attempt has
// written. It is empty if attempts are not counted.
func AttemptJournalKey(attempt int) string {
	if attempt < 1 {
		return ""
	}
	return fmt.Sprintf("attempts/%d/%s", attempt, JournalKey)
}

// Record is one line of metrics.jsonl: the means over the steps since the line before, or an evaluation.
type Record struct {
	Step  int64     `json:"step"`
	Epoch float64   `json:"epoch"`
	Time  time.Time `json:"time"`

	LearningRate     float64  `json:"learningRate,omitempty"`
	Loss             *float64 `json:"loss,omitempty"`
	LMLoss           *float64 `json:"lmLoss,omitempty"`
	QHaltLoss        *float64 `json:"qHaltLoss,omitempty"`
	QContinueLoss    *float64 `json:"qContinueLoss,omitempty"`
	Accuracy         *float64 `json:"accuracy,omitempty"`
	ExactAccuracy    *float64 `json:"exactAccuracy,omitempty"`
	QHaltAccuracy    *float64 `json:"qHaltAccuracy,omitempty"`
	Steps            *float64 `json:"steps,omitempty"`
	SamplesPerSecond float64  `json:"samplesPerSecond,omitempty"`

	EvalAccuracy      *float64 `json:"evalAccuracy,omitempty"`
	EvalExactAccuracy *float64 `json:"evalExactAccuracy,omitempty"`
	EvalExamples      int      `json:"evalExamples,omitempty"`
	// EvalScores are the task's own figures, by name.
	EvalScores map[string]float64 `json:"evalScores,omitempty"`

	// Seconds are those that the process has spent since its line before, by part of the work.
	Seconds map[string]float64 `json:"seconds,omitempty"`
}

// ReadJournal returns the records of a journal, and the number of lines that are none: one of a file that was cut off, say.
func ReadJournal(raw []byte) (records []Record, broken int) {
	for line := range bytes.Lines(raw) { // of any length, unlike those of a bufio.Scanner
		switch r, ok := parseRecord(line); {
		case ok:
			records = append(records, r)
		case len(bytes.TrimSpace(line)) > 0:
			broken++
		}
	}
	return records, broken
}

func parseRecord(line []byte) (r Record, ok bool) {
	ok = bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &r) == nil
	return r, ok
}

// Journal collects the lines of metrics.jsonl. A bucket cannot append, so the whole of it is written with every
// checkpoint. Its methods may be called from several goroutines.
type Journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// ResumeJournal returns the journal of a run that goes on from step: lines of later steps, which a run that was killed
// left behind and this one will write again, are dropped, and so is a line that is no record.
func ResumeJournal(old []byte, step int64) *Journal {
	j := &Journal{}
	for line := range bytes.Lines(old) {
		line = bytes.TrimSpace(line)
		if r, ok := parseRecord(line); ok && r.Step <= step {
			j.lines.Write(line)
			j.lines.WriteByte('\n')
		}
	}
	return j
}

// Add appends a record.
func (j *Journal) Add(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("journal of step %d: %w", r.Step, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines.Write(line)
	j.lines.WriteByte('\n')
	return nil
}

// Bytes returns a copy of all lines.
func (j *Journal) Bytes() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.lines.Bytes())
}
