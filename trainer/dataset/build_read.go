package dataset

import (
	"errors"
	"io"
	"os"
)

// watched is the file of a source that is being read, which says how far it is.
type watched struct {
	io.ReadCloser
	report     func(done, total int)
	done, size int64
}

// open opens a file of the source.
func (b *building) open(from *sourceFile) (io.ReadCloser, error) {
	f, err := os.Open(from.path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &watched{f, func(done, total int) { b.progress("read "+from.name+", KiB", done, total) }, 0, info.Size()}, nil
}

// Read implements [io.Reader].
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.done += int64(n)
	w.report(int(w.done>>10), int(w.size>>10))
	return n, err
}
