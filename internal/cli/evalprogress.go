package cli

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// evalProgress tells on standard error how far an evaluation is: in a line that is drawn anew on a terminal, elsewhere in
// one of the log now and then.
type evalProgress struct {
	app      *app
	terminal bool
	now      func() time.Time
	every    time.Duration
	of, done int

	began, said time.Time
	drawn       bool
}

func newEvalProgress(a *app, of int) *evalProgress {
	p := &evalProgress{app: a, now: time.Now, of: of, every: 10 * time.Second}
	if file, ok := a.err.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.terminal, p.every = true, 200*time.Millisecond
	}
	p.began = p.now()
	p.said = p.began
	return p
}

// show is told how many examples are done, what those in work are worth of a whole one, and the figures so far.
func (p *evalProgress) show(done int, begun float64, v loop.Evaluation) {
	p.done = done
	now := p.now()
	if now.Sub(p.said) < p.every {
		return
	}
	p.said = now
	worth, spent := float64(done)+begun, now.Sub(p.began)
	rate := worth / spent.Seconds()
	left := "?"
	if rate > 0 {
		left = clockTime(time.Duration((float64(p.of) - worth) / rate * float64(time.Second)))
	}
	exact := "-"
	if v.Examples > 0 {
		exact = fmt.Sprintf("%.2f %%", 100*v.Exact)
	}
	if !p.terminal {
		p.app.log.Info("evaluating", "done", done, "of", p.of, "exact", exact, "examplesPerSecond", round(rate, 10), "left", left)
		return
	}
	p.drawn = true
	fmt.Fprintf(p.app.err, "\r\x1b[K%d/%d  exact %s  %.1f examples/s  %s left", done, p.of, exact, rate, left)
}

// end removes the line.
func (p *evalProgress) end() {
	if p.drawn {
		fmt.Fprint(p.app.err, "\r\x1b[K")
	}
}
