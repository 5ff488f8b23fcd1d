package dataerror

import "io"

// Limit returns a reader of the first limit bytes of r. More of them are an Error about source: what comes from
// elsewhere may be endless, or be small and unpack to more than a disk or the memory holds.
func Limit(r io.Reader, source string, limit int64) io.Reader {
	return &limited{r: r, source: source, limit: limit, left: limit}
}

type limited struct {
	r           io.Reader
	source      string
	limit, left int64
}

// Read implements [io.Reader]. It asks for a byte more than is left, to tell the end from too much.
func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		n, l.left = int(l.left), 0
		return n, New(l.source, 0, "holds more than %d bytes (unpacked): take a part of it", l.limit)
	}
	l.left -= int64(n)
	return n, err
}
