package dataset

import (
	"fmt"
	"sync"
	"time"
)

// noteEvery is how often something that takes long is told of.
const noteEvery = 10 * time.Second

// meter tells of bytes on their way, now and then.
type meter struct {
	what  string
	total int64
	note  func(string)

	mu          sync.Mutex
	done        int64
	began, said time.Time
}

func newMeter(what string, total int64, note func(string)) *meter {
	return &meter{what: what, total: total, note: note, began: time.Now(), said: time.Now()}
}

// add counts bytes. It may be called from several goroutines.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	if now := time.Now(); now.Sub(m.said) >= noteEvery {
		m.said = now
		rate := int64(float64(m.done) / now.Sub(m.began).Seconds())
		m.note(fmt.Sprintf("%s: %s of %s, %s/s", m.what, byteCount(m.done), byteCount(m.total), byteCount(rate)))
	}
}

// byteCount is a number of bytes for people.
func byteCount(n int64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d bytes", n)
	}
	x, units := float64(n)/step, []string{"kB", "MB", "GB", "TB"}
	for x >= step && len(units) > 1 {
		x, units = x/step, units[1:]
	}
	return fmt.Sprintf("%.3g %s", x, units[0])
}
