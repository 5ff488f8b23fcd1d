package checkpoint

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// ReadScalars reads the scalars of a checkpoint and nothing else of it, without verifying it.
func ReadScalars(ctx context.Context, store objectstore.Store, ref Ref) (map[string]string, error) {
	raw, _, err := objectstore.ReadAll(ctx, store, ref.key(scalarsName), maxJSON)
	if err != nil {
		return nil, err
	}
	var scalars map[string]string
	if err := json.Unmarshal(raw, &scalars); err != nil {
		return nil, fmt.Errorf("%s: %w", store.URI(ref.key(scalarsName)), err)
	}
	return scalars, nil
}

// ReadManifest reads the manifest of a checkpoint and nothing else of it, without verifying what it lists.
func ReadManifest(ctx context.Context, store objectstore.Store, ref Ref) (Manifest, error) {
	key := ref.key(manifestName)
	raw, _, err := objectstore.ReadAll(ctx, store, key, maxJSON)
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(raw)
	if err != nil {
		return m, fmt.Errorf("%s: %w", store.URI(key), err)
	}
	return m, nil
}

// ReadShapes reads the shapes of a checkpoint's weights, and nothing else of it.
func ReadShapes(ctx context.Context, store objectstore.Store, ref Ref) (map[string][]int, error) {
	key := ref.key("model.safetensors")
	info, err := store.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	head, err := readRange(ctx, store, info, 0, 8)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head)
	if n == 0 || n > maxHeader || int64(n) > info.Size-8 {
		return nil, fmt.Errorf("%s: safetensors: a header of %d bytes does not fit a file of %d", store.URI(key), n, info.Size)
	}
	if head, err = readRange(ctx, store, info, 8, int64(n)); err != nil {
		return nil, err
	}
	entries, _, err := decodeHeader(head)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.URI(key), err)
	}
	shapes := map[string][]int{}
	for name, e := range entries {
		shapes[name] = e.Shape
	}
	return shapes, nil
}

func readRange(ctx context.Context, store objectstore.Store, info objectstore.Info, from, size int64) ([]byte, error) {
	r, err := store.GetRange(ctx, info.Key, info.ETag, from, size)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, size)
	_, err = io.ReadFull(r, raw)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", store.URI(info.Key), err)
	}
	return raw, nil
}
