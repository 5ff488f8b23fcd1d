package progress

import (
	"maps"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// Display shows a run to whoever started it.
type Display interface {
	// Show is called after every step and at every change of phase.
	Show(r progress.Report)
	// Note prints one sentence about something that happened.
	Note(text string)
	// Close leaves the terminal in order.
	Close()
}

// Step is what one training step adds to the picture. A figure that is not known is nil.
type Step struct {
	Step    int64
	Epoch   float64
	Samples int
	Took    time.Duration

	Loss, Accuracy, ExactAccuracy *float64
}

// Tracker holds the newest report of a run. Its methods may be called from several goroutines.
type Tracker struct {
	now     func() time.Time
	display Display

	mu     sync.Mutex
	report progress.Report
	rate   rate
	inside inside
}

// inside is what only /metrics tells: how a process is doing, beyond how far it has come.
type inside struct {
	parts       map[string]time.Duration
	saveFailed  int64
	peersLost   int64
	peerSilence func() time.Duration
	memory      func() int64
}

// NewTracker returns a tracker that reads the time from now and shows the run on display.
func NewTracker(now func() time.Time, display Display) *Tracker {
	return &Tracker{now: now, display: display, inside: inside{parts: map[string]time.Duration{}}}
}

// Report returns the newest report.
func (t *Tracker) Report() progress.Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.report
}

// Begin says where a run starts or resumes, and where it will end.
func (t *Tracker) Begin(step, total int64, epoch float64) {
	t.change(func(r *progress.Report) { r.Step, r.TotalSteps, r.Epoch = step, total, epoch })
}

// Phase says what the process does from now on.
func (t *Tracker) Phase(p progress.Phase) {
	t.change(func(r *progress.Report) { r.Phase = p })
}

// Dataset says where the run's dataset is kept.
func (t *Tracker) Dataset(uri string) {
	t.change(func(r *progress.Report) { r.DatasetURI = uri })
}

// Step records a finished training step. Figures that the step does not know keep their last value.
func (t *Tracker) Step(s Step) {
	t.change(func(r *progress.Report) {
		t.rate.add(s.Samples, s.Took)
		r.Step, r.Epoch, r.Phase = s.Step, s.Epoch, progress.Training
		r.Loss = newer(s.Loss, r.Loss)
		r.Accuracy = newer(s.Accuracy, r.Accuracy)
		r.ExactAccuracy = newer(s.ExactAccuracy, r.ExactAccuracy)
		r.SamplesPerSecond = t.rate.perSecond()
		r.EstimatedCompletion = t.estimate(*r, s.Samples)
	})
}

// Evaluated records the exact accuracy on puzzles that are not trained on.
func (t *Tracker) Evaluated(exact float64) {
	t.change(func(r *progress.Report) { r.EvalExactAccuracy = &exact })
}

// Saved records a complete checkpoint.
func (t *Tracker) Saved(c progress.Checkpoint, best bool) {
	t.change(func(r *progress.Report) {
		r.LastCheckpoint = &c
		if best {
			r.BestCheckpoint = &c
		}
	})
}

// Place says which job and attempt the process belongs to, as its environment says, and how many train together.
func (t *Tracker) Place(job string, attempt, nodes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Job, t.report.Attempt, t.report.Nodes = job, int32(attempt), nodes
}

// EndedEarly says why a run ends before its last step.
func (t *Tracker) EndedEarly(reason string) {
	t.change(func(r *progress.Report) { r.EndedEarly, r.EstimatedCompletion = reason, nil })
}

// Finished records that the run had come to its end before this process began; early says why it ended before its last
// step, if it did.
func (t *Tracker) Finished(c progress.Checkpoint, evalExact *float64, early string) {
	t.change(func(r *progress.Report) {
		r.Step, r.TotalSteps, r.LastCheckpoint, r.EvalExactAccuracy, r.Phase = c.Step, c.Step, &c, evalExact, progress.Done
		r.EndedEarly = early
	})
}

// Spent counts time that went into a part of the work.
func (t *Tracker) Spent(part string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside.parts[part] += d
}

// Parts returns the time that went into each part of the work.
func (t *Tracker) Parts() map[string]time.Duration {
	return t.insight().parts
}

// SaveFailed counts a try to save a checkpoint that failed.
func (t *Tracker) SaveFailed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside.saveFailed++
}

// PeerLost counts a process of the group that was lost.
func (t *Tracker) PeerLost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside.peersLost++
}

// Watch says where /metrics reads the device's memory, in bytes, and how long the quietest peer has given no sign of
// life. Either may be nil.
func (t *Tracker) Watch(memory func() int64, peerSilence func() time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside.memory, t.inside.peerSilence = memory, peerSilence
}

// insight copies what only /metrics tells.
func (t *Tracker) insight() inside {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.inside
	i.parts = maps.Clone(i.parts)
	return i
}

// Note tells the user about something that happened.
func (t *Tracker) Note(text string) { t.display.Note(text) }

// Close ends the display.
func (t *Tracker) Close() { t.display.Close() }

func (t *Tracker) change(f func(*progress.Report)) {
	t.mu.Lock()
	f(&t.report)
	r := t.report
	t.mu.Unlock()
	t.display.Show(r)
}

// estimate returns when the run will end at the present rate, to the second.
func (t *Tracker) estimate(r progress.Report, samplesPerStep int) *time.Time {
	if r.SamplesPerSecond <= 0 || r.TotalSteps <= 0 {
		return nil
	}
	seconds := float64(r.TotalSteps-r.Step) * float64(samplesPerStep) / r.SamplesPerSecond
	at := t.now().Add(time.Duration(seconds * float64(time.Second))).Truncate(time.Second)
	return &at
}

func newer(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}
