package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"

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
