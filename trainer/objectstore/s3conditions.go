package objectstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"
)

// conditionSupport says which conditions of a PUT a server obeys. Some ignore the headers without a word, so the store
// tries them once before it relies on them.
type conditionSupport struct{ ifNoneMatch, ifMatch bool }

// conditions returns what the server can do, asking it the first time.
func (s *s3) conditions(ctx context.Context) (conditionSupport, error) {
	s.probing.Lock()
	defer s.probing.Unlock()
	if s.support != nil {
		return *s.support, nil
	}
	support, err := s.probe(ctx)
	if err != nil {
		return conditionSupport{}, err
	}
	s.support = &support
	return support, nil
}

// probe writes an object of its own and then breaks both conditions on it: a server that obeys them refuses.
func (s *s3) probe(ctx context.Context) (support conditionSupport, err error) {
	key := s.prefix + internalFolder + "/probe-" + rand.Text()
	if _, err := s.probePut(ctx, key, minio.PutObjectOptions{}); err != nil {
		return support, s.explain(ctx, "write", internalFolder, err)
	}
	defer func() {
		cleanup := context.WithoutCancel(ctx)
		err = errors.Join(err, s.client.Client.RemoveObject(cleanup, s.config.Bucket, key, minio.RemoveObjectOptions{}))
	}()
	var absent, match minio.PutObjectOptions
	absent.SetMatchETagExcept("*")
	match.SetMatchETag("00000000000000000000000000000000")
	if support.ifNoneMatch, err = s.probePut(ctx, key, absent); err != nil {
		return support, s.explain(ctx, "write", internalFolder, err)
	}
	if support.ifMatch, err = s.probePut(ctx, key, match); err != nil {
		return support, s.explain(ctx, "write", internalFolder, err)
	}
	return support, nil
}

// probePut reports whether the server refused the condition. A server that does not know the header says so by
// accepting it, or by "not implemented".
func (s *s3) probePut(ctx context.Context, key string, o minio.PutObjectOptions) (refused bool, err error) {
	o.DisableMultipart = true
	_, err = s.client.Client.PutObject(ctx, s.config.Bucket, key, newProbe(), 1, o)
	switch code := minio.ToErrorResponse(err).Code; {
	case err == nil, code == minio.NotImplemented, code == minio.InvalidArgument:
		return false, nil
	case isPrecondition(minio.ToErrorResponse(err)):
		return true, nil
	}
	return false, err
}

// apply asks the server to check the condition, or, if it cannot, looks before writing. Looking leaves a moment between
// the look and the write; it is the best that such a server allows.
func (s *s3) apply(ctx context.Context, key string, c Condition, support conditionSupport, o *minio.PutObjectOptions) error {
	if c.IfAbsent && support.ifNoneMatch {
		o.SetMatchETagExcept("*")
	}
	if c.IfMatch != "" && support.ifMatch {
		o.SetMatchETag(c.IfMatch)
	}
	if (!c.IfAbsent || support.ifNoneMatch) && (c.IfMatch == "" || support.ifMatch) {
		return nil
	}
	info, err := s.Stat(ctx, key)
	absent := errors.Is(err, ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if c.IfAbsent && !absent || c.IfMatch != "" && (absent || info.ETag != c.IfMatch) {
		return fmt.Errorf("write %s: %w", s.URI(key), ErrPrecondition)
	}
	return nil
}
