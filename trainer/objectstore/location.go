package objectstore

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Location is where a store is: a bucket with a prefix, or a directory.
type Location struct {
	// Bucket is empty for a directory.
	Bucket, Prefix string
	// Dir is the absolute or relative path of a directory.
	Dir string
}

// Parse reads s3://bucket/prefix, file:///path, or a path.
func Parse(uri string) (Location, error) {
	if !strings.Contains(uri, "://") {
		if uri == "" {
			return Location{}, fmt.Errorf("a store needs a place: s3://bucket/prefix, file:///path or a path")
		}
		return Location{Dir: filepath.Clean(uri)}, nil
	}
	u, err := url.Parse(uri)
	if err != nil {
		return Location{}, fmt.Errorf("store %q: %w", uri, err)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Location{}, fmt.Errorf("store %q: only a place may be given, as in s3://bucket/prefix", uri)
	}
	switch {
	case u.Scheme == "s3" && u.Host != "":
		prefix := strings.Trim(u.Path, "/")
		if err := CheckPrefix(prefix); err != nil {
			return Location{}, fmt.Errorf("store %q: %w", uri, err)
		}
		return Location{Bucket: u.Host, Prefix: prefix}, nil
	case u.Scheme == "file" && u.Host == "" && u.Path != "":
		return Location{Dir: filepath.Clean(u.Path)}, nil
	}
	return Location{}, fmt.Errorf("store %q: want s3://bucket/prefix, file:///path or a path", uri)
}

// BucketURI names a place in a bucket so that Parse reads it.
func BucketURI(bucket, prefix string) string {
	return (&url.URL{Scheme: "s3", Host: bucket, Path: "/" + prefix}).String()
}

// Open opens the store that uri names. A bucket is reached as base says; its own bucket and prefix are replaced.
func Open(ctx context.Context, uri string, base S3Config) (Store, error) {
	l, err := Parse(uri)
	if err != nil {
		return nil, err
	}
	if l.Bucket == "" {
		return OpenDir(l.Dir)
	}
	base.Bucket, base.Prefix = l.Bucket, l.Prefix
	return OpenS3(ctx, base)
}
