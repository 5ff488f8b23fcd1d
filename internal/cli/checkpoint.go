package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// checkpointFlags choose a store of checkpoints: by its URI, or by a job's name in a cluster.
type checkpointFlags struct {
	store storeFlags
	kube  kubeFlags
	step  int64
}

func (f *checkpointFlags) add(c *cobra.Command) {
	f.store.add(c, "where the job trained into")
	f.kube.add(c)
}

// open opens the store of --store, or that of the job that the argument names.
func (f *checkpointFlags) open(ctx context.Context, args []string) (objectstore.Store, error) {
	if len(args) == 0 {
		if f.store.uri == "" {
			return nil, usageError{errors.New("name a JOB of the cluster, or a place with --store")}
		}
		return f.store.open(ctx)
	}
	if f.store.uri != "" {
		return nil, usageError{errors.New("a JOB and --store exclude each other")}
	}
	if err := f.store.toJob(ctx, &f.kube, args[0]); err != nil {
		return nil, err
	}
	return f.store.open(ctx)
}

func (a *app) checkpointCommand() *cobra.Command {
	return group("checkpoint", "List, fetch, verify and convert checkpoints", a.listCommand(), a.pullCommand(), a.verifyCommand(), a.convertCommand())
}

func (a *app) listCommand() *cobra.Command {
	var f checkpointFlags
	c := &cobra.Command{
		Use:   "list [JOB]",
		Short: "List the complete checkpoints, the last one first",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			refs, err := checkpoint.List(c.Context(), store)
			if err != nil {
				return err
			}
			best, last := checkpoint.Best(c.Context(), store), checkpoint.Last(c.Context(), store)
			for _, ref := range refs {
				mark := ""
				if last != nil && last.Folder == ref.Folder {
					mark += "  latest"
				}
				if best != nil && best.Folder == ref.Folder {
					mark += "  best"
				}
				if _, err := fmt.Fprintf(a.out, "%10d  %s%s\n", ref.Step, store.URI(ref.Folder), mark); err != nil {
					return err
				}
			}
			if len(refs) == 0 {
				return fmt.Errorf("%s holds no checkpoint", store.URI(""))
			}
			return nil
		},
	}
	f.add(c)
	return c
}

func (a *app) pullCommand() *cobra.Command {
	var f checkpointFlags
	var out string
	c := &cobra.Command{
		Use:     "pull [JOB] --out DIR",
		Short:   "Fetch a checkpoint, verified: the best one, or that of --step",
		Example: "  hrm checkpoint pull --store s3://hrm/sudoku --out ./checkpoint\n  kubectl hrm checkpoint pull sudoku-extreme --out ./checkpoint",
		Args:    atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("--out is missing: name the directory for the checkpoint")}
			}
			store, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			ref, err := chooseCheckpoint(c.Context(), store, f.step)
			if err != nil {
				return err
			}
			manifest, err := checkpoint.Pull(c.Context(), store, ref, out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s: step %d, %d objects verified, in %s\n", store.URI(ref.Folder), manifest.Step, len(manifest.Objects), out)
			return err
		},
	}
	f.add(c)
	c.Flags().StringVar(&out, "out", "", "directory for the checkpoint")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint; the best one if not set")
	return c
}

func (a *app) verifyCommand() *cobra.Command {
	var f checkpointFlags
	c := &cobra.Command{
		Use:   "verify [JOB]",
		Short: "Read every checkpoint and compare it with its manifest",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			refs, err := checkpoint.List(c.Context(), store)
			if err != nil {
				return err
			}
			var broken error
			for _, ref := range refs {
				if _, err := checkpoint.Verify(c.Context(), store, ref); err != nil {
					broken = errors.Join(broken, err)
					continue
				}
				if _, err := fmt.Fprintf(a.out, "%10d  intact  %s\n", ref.Step, store.URI(ref.Folder)); err != nil {
					return err
				}
			}
			return broken
		},
	}
	f.add(c)
	return c
}
