package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fileLock is a lock between processes. The kernel gives it back when its process ends, however it ends.
type fileLock struct{ file *os.File }

// tryLock takes the lock of a file, which it creates: shared (unix.LOCK_SH) or alone (unix.LOCK_EX). It returns nil if
// someone holds it who does not share.
func tryLock(name string, how int) (*fileLock, error) {
	// Network file systems want files that may be written for a lock that is not shared.
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return &fileLock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
}

// waitLock takes the lock of a file for itself alone. waiting is called while another process has it.
func waitLock(ctx context.Context, name string, waiting func()) (*fileLock, error) {
	for {
		if l, err := tryLock(name, unix.LOCK_EX); l != nil || err != nil {
			return l, err
		}
		waiting()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sign writes into the file who has the lock, for those who wait. Where that fails, as on a full disk, they are not told.
func (l *fileLock) sign() {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt(fmt.Appendf(nil, "process %d of %s", os.Getpid(), host), 0)
	}
}

func (l *fileLock) release() { _ = l.file.Close() }
