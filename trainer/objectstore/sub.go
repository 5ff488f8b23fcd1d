package objectstore

import (
	"context"
	"io"
	"strings"
)

// sub is the part of a store whose keys begin with prefix, which ends in a slash.
type sub struct {
	store  Store
	prefix string
}

// Sub returns the part of a store below prefix.
func Sub(s Store, prefix string) Store {
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return s
	}
	return &sub{s, prefix + "/"}
}

func (s *sub) strip(i Info, err error) (Info, error) {
	i.Key = strings.TrimPrefix(i.Key, s.prefix)
	return i, err
}

func (s *sub) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	r, i, err := s.store.Get(ctx, s.prefix+key)
	i, err = s.strip(i, err)
	return r, i, err
}

func (s *sub) GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error) {
	return s.store.GetRange(ctx, s.prefix+key, etag, from, size)
}

func (s *sub) Put(ctx context.Context, key string, r io.Reader, size int64, c Condition) (Info, error) {
	return s.strip(s.store.Put(ctx, s.prefix+key, r, size, c))
}

func (s *sub) Stat(ctx context.Context, key string) (Info, error) {
	return s.strip(s.store.Stat(ctx, s.prefix+key))
}

func (s *sub) List(ctx context.Context, prefix string) ([]Info, error) {
	all, err := s.store.List(ctx, s.prefix+prefix)
	for i := range all {
		all[i], _ = s.strip(all[i], nil)
	}
	return all, err
}

func (s *sub) Delete(ctx context.Context, key string) error {
	return s.store.Delete(ctx, s.prefix+key)
}

func (s *sub) URI(key string) string { return s.store.URI(s.prefix + key) }
