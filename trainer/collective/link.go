package collective

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// link is a connection between a rank and rank 0. It says every so often that this process lives, and it ends when
// the other side has said nothing for too long.
type link struct {
	conn net.Conn
	// frames delivers all but heartbeats, and is closed at the end.
	frames chan frame
	done   chan struct{}

	writing sync.Mutex
	once    sync.Once
	err     error // why the link has ended; read it after done
	silence time.Duration
	heard   atomic.Int64 // when the other side was last heard of, in nanoseconds since 1970
}

// newLink takes over a connection.
func newLink(conn net.Conn, t Timing) *link {
	l := &link{conn: conn, frames: make(chan frame, 8), done: make(chan struct{}), silence: t.Silence}
	l.heard.Store(time.Now().UnixNano())
	go l.read()
	go l.beat(t.Heartbeat)
	return l
}

// send writes a frame. A peer that takes nothing for too long is lost.
func (l *link) send(f frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(l.silence))
	if _, err := l.conn.Write(f.encode()); err != nil {
		l.end(fmt.Errorf("cannot write to it: %w", err))
		return err
	}
	return nil
}

// end closes the link; the first reason counts.
func (l *link) end(reason error) {
	l.once.Do(func() {
		l.err = reason
		_ = l.conn.Close()
		close(l.done)
	})
}

func (l *link) read() {
	defer close(l.frames)
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(l.silence))
		f, err := readFrame(l.conn)
		if err == nil {
			l.heard.Store(time.Now().UnixNano())
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.end(fmt.Errorf("no sign of life for %s", l.silence))
			return
		case errors.Is(err, io.EOF):
			l.end(errors.New("it has closed the connection"))
			return
		case err != nil:
			l.end(err)
			return
		case f.kind == kindAlive:
			continue
		}
		select {
		case l.frames <- f:
		case <-l.done:
			return
		}
	}
}

func (l *link) beat(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-ticker.C:
			if l.send(frame{kind: kindAlive}) != nil {
				return
			}
		}
	}
}

// leave tells the other side why this one goes, and closes.
func (l *link) leave(reason string) {
	_ = l.send(frame{kind: kindBye, payload: []byte(reason)})
	l.end(errors.New("closed"))
}
