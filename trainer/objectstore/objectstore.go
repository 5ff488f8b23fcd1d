// Package objectstore keeps objects under slash-separated keys, in an S3-compatible bucket or in a directory.
package objectstore

import (
	"context"
	"io"
)

// Info describes a stored object.
type Info struct {
	Key  string
	Size int64
	ETag string
}

// Condition restricts a Put. The zero value always writes.
type Condition struct {
	// IfAbsent writes only if there is no object under the key yet.
	IfAbsent bool
	// IfMatch writes only over the object with this ETag.
	IfMatch string
}

// Store is a bucket, or a part of one below a prefix. Its methods may be called from several goroutines.
type Store interface {
	// Get opens an object. The error wraps ErrNotFound if there is none.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)
	// GetRange opens size bytes, at least one, of the object that has this ETag, beginning with the byte at from. The error
	// wraps ErrPrecondition if the object is another one by now.
	GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error)
	// Put stores size bytes from r under key, whole or not at all, and returns the new ETag.
	// The error wraps ErrPrecondition if the condition does not hold.
	Put(ctx context.Context, key string, r io.Reader, size int64, c Condition) (Info, error)
	// Stat describes an object. The error wraps ErrNotFound if there is none.
	Stat(ctx context.Context, key string) (Info, error)
	// List returns the objects whose keys begin with prefix, in key order.
	List(ctx context.Context, prefix string) ([]Info, error)
	// Delete removes an object; removing one that does not exist is no error.
	Delete(ctx context.Context, key string) error
	// URI names an object for people: s3://bucket/prefix/key or file:///dir/key.
	URI(key string) string
}
