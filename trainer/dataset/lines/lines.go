// Package lines reads text from elsewhere line by line: plain or gzip-compressed, bounded in length, with errors that name
// the source and the line.
package lines

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// Limits bound what is read.
type Limits struct {
	// Bytes of the whole text, unpacked.
	Bytes int64
	// Line is the most bytes that a line may hold.
	Line int
}

// Reader goes through the lines of a text.
type Reader struct {
	source string
	limits Limits
	raw    io.Reader
	in     *bufio.Reader
	line   int
}

// NewReader reads the text r, which messages call source.
func NewReader(source string, r io.Reader, limits Limits) *Reader {
	return &Reader{source: source, limits: limits, raw: r}
}

// Next returns the next line without its end, good until the next call; io.EOF after the last one. Other errors are data
// errors with the number of the line, except for those of a connection or a disk.
func (r *Reader) Next() ([]byte, error) {
	r.line++
	if r.in == nil {
		if err := r.open(); err != nil {
			return nil, r.readError(err)
		}
	}
	text, err := r.in.ReadSlice('\n')
	if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
		return nil, r.readError(err)
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if r.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	return text, nil
}

// Line is the number of the line that Next returned last, from 1 on.
func (r *Reader) Line() int { return r.line }

// Bad says what is wrong with the line that Next returned last.
func (r *Reader) Bad(format string, args ...any) error {
	return dataerror.New(r.source, r.line, format, args...)
}

// open looks at the first two bytes to tell gzip from text.
func (r *Reader) open() error {
	b := bufio.NewReader(r.raw)
	plain := io.Reader(b)
	// Whatever is wrong with a shorter text shows when its lines are read.
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		plain = z
	}
	r.in = bufio.NewReaderSize(dataerror.Limit(plain, r.source, r.limits.Bytes), r.limits.Line)
	return nil
}

// readError tells data that is broken from a connection that is.
func (r *Reader) readError(err error) error {
	var corrupt flate.CorruptInputError
	var bad *dataerror.Error
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &bad):
		return r.Bad("%s", bad.Reason)
	case errors.Is(err, bufio.ErrBufferFull):
		return r.Bad("the line is longer than %d bytes: write one example a line, or smaller ones", r.limits.Line)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r.Bad("the gzip data ends too early: copy the file again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return r.Bad("the gzip data is damaged (%v): copy the file again", err)
	default:
		return fmt.Errorf("read %s: %w", r.source, err)
	}
}

// Fields cuts a line of CSV at its commas. Only lines with quotes need the whole of CSV.
func Fields(text []byte) ([]string, error) {
	if !bytes.ContainsRune(text, '"') {
		return strings.Split(string(text), ","), nil
	}
	fields, err := csv.NewReader(bytes.NewReader(text)).Read()
	if err != nil {
		return nil, fmt.Errorf("not a line of CSV: %w", errors.Unwrap(err))
	}
	return fields, nil
}
