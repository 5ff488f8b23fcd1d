package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// The exit statuses of commands that watch a job.
const (
	exitJobFailed = 1
	// exitLeft is what a shell answers for a program that Ctrl-C ended.
	exitLeft = 130
)

func (a *app) watchCommand() *cobra.Command {
	var kube kubeFlags
	c := &cobra.Command{
		Use:   "watch JOB",
		Short: "Watch a cluster's job until it ends, over restarts",
		Long: `watch shows how a job of a cluster is doing until it is complete (exit status 0) or has failed (1): a bar on a terminal,
lines elsewhere. It goes on over attempts, disruptions and restarts of the apiserver. Ctrl-C leaves, and the job runs on.`,
		Example: "  kubectl hrm watch sudoku-extreme -n research",
		Args:    exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := kube.connect()
			if err != nil {
				return err
			}
			return a.watchJob(c.Context(), k, args[0])
		},
	}
	kube.add(c)
	return c
}

// watchJob shows the job until it ends, and turns how it ended into an error.
func (a *app) watchJob(ctx context.Context, k *cluster, name string) error {
	display := a.statusDisplay()
	teller := &teller{display: display}
	err := k.followJob(ctx, name, display.Note, teller.see)
	display.Close()
	if errors.Is(err, context.Canceled) {
		return statusError{status: exitLeft}
	}
	if err != nil {
		return err
	}
	return a.verdict(teller.job)
}

// verdict says how a job ended.
func (a *app) verdict(job *v1alpha1.HRMTrainingJob) error {
	if c := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionFailed); c != nil && c.Status == metav1.ConditionTrue {
		return statusError{exitJobFailed, fmt.Errorf("job %s/%s failed: %s: %s; its logs: kubectl hrm logs %s -n %s",
			job.Namespace, job.Name, c.Reason, c.Message, job.Name, job.Namespace)}
	}
	text := fmt.Sprintf("job %s/%s is complete", job.Namespace, job.Name)
	if p := job.Status.Progress; p != nil {
		text += fmt.Sprintf(": %d steps", p.Step)
		if p.EvalExactAccuracy != "" {
			text += ", held-out exact " + p.EvalExactAccuracy
		}
	}
	if c := job.Status.BestCheckpoint; c != nil {
		text += "; best checkpoint " + c.URI
	} else if c := job.Status.LastCheckpoint; c != nil {
		text += "; last checkpoint " + c.URI
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

// statusDisplay is a bar if standard output is a terminal.
func (a *app) statusDisplay() progress.Display {
	log := slog.New(slog.NewTextHandler(a.out, nil))
	if file, ok := a.out.(*os.File); ok {
		return progress.ForFile(file, log)
	}
	return progress.NewLog(log, 10*time.Second, time.Now)
}

// teller turns a job's status into a display's reports, and what changed in it into notes.
type teller struct {
	display    progress.Display
	job        *v1alpha1.HRMTrainingJob
	situation  string
	checkpoint string
}

// see shows the job and says whether it has ended.
func (t *teller) see(job *v1alpha1.HRMTrainingJob) bool {
	t.job = job
	if now := situation(&job.Status); now != t.situation {
		t.situation = now
		t.display.Note(now)
	}
	if c := job.Status.LastCheckpoint; c != nil && c.URI != t.checkpoint {
		t.checkpoint = c.URI
		t.display.Note(fmt.Sprintf("checkpoint of step %d: %s", c.Step, c.URI))
	}
	if job.Status.Progress != nil {
		t.display.Show(statusReport(&job.Status))
	}
	return ended(job)
}

// ended says whether a job is complete or has failed.
func ended(job *v1alpha1.HRMTrainingJob) bool {
	return meta.IsStatusConditionTrue(job.Status.Conditions, v1alpha1.ConditionComplete) ||
		meta.IsStatusConditionTrue(job.Status.Conditions, v1alpha1.ConditionFailed)
}

// situation is the status without its figures: the state, why it is so, and what it took to get here.
func situation(s *v1alpha1.HRMTrainingJobStatus) string {
	if s.State == "" {
		return "Pending: no operator has seen the job yet"
	}
	text := s.State
	var history []string
	for _, part := range []struct {
		count int32
		one   string
	}{{s.Attempts, "attempt"}, {s.Restarts, "restart"}, {s.Disruptions, "disruption"}} {
		if part.count > 0 {
			history = append(history, plural(part.count, part.one))
		}
	}
	if len(history) > 0 {
		text += " (" + strings.Join(history, ", ") + ")"
	}
	if why := explanation(s); why != "" {
		text += ": " + why
	}
	return text
}

func plural(n int32, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// explanation is the message of the condition that matters most.
func explanation(s *v1alpha1.HRMTrainingJobStatus) string {
	for _, kind := range []string{v1alpha1.ConditionFailed, v1alpha1.ConditionComplete, v1alpha1.ConditionSuspended, v1alpha1.ConditionRunning} {
		c := meta.FindStatusCondition(s.Conditions, kind)
		switch {
		case c == nil, c.Status != metav1.ConditionTrue && kind != v1alpha1.ConditionRunning:
			continue
		case c.Reason == s.State:
			return c.Message
		}
		return strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
	}
	return ""
}

// statusReport is the status' progress in the form that displays know. The state takes the place of a phase.
func statusReport(s *v1alpha1.HRMTrainingJobStatus) apiprogress.Report {
	p := s.Progress
	r := apiprogress.Report{
		Step: p.Step, TotalSteps: p.TotalSteps, Phase: apiprogress.Phase(s.State),
		Loss: figure(p.Loss), Accuracy: figure(p.Accuracy), ExactAccuracy: figure(p.ExactAccuracy), EvalExactAccuracy: figure(p.EvalExactAccuracy),
	}
	if rate := figure(p.SamplesPerSecond); rate != nil {
		r.SamplesPerSecond = *rate
	}
	if epoch := figure(p.Epoch); epoch != nil {
		r.Epoch = *epoch
	}
	if p.EstimatedCompletion != nil {
		r.EstimatedCompletion = &p.EstimatedCompletion.Time
	}
	return r
}

// figure reads a status' decimal string; what is absent or no number is not known.
func figure(text string) *float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &x
}
