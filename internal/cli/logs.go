package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// logFlags are the choices of 'hrm logs'.
type logFlags struct {
	follow, previous, timestamps bool
	rank                         string
	attempt                      int32
	tail                         int64
	kube                         kubeFlags
}

func (a *app) logsCommand() *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:   "logs JOB",
		Short: "Print the logs of a cluster's job, over attempts and replaced pods",
		Long: `logs prints what the pods of a job print: the newest pod of rank 0, or of the ranks and the attempt that are asked for.
With --follow it goes on with the pod that takes that one's place, in this attempt or the next, until the job ends.`,
		Example: `  kubectl hrm logs sudoku -f
  kubectl hrm logs sudoku --rank all --attempt 2
  kubectl hrm logs sudoku --previous     # why did it start again?`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			choice, err := f.choice()
			if err != nil {
				return err
			}
			k, err := f.kube.connect()
			if err != nil {
				return err
			}
			return a.logs(c.Context(), &podLogs{cluster: k, job: args[0], tail: f.tail}, choice, f)
		},
	}
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until the job ends")
	c.Flags().StringVar(&f.rank, "rank", "0", "rank of the pod, or all: then lines begin with their rank")
	c.Flags().Int32Var(&f.attempt, "attempt", 0, "number of the attempt; the newest if not set")
	c.Flags().BoolVarP(&f.previous, "previous", "p", false, "the pod before the newest one, in this attempt or the one before")
	c.Flags().BoolVar(&f.timestamps, "timestamps", false, "begin lines with the time")
	c.Flags().Int64Var(&f.tail, "tail", -1, "how many of a log's last lines to begin with; all if negative")
	f.kube.add(c)
	return c
}

// choice checks the flags and says which pods they mean.
func (f *logFlags) choice() (podChoice, error) {
	choice := podChoice{rank: allRanks, attempt: f.attempt, previous: f.previous}
	if f.rank != "all" {
		rank, err := strconv.Atoi(f.rank)
		if err != nil || rank < 0 {
			return choice, usageError{fmt.Errorf("--rank is %q: give a number from 0, or all", f.rank)}
		}
		choice.rank = rank
	}
	if f.attempt < 0 {
		return choice, usageError{fmt.Errorf("--attempt is %d: attempts are counted from 1", f.attempt)}
	}
	if f.previous && f.follow {
		return choice, usageError{errors.New("--previous and --follow exclude each other: that pod has ended")}
	}
	return choice, nil
}

// logs prints what the choice means now, or follows it.
func (a *app) logs(ctx context.Context, source logSource, choice podChoice, f logFlags) error {
	p := &logPrinter{source: source, choice: choice, out: a.out, notes: a.err, timestamps: f.timestamps, poll: time.Second}
	if f.follow {
		err := p.follow(ctx)
		if errors.Is(err, context.Canceled) {
			return statusError{status: exitLeft}
		}
		return err
	}
	return p.print(ctx)
}

// podLogs is the logSource of a cluster.
type podLogs struct {
	cluster *cluster
	job     string
	tail    int64
}

// Pods lists the job's pods. The job is read first: if it has ended, the list is the last word.
func (s *podLogs) Pods(ctx context.Context) ([]corev1.Pod, bool, error) {
	job, err := s.cluster.job(ctx, s.job)
	if err != nil {
		return nil, false, err
	}
	var pods corev1.PodList
	if err := s.cluster.List(ctx, &pods, client.InNamespace(s.cluster.namespace), client.MatchingLabels{v1alpha1.JobLabel: s.job}); err != nil {
		return nil, false, fmt.Errorf("list the pods of job %s: %w", s.cluster.key(s.job), err)
	}
	return pods.Items, ended(job), nil
}

// Open opens a pod's log, with the time before every line.
func (s *podLogs) Open(ctx context.Context, pod string, follow bool, from *metav1.Time) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{Container: v1alpha1.TrainerContainer, Follow: follow, Timestamps: true, SinceTime: from}
	if s.tail >= 0 && from == nil {
		options.TailLines = &s.tail
	}
	return s.cluster.logs.CoreV1().Pods(s.cluster.namespace).GetLogs(pod, options).Stream(ctx)
}

// attemptOf and rankOf read what the operator, and the Job controller, wrote on a pod; -1 is nothing.
func attemptOf(pod *corev1.Pod) int32 {
	n, err := strconv.ParseInt(pod.Labels[v1alpha1.AttemptLabel], 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}

func rankOf(pod *corev1.Pod) int {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return n
}

var _ logSource = (*podLogs)(nil)
