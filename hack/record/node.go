package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// node plays the Job controller and the kubelet.
type node struct {
	cluster  client.Client
	hrm, dir string
	running  map[string]*process // by the name of the Job
	pods     int
}

// process is a pod and the training process behind it.
type process struct {
	pod  *corev1.Pod
	cmd  *exec.Cmd
	done chan error
}

// work looks at the Jobs until the time is over, and disturbs them: SIGTERM every 45 seconds, SIGKILL once in between.
func (n *node) work(ctx context.Context, duration time.Duration) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(duration)
	next, round := time.Now().Add(45*time.Second), 0
	for time.Now().Before(end) {
		if err := n.look(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "record:", err)
		}
		if time.Now().After(next) {
			n.disturb(round)
			next, round = next.Add(45*time.Second), round+1
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (n *node) disturb(round int) {
	var names []string
	for name := range n.running {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return
	}
	signal := syscall.SIGTERM
	if round%3 == 1 {
		signal = syscall.SIGKILL
	}
	_ = n.running[names[round%len(names)]].cmd.Process.Signal(signal)
}

// look starts what is missing and reports what has ended.
func (n *node) look(ctx context.Context) error {
	var jobs batchv1.JobList
	if err := n.cluster.List(ctx, &jobs); err != nil {
		return err
	}
	var problems error
	for i := range jobs.Items {
		job := &jobs.Items[i]
		p := n.running[job.Name]
		switch {
		case over(job):
			continue
		case p == nil:
			problems = errors.Join(problems, n.start(ctx, job))
		default:
			select {
			case err := <-p.done:
				delete(n.running, job.Name)
				problems = errors.Join(problems, n.ended(ctx, job, p, err))
			default:
			}
		}
	}
	return errors.Join(problems, n.targets())
}

func over(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// start makes a pod and runs its process, at a loopback address of its own.
func (n *node) start(ctx context.Context, job *batchv1.Job) error {
	name := job.Labels[v1alpha1.JobLabel]
	var spec corev1.ConfigMap
	if err := n.cluster.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: name}, &spec); err != nil {
		return err
	}
	n.pods++
	pod := &corev1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec}
	pod.Name, pod.Namespace = fmt.Sprintf("%s-0-%d", job.Name, n.pods), job.Namespace
	pod.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: "0"}
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	pod.Spec.ServiceAccountName = ""
	if err := n.cluster.Create(ctx, pod); err != nil {
		return err
	}
	ip, now := fmt.Sprintf("127.0.1.%d", n.pods), metav1.Now()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &now,
		ContainerStatuses: []corev1.ContainerStatus{{Name: "trainer", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}}
	if err := n.cluster.Status().Update(ctx, pod); err != nil {
		return err
	}
	file := filepath.Join(n.dir, pod.Name+".yaml")
	if err := os.WriteFile(file, []byte(spec.Data["job.yaml"]), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(n.dir, "scratch", pod.Name), 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(n.dir, pod.Name+".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(n.hrm, "train", "-f", file, "--store", filepath.Join(n.dir, "store", name), "--scratch", filepath.Join(n.dir, "scratch", pod.Name), "--listen", ip+":8080", "--threads", "1")
	cmd.Env = append(os.Environ(), "HRM_RANK=0", "HRM_WORLD_SIZE=1", "HRM_JOB="+job.Namespace+"/"+name, "HRM_ATTEMPT="+job.Labels[v1alpha1.AttemptLabel])
	if attempt := pod.Labels[v1alpha1.AttemptLabel]; attempt != "" {
		cmd.Env = append(cmd.Env, "HRM_ATTEMPT="+attempt)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{pod: pod, cmd: cmd, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	n.running[job.Name] = p
	return nil
}

// ended writes a process's end into its pod and, unless it is to be replaced, into its Job.
func (n *node) ended(ctx context.Context, job *batchv1.Job, p *process, err error) error {
	code := 0
	if err != nil {
		code = 137
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() >= 0 {
			code = exit.ExitCode()
		}
	}
	now := metav1.Now()
	p.pod.Status.Phase = corev1.PodFailed
	if code == 0 {
		p.pod.Status.Phase = corev1.PodSucceeded
	}
	p.pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), FinishedAt: now}}
	if err := n.cluster.Status().Update(ctx, p.pod); err != nil {
		return err
	}
	if code == 75 {
		return nil
	}
	job.Status.StartTime = &job.CreationTimestamp
	conditions := []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed}
	reason := "BackoffLimitExceeded"
	if code == 0 {
		conditions, reason = []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete}, "CompletionsReached"
		job.Status.CompletionTime, job.Status.Succeeded, job.Status.CompletedIndexes = &now, 1, "0"
	} else {
		job.Status.Failed = 1
		if code == 64 || code == 65 || code == 78 {
			reason = "PodFailurePolicy"
		}
	}
	for _, kind := range conditions {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: now})
	}
	return n.cluster.Status().Update(ctx, job)
}

// targets tells Prometheus what runs, as the chart's PodMonitor would.
func (n *node) targets() error {
	type target struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	all := []target{}
	for _, p := range n.running {
		all = append(all, target{[]string{p.pod.Status.PodIP + ":" + strconv.Itoa(8080)}, map[string]string{
			"namespace": p.pod.Namespace, "pod": p.pod.Name, "training_job": p.pod.Labels[v1alpha1.JobLabel], "attempt": p.pod.Labels[v1alpha1.AttemptLabel], "rank": "0",
		}})
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	path := filepath.Join(n.dir, "targets.json")
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// stop ends every process.
func (n *node) stop() {
	for _, p := range n.running {
		_ = p.cmd.Process.Kill()
		if err := <-p.done; err != nil {
			fmt.Fprintf(os.Stderr, "record: pod %s was stopped: %v\n", p.pod.Name, err)
		}
	}
}
