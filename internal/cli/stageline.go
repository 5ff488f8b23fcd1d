package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// stageLine shows how far a build is: on a terminal in one line that is drawn again, elsewhere in a line every few seconds.
type stageLine struct {
	out      io.Writer
	terminal bool
	every    time.Duration

	mu    sync.Mutex
	stage string
	done  int
	shown time.Time
	open  bool
}

func newStageLine(out io.Writer) *stageLine {
	f, ok := out.(*os.File)
	s := &stageLine{out: out, every: 10 * time.Second, shown: time.Now(), terminal: ok && term.IsTerminal(int(f.Fd()))}
	if s.terminal {
		s.every = 100 * time.Millisecond
	}
	return s
}

// show is a dataset.Progress.
func (s *stageLine) show(stage string, done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stage == s.stage && done < s.done {
		return // a slower goroutine's report
	}
	s.done = done
	if stage == s.stage && time.Since(s.shown) < s.every && (done < total || !s.terminal) {
		return
	}
	if stage != s.stage && s.open {
		fmt.Fprintln(s.out)
		s.open = false
	}
	if stage != s.stage && !s.terminal {
		s.stage = stage // said when it has lasted
		return
	}
	s.stage, s.shown = stage, time.Now()
	line := fmt.Sprintf("%s: %d of %d", stage, done, total)
	if s.terminal {
		fmt.Fprint(s.out, "\r\x1b[K"+line)
		s.open = true
		return
	}
	fmt.Fprintln(s.out, line)
}

func (s *stageLine) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		fmt.Fprintln(s.out)
		s.open = false
	}
}
