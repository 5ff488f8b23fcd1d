package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// createSuite creates the jobs of a suite in a cluster, and watches them until all have ended if that is wanted. Jobs that exist
// as the suite wants them are left alone; before any is created, those that exist otherwise end it.
func (a *app) createSuite(ctx context.Context, f suiteRunFlags, s *suite.Suite, runs []suite.Run) error {
	k, err := f.kube.connect()
	if err != nil {
		return err
	}
	if f.kube.namespace == "" && s.Metadata.Namespace != "" {
		k.namespace = s.Metadata.Namespace
	}
	create, err := k.absent(ctx, runs)
	if err != nil {
		return err
	}
	for i, r := range runs {
		what := "exists"
		if create[i] {
			job := r.Job.DeepCopy()
			job.Namespace = k.namespace
			if err := k.createJob(ctx, job); err != nil {
				return err
			}
			what = "created"
		}
		if _, err := fmt.Fprintf(a.out, "job %s %s\n", k.key(r.Name()), what); err != nil {
			return err
		}
	}
	if !f.watch {
		_, err = fmt.Fprintf(a.out, `
watch them:    kubectl hrm suite run -f %[1]s -n %[2]s --watch
list them:     kubectl get hrmjobs -n %[2]s -l %[3]s=%[4]s
compare them:  kubectl hrm suite collect -f %[1]s
`, f.suite.file, k.namespace, v1alpha1.SuiteLabel, s.Metadata.Name)
		return err
	}
	return a.watchSuite(ctx, k, runs)
}

// absent says which of the jobs do not exist. One that exists and is not as the suite wants it is an error.
func (k *cluster) absent(ctx context.Context, runs []suite.Run) ([]bool, error) {
	absent := make([]bool, len(runs))
	var errs []error
	for i, r := range runs {
		job := &v1alpha1.HRMTrainingJob{}
		err := k.Get(ctx, k.key(r.Name()), job)
		if apierrors.IsNotFound(err) {
			absent[i] = true
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", k.key(r.Name()), err)
		}
		job.Default()
		job.Spec.Suspend = r.Job.Spec.Suspend // whoever suspends a job does not make it another one
		if changes := suite.Differences(&job.Spec, &r.Job.Spec); changes != "" {
			errs = append(errs, fmt.Errorf("job %s exists, and is another one than the suite's: %s; delete it, or rename the suite", k.key(r.Name()), changes))
		}
	}
	if len(errs) > 0 {
		return nil, configurationError{errors.Join(errs...)}
	}
	return absent, nil
}

// watchSuite follows jobs side by side, in lines that name them, until all have ended.
func (a *app) watchSuite(ctx context.Context, k *cluster, runs []suite.Run) error {
	log := slog.New(slog.NewTextHandler(a.out, nil))
	errs := make([]error, len(runs))
	var following sync.WaitGroup
	for i, r := range runs {
		following.Go(func() {
			teller := &teller{display: progress.NewLog(log.With("job", r.Name()), 10*time.Second, time.Now)}
			if errs[i] = k.followJob(ctx, r.Name(), teller.display.Note, teller.see); errs[i] == nil {
				errs[i] = a.verdict(teller.job)
			}
		})
	}
	following.Wait()
	if ctx.Err() != nil {
		return statusError{status: exitLeft}
	}
	if err := errors.Join(errs...); err != nil {
		return statusError{exitJobFailed, err}
	}
	return nil
}
