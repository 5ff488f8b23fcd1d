package objectstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

// checkKey refuses keys that would name different objects in a bucket and in a directory, or leave the store.
func checkKey(key string) error {
	for _, part := range strings.Split(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return fmt.Errorf("key %q: its parts must not be empty, nor one or two dots", key)
		}
	}
	if strings.HasPrefix(key, internalFolder+"/") || key == internalFolder {
		return fmt.Errorf("key %q: names below %s are the store's own", key, internalFolder)
	}
	return nil
}

// internalFolder holds a store's own files: temporary files, the lock, and probes.
const internalFolder = ".objectstore"

// ReadAll returns the content of an object that has at most limit bytes.
func ReadAll(ctx context.Context, s Store, key string, limit int64) ([]byte, Info, error) {
	r, info, err := s.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	if info.Size > limit {
		return nil, info, fmt.Errorf("%s has %d bytes, more than the %d that it may have", s.URI(key), info.Size, limit)
	}
	raw := make([]byte, info.Size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, info, fmt.Errorf("read %s: %w", s.URI(key), err)
	}
	return raw, info, nil
}

// PutBytes stores content under key.
func PutBytes(ctx context.Context, s Store, key string, content []byte, c Condition) (Info, error) {
	return s.Put(ctx, key, bytes.NewReader(content), int64(len(content)), c)
}
