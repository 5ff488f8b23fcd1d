package progress

import (
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// logLines is a Display for logs: a line now and then, and one at every change of phase.
type logLines struct {
	log   *slog.Logger
	now   func() time.Time
	every time.Duration

	mu    sync.Mutex
	said  time.Time
	phase progress.Phase
}

// NewLog returns a Display that writes at most one progress line per interval.
func NewLog(log *slog.Logger, every time.Duration, now func() time.Time) Display {
	return &logLines{log: log, every: every, now: now}
}

// ForFile returns a bar if f is a terminal, and log lines if not.
func ForFile(f *os.File, log *slog.Logger) Display {
	if fd := int(f.Fd()); term.IsTerminal(fd) {
		return NewBar(f, func() int {
			width, _, err := term.GetSize(fd)
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}, time.Now)
	}
	return NewLog(log, 10*time.Second, time.Now)
}

// Show writes a line if it is time for one.
func (l *logLines) Show(r progress.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	last := r.Phase == progress.Done && r.Phase != l.phase
	if settled := r.Phase == l.phase || r.Phase == progress.Saving || l.phase == progress.Saving; settled && now.Sub(l.said) < l.every && !last {
		return
	}
	l.said, l.phase = now, r.Phase
	l.log.Info("progress", attributes(r)...)
}

// Note writes a line.
func (l *logLines) Note(text string) { l.log.Info(text) }

// Close does nothing: lines are whole.
func (l *logLines) Close() {}

func attributes(r progress.Report) []any {
	list := []any{"phase", string(r.Phase), "step", r.Step, "of", r.TotalSteps}
	add := func(name string, x *float64) {
		if x != nil {
			list = append(list, name, round(*x))
		}
	}
	add("loss", r.Loss)
	add("accuracy", r.Accuracy)
	add("exact", r.ExactAccuracy)
	add("heldOutExact", r.EvalExactAccuracy)
	if r.SamplesPerSecond > 0 {
		list = append(list, "samplesPerSecond", round(r.SamplesPerSecond))
	}
	if r.EstimatedCompletion != nil {
		list = append(list, "end", r.EstimatedCompletion.UTC().Format(time.RFC3339))
	}
	return list
}

// round keeps four decimals, enough for a reader of logs.
func round(x float64) float64 {
	return float64(int64(x*1e4+0.5)) / 1e4
}

// Silent is a Display that shows nothing: that of a rank for which another one speaks.
type Silent struct{}

// Show shows nothing.
func (Silent) Show(progress.Report) {}

// Note says nothing.
func (Silent) Note(string) {}

// Close does nothing.
func (Silent) Close() {}
