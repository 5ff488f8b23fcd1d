package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// cacheFlags say where datasets are kept on this machine.
type cacheFlags struct {
	dir, size string
	verify    bool
}

func (f *cacheFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "dataset-cache", "", "directory in which the jobs of this machine share their datasets; without it each keeps its own in --scratch")
	c.Flags().StringVar(&f.size, "dataset-cache-size", "50Gi", "size of the cache, above which the datasets not used for the longest time are removed")
	c.Flags().BoolVar(&f.verify, "dataset-cache-verify", false, "hash a cached dataset even if its files look unchanged")
}

// local is the place for datasets that the flags describe.
func (f *cacheFlags) local(scratch string, note func(string)) (dataset.Local, error) {
	l := dataset.Local{Scratch: filepath.Join(scratch, "hrm"), Verify: f.verify, Note: note}
	if f.dir == "" {
		return l, nil
	}
	size, err := resource.ParseQuantity(f.size)
	if err != nil || size.Value() <= 0 {
		return l, usageError{fmt.Errorf("--dataset-cache-size is %q: want a size above 0 such as 50Gi", f.size)}
	}
	l.Limit = size.Value()
	l.Cache, err = filepath.Abs(f.dir)
	return l, err
}

// explainFolder says what to do about an error of the place where datasets are kept.
func explainFolder(err error, scratch string) error {
	var folder *dataset.FolderError
	var denied bool
	if errors.As(err, &folder) && folder.Shared {
		denied = errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
		switch {
		case errors.Is(err, dataset.ErrTooLarge):
			return configurationError{fmt.Errorf("raise the size of the dataset cache (--dataset-cache-size, spec.template.datasetCache.sizeLimit), or do without: %w", err)}
		case objectstore.DiskFull(err):
			return fmt.Errorf("no space is left in the dataset cache %s: give its volume more room, or lower its size (--dataset-cache-size, spec.template.datasetCache.sizeLimit) "+
				"so that older datasets make room earlier: %w", folder.Dir, err)
		case denied:
			return configurationError{fmt.Errorf("user %d may not write to the dataset cache %s: give it the directory, with chown %[1]d on every node for a hostPath, "+
				"or by a volume that knows fsGroup for a claim: %[3]w", os.Getuid(), folder.Dir, err)}
		}
		return err
	}
	if objectstore.DiskFull(err) && !errors.Is(err, objectstore.ErrFull) {
		return fmt.Errorf("no space is left in %s: give the pod more scratch space (ephemeral-storage in spec.template.resources), or name a roomier directory with --scratch: %w", scratch, err)
	}
	return err
}

// sharedDataset gets the dataset at rank 0 first, and then at the others by its recipe's hash: only rank 0 reads the
// source. It makes sure that all have the same one.
func sharedDataset(ctx context.Context, group collective.Group, get func(hash string) (*dataset.Copy, error)) (c *dataset.Copy, err error) {
	defer func() {
		if err != nil {
			c.Close()
			c = nil
		}
	}()
	var hash []byte
	if group.Rank() == 0 {
		if c, err = get(""); err != nil {
			return c, err
		}
		hash = []byte(c.Hash)
	}
	if hash, err = group.Broadcast(ctx, hash); err != nil {
		return c, err
	}
	if group.Rank() != 0 {
		if c, err = get(string(hash)); err != nil {
			return c, err
		}
	}
	return c, sameDataset(ctx, group, c)
}

// sameDataset compares the datasets of all ranks.
func sameDataset(ctx context.Context, group collective.Group, c *dataset.Copy) error {
	all, err := group.AllGather(ctx, []byte(c.Hash+" "+c.Sum))
	if err != nil {
		return err
	}
	for rank, other := range all {
		if string(other) != string(all[0]) {
			return fmt.Errorf("rank %d has another dataset (recipe and sum %s) than rank 0 (%s): did its source change while the job started? start it again", rank, other, all[0])
		}
	}
	return nil
}
