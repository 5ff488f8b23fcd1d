package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// redrawEvery keeps the bar from flickering, and a slow connection from being flooded.
const redrawEvery = 100 * time.Millisecond

// bar is a Display on one line of a terminal.
type bar struct {
	out   io.Writer
	width func() int
	now   func() time.Time

	mu    sync.Mutex
	drawn time.Time
	phase progress.Phase
	last  progress.Report
	open  bool
}

// NewBar returns a Display that redraws one line of a terminal; width is asked at every redraw, because windows change.
func NewBar(out io.Writer, width func() int, now func() time.Time) Display {
	return &bar{out: out, width: width, now: now}
}

// Show redraws the line, if it was not drawn a moment ago.
func (b *bar) Show(r progress.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = r
	now := b.now()
	if r.Phase == b.phase && now.Sub(b.drawn) < redrawEvery && r.Step != r.TotalSteps {
		return
	}
	b.draw(now)
}

func (b *bar) draw(now time.Time) {
	b.drawn, b.phase, b.open = now, b.last.Phase, true
	fmt.Fprint(b.out, "\r\x1b[K"+Line(b.last, now, b.width()-1))
}

// Note prints text above the bar.
func (b *bar) Note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprint(b.out, "\r\x1b[K"+text+"\n")
	if b.open {
		b.draw(b.now())
	}
}

// Close draws the last state and moves to the next line.
func (b *bar) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.draw(b.now())
		fmt.Fprintln(b.out)
		b.open = false
	}
}

// Line renders a report in at most width columns. What matters least goes first when room is short.
func Line(r progress.Report, now time.Time, width int) string {
	parts := []string{percent(r), fmt.Sprintf("%d/%d", r.Step, r.TotalSteps)}
	if r.Phase != progress.Training && r.Phase != "" {
		parts = append(parts, string(r.Phase))
	}
	parts = append(parts, figures(r, now)...)
	for len(parts) > 1 && len(strings.Join(parts, "  ")) > width {
		parts = parts[:len(parts)-1]
	}
	text := strings.Join(parts, "  ")
	if room := width - len(text) - 3; room >= 8 {
		return gauge(r, min(room, 40)) + " " + text
	}
	return text[:min(len(text), max(width, 0))]
}

// figures lists what is known, the most wanted first.
func figures(r progress.Report, now time.Time) []string {
	var parts []string
	add := func(name string, x *float64) {
		if x != nil {
			parts = append(parts, fmt.Sprintf("%s %.3f", name, *x))
		}
	}
	add("loss", r.Loss)
	add("exact", r.ExactAccuracy)
	if r.EstimatedCompletion != nil && r.Step < r.TotalSteps {
		parts = append(parts, "ETA "+clockTime(r.EstimatedCompletion.Sub(now)))
	}
	add("held-out", r.EvalExactAccuracy)
	if r.SamplesPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%.0f samples/s", r.SamplesPerSecond))
	}
	add("tokens", r.Accuracy)
	return parts
}

func gauge(r progress.Report, cells int) string {
	full := int(float64(cells) * fraction(r))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
}

func percent(r progress.Report) string { return fmt.Sprintf("%3.0f%%", 100*fraction(r)) }

func fraction(r progress.Report) float64 {
	if r.TotalSteps <= 0 {
		return 0
	}
	return min(1, float64(r.Step)/float64(r.TotalSteps))
}

// clockTime renders a duration as m:ss or h:mm:ss.
func clockTime(d time.Duration) string {
	s := int(max(d, 0).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
