package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// runFlags are the choices of 'hrm run'.
type runFlags struct {
	file    string
	set     []string
	timeout time.Duration
	remove  bool
	kube    kubeFlags
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run -f job.yaml",
		Short: "Create a job in a cluster, and watch it until it ends",
		Long: `run creates a job in a cluster and watches it until it is complete (exit status 0) or has failed (1). Ctrl-C leaves, and
the job runs on, unless --delete is given: then the job is deleted when run ends, however it ends.`,
		Example: `  kubectl hrm run -f job.yaml
  kubectl hrm run -f job.yaml --set training.steps=100 --timeout 10m --delete   # a trial`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.runJob(c.Context(), f) },
	}
	c.Flags().StringVarP(&f.file, "file", "f", "", "the job's YAML; - reads standard input")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field of the spec, as in training.learningRate=1e-3; may be repeated")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "fail if the job has not ended by then; 0 waits for ever")
	c.Flags().BoolVar(&f.remove, "delete", false, "delete the job in the end; its checkpoints stay")
	f.kube.add(c)
	return c
}

func (a *app) runJob(ctx context.Context, f runFlags) (err error) {
	job, _, err := a.loadJob(f.file, f.set)
	if err != nil {
		return err
	}
	k, err := f.kube.connect()
	if err != nil {
		return err
	}
	if f.kube.namespace != "" || job.Namespace == "" {
		job.Namespace = k.namespace
	}
	k.namespace = job.Namespace
	if err := k.createJob(ctx, job); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.out, "job %s/%s created\n", job.Namespace, job.Name); err != nil {
		return err
	}
	if f.remove {
		defer func() { err = errors.Join(err, a.deleteJob(ctx, k, job)) }()
	}
	within := ctx
	if f.timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	err = a.watchJob(within, k, job.Name)
	if errors.Is(err, context.DeadlineExceeded) {
		return statusError{exitJobFailed, fmt.Errorf("job %s/%s has not ended after %s", job.Namespace, job.Name, f.timeout)}
	}
	return err
}

func (k *cluster) createJob(ctx context.Context, job *v1alpha1.HRMTrainingJob) error {
	err := k.Create(ctx, job, client.FieldOwner("kubectl-hrm"), client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("job %s exists: watch it with kubectl hrm watch %s, or delete it first", k.key(job.Name), job.Name)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return configurationError{err}
	case err != nil:
		return fmt.Errorf("create job %s: %w", k.key(job.Name), err)
	}
	return nil
}

// deleteJob deletes the job that was created, and not another one of its name. It does so even if ctx has ended.
func (a *app) deleteJob(ctx context.Context, k *cluster, job *v1alpha1.HRMTrainingJob) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := k.Delete(ctx, job, client.Preconditions{UID: &job.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete job %s/%s: %w; delete it with kubectl", job.Namespace, job.Name, err)
	}
	_, err = fmt.Fprintf(a.out, "job %s/%s deleted\n", job.Namespace, job.Name)
	return err
}
