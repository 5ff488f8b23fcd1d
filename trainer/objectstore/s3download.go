package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

// maxResumes bounds how often one download goes on after its connection broke.
const maxResumes = 5

// download reads the bytes of an object from at to end, and goes on where it was when the connection breaks, if the
// object is still the same.
type download struct {
	ctx       context.Context
	store     *s3
	key, etag string
	at, end   int64
	body      io.ReadCloser
	resumes   int
}

// Read implements [io.Reader].
func (d *download) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if d.at >= d.end {
			return 0, io.EOF
		}
		n, err := d.body.Read(p)
		d.at += int64(n)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		if err := d.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume opens the rest of the object after cause broke the connection.
func (d *download) resume(cause error) error {
	if d.resumes++; d.resumes > maxResumes || d.ctx.Err() != nil {
		text := fmt.Sprintf("read %s: at byte %d of %d", d.store.URI(d.key), d.at, d.end)
		if err := d.ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", text, errors.Join(err, cause))
		}
		return &failure{ErrUnavailable, text + ": the connection broke again and again", cause}
	}
	select {
	case <-d.ctx.Done():
		return d.ctx.Err()
	case <-time.After(time.Duration(1<<d.resumes) * 100 * time.Millisecond):
	}
	d.body.Close()
	body, err := d.open()
	if err != nil {
		d.body = io.NopCloser(bytes.NewReader(nil))
		return err
	}
	d.body = body
	return nil
}

// open asks for what is left.
func (d *download) open() (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if err := errors.Join(o.SetRange(d.at, d.end-1), o.SetMatchETag(d.etag)); err != nil {
		return nil, fmt.Errorf("read %s: %w", d.store.URI(d.key), err)
	}
	body, info, _, err := d.store.client.GetObject(d.ctx, d.store.config.Bucket, d.store.prefix+d.key, o)
	if err != nil {
		return nil, d.store.explain(d.ctx, "read", d.key, err)
	}
	if info.Size != d.end-d.at {
		body.Close()
		return nil, fmt.Errorf("read %s: the server sends %d bytes where %d from %d on were asked for: it does not know ranges, or something before it does not",
			d.store.URI(d.key), info.Size, d.end-d.at, d.at)
	}
	return body, nil
}

// Close implements [io.Closer].
func (d *download) Close() error { return d.body.Close() }

// newProbe is the content of a probe: one byte.
func newProbe() io.Reader { return bytes.NewReader([]byte{0}) }
