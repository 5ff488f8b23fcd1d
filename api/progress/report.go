// Package progress is the wire form of how far a training run has come. Rank 0 of a job serves it at /progress, the
// operator reads it there, and the same JSON, final figures and all, is the pod's termination message. It imports the
// standard library only, so that both sides can share it without sharing anything else.
package progress

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Port is where a training pod serves Path.
const Port = 8080

// RendezvousPort is where rank 0 of a job with several pods meets the others.
const RendezvousPort = 29400

// Path is the address of the report below a pod's Port.
const Path = "/progress"

// MaxTerminationMessage is how much of a termination message Kubernetes keeps.
const MaxTerminationMessage = 4096

// Phase says what a training process is doing.
type Phase string

// The phases of a run, in the order in which a run passes through them; Saving and Training alternate.
const (
	PreparingDataset Phase = "PreparingDataset"
	Training         Phase = "Training"
	Saving           Phase = "Saving"
	Done             Phase = "Done"
)

// Interruption says why a process that exits with code 75 stopped.
const (
	Terminated = "Terminated" // it was told to by SIGTERM, and has saved
	PeerLost   = "PeerLost"   // only because a peer was lost
)

// Failure names what no other attempt mends, where the exit code says less.
const (
	GPUNotVisible = "GPUNotVisible" // the process was told to use a GPU and sees none
	GPUNotUsable  = "GPUNotUsable"  // it sees one that it cannot use
)

// Checkpoint names a complete checkpoint in the store.
type Checkpoint struct {
	URI  string    `json:"uri"`
	Step int64     `json:"step"`
	Time time.Time `json:"time"`
}

// Report is one look at a run. A figure that is not known yet is absent, never zero.
type Report struct {
	// Job is "namespace/name" and Attempt the number of the attempt that the process belongs to, as its environment
	// says: they tell the report of a process from that of another one that got its address later.
	Job     string `json:"job,omitempty"`
	Attempt int32  `json:"attempt,omitempty"`
	Nodes   int    `json:"nodes,omitempty"` // processes that train together

	Step       int64   `json:"step"`
	TotalSteps int64   `json:"totalSteps,omitempty"`
	Epoch      float64 `json:"epoch,omitempty"`

	Loss              *float64 `json:"loss,omitempty"`
	Accuracy          *float64 `json:"accuracy,omitempty"`
	ExactAccuracy     *float64 `json:"exactAccuracy,omitempty"`
	EvalExactAccuracy *float64 `json:"evalExactAccuracy,omitempty"`

	SamplesPerSecond    float64    `json:"samplesPerSecond,omitempty"`
	EstimatedCompletion *time.Time `json:"estimatedCompletion,omitempty"`

	Phase          Phase       `json:"phase,omitempty"`
	LastCheckpoint *Checkpoint `json:"lastCheckpoint,omitempty"`
	BestCheckpoint *Checkpoint `json:"bestCheckpoint,omitempty"`
	DatasetURI     string      `json:"datasetURI,omitempty"`

	// EndedEarly says why training ended before its last step, as complete; absent if it did not.
	EndedEarly string `json:"endedEarly,omitempty"`

	// Interruption is Terminated or PeerLost if the run was interrupted. Only termination messages carry it.
	Interruption string `json:"interruption,omitempty"`

	// Failure is GPUNotVisible or GPUNotUsable if that ended the run. Only termination messages carry it.
	Failure string `json:"failure,omitempty"`

	// Message is the reason a run ended, when it ended with an error. Only termination messages carry it.
	Message string `json:"message,omitempty"`
}

// TerminationMessage encodes the report within MaxTerminationMessage bytes, shortening Message (at a character's
// border) as far as needed.
func (r Report) TerminationMessage() ([]byte, error) {
	for {
		out, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		over := len(out) - MaxTerminationMessage
		if over <= 0 || r.Message == "" {
			return out, nil
		}
		keep := max(0, len(r.Message)-over)
		for keep > 0 && !utf8.RuneStart(r.Message[keep]) {
			keep--
		}
		r.Message = r.Message[:keep]
	}
}

// Parse reads a report. It reports false for anything that is not one, such as the tail of a log that stands in for a
// missing termination message.
func Parse(data []byte) (Report, bool) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return Report{}, false
	}
	return r, true
}
