package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// disturbed is the end of a job that lost its pods once: the same attempt went on, and no restart was used.
var disturbed = outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 1, disruptions: 1}

// restarted is the end of a job whose attempt failed once.
var restarted = outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 2, restarts: 1}

func TestEviction(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("evicted"))
	w.awaitStep(job, 300)
	w.fault(job, func() {
		pod := w.runningPod(job, 0)
		w.must(cluster.clientset.PolicyV1().Evictions(w.namespace).Evict(w.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}))
	})
	w.expect(job, disturbed)
}

func TestEvictionOfOneOfTwo(t *testing.T) {
	for rank := range 2 {
		t.Run(fmt.Sprintf("rank %d", rank), func(t *testing.T) {
			w := begin(t)
			job := w.submit(smallJob("pair").nodes(2).apart())
			w.awaitStep(job, 300)
			w.fault(job, func() {
				pod := w.runningPod(job, rank)
				w.must(cluster.clientset.PolicyV1().Evictions(w.namespace).Evict(w.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}))
			})
			want := disturbed
			want.nodes = 2
			w.expect(job, want)
		})
	}
}

func TestProcessKilled(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("killed"))
	w.awaitStep(job, 300)
	w.fault(job, func() { signalPod(t, w.runningPod(job, 0), syscall.SIGKILL) })
	w.expect(job, restarted)
}

func TestProcessKilledOfOneOfTwo(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("widow").nodes(2).apart())
	w.awaitStep(job, 300)
	w.fault(job, func() { signalPod(t, w.runningPod(job, 1), syscall.SIGKILL) })
	want := restarted
	want.nodes = 2
	w.expect(job, want)
}

// A stopped process answers nobody and makes no step: what a hung GPU looks like from outside.
func TestStall(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("hung").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.ProgressDeadlineSeconds, s.TerminationGracePeriodSeconds = new(int32(30)), new(int64(5))
	}))
	w.awaitStep(job, 300)
	w.fault(job, func() {
		signalPod(t, w.runningPod(job, 0), syscall.SIGSTOP)
		w.await(job, v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonStalled)
	})
	w.awaitEvent(job, v1alpha1.ReasonStalled)
	w.expect(job, outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 2, stalls: 1})
}

// A peer that hangs is noticed by the others within 30 seconds.
func TestPeerHangs(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("silent").nodes(2).apart().with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.ProgressDeadlineSeconds, s.TerminationGracePeriodSeconds = new(int32(60)), new(int64(5))
	}))
	w.awaitStep(job, 300)
	w.fault(job, func() {
		first := w.runningPod(job, 0)
		signalPod(t, w.runningPod(job, 1), syscall.SIGSTOP)
		stopped := time.Now()
		w.eventually("rank 0 giving up", func() error {
			if len(processes(first.UID)) > 0 {
				return fmt.Errorf("it still runs")
			}
			return nil
		})
		if took := time.Since(stopped); took > 35*time.Second {
			t.Errorf("the lost peer was noticed after %s, want 30 s", took)
		}
	})
	want := outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 2, stalls: 1, nodes: 2}
	w.expect(job, want)
}

func TestS3DownAtStart(t *testing.T) {
	w := alone(t)
	var job string
	withoutPart(t, "versitygw", func() {
		job = w.submit(smallJob("waiting"))
		pod := w.runningPod(job, 0)
		w.eventually("a word about the store", func() error {
			if said := w.logs(pod); !strings.Contains(said, strings.TrimPrefix(cluster.endpoint, "http://")) {
				return fmt.Errorf("the pod says %q", said)
			}
			return nil
		})
	})
	w.expect(job, complete)
}

// The store is away for a good part of the training, which goes on meanwhile.
func TestS3DownInTraining(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("steady"))
	w.awaitStep(job, 300)
	withoutPart(t, "versitygw", func() { w.awaitStep(job, 1500) })
	w.expect(job, complete)
}

func TestS3DownForThreeMinutes(t *testing.T) {
	long(t)
	w := alone(t)
	job := w.submit(smallJob("patient").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Training.Steps = new(int64(20 * totalSteps))
		s.Checkpoint.EverySteps = new(int64(1000))
	}))
	w.awaitStep(job, 1000)
	withoutPart(t, "versitygw", func() {
		before := w.job(job).Status.Progress.Step
		time.Sleep(3 * time.Minute) // the length of the outage is what is tried
		if after := w.job(job).Status.Progress.Step; after <= before {
			t.Errorf("training stood still at step %d", after)
		}
	})
	w.await(job, v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	if s := w.job(job).Status; s.Attempts != 1 || s.Restarts != 0 {
		t.Errorf("attempts %d, restarts %d; want 1, 0", s.Attempts, s.Restarts)
	}
}

// A pod that is deleted while the store is away cannot save: it goes on from the last checkpoint when the store is back.
func TestS3DownWhenAPodIsDeleted(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("unlucky").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.TerminationGracePeriodSeconds = new(int64(5)) }))
	w.awaitStep(job, 300)
	w.fault(job, func() {
		withoutPart(t, "versitygw", func() {
			pod := w.runningPod(job, 0)
			w.kubectl("delete", "pod", pod.Name)
		})
	})
	w.expect(job, disturbed)
}

func TestDrain(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("drained").nodes(2).apart())
	w.awaitStep(job, 300)
	node := w.runningPod(job, 1).Spec.NodeName
	defer func() { _, _ = output(t.Context(), "", "kubectl", "uncordon", node) }()
	w.fault(job, func() {
		_, err := output(w.ctx, "", "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")
		w.must(err)
	})
	want := disturbed
	want.nodes = 2
	w.expect(job, want)
}

func TestNodeLost(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("orphan").nodes(2).apart())
	w.awaitStep(job, 300)
	w.keepOperatorOn(firstNode)
	w.fault(job, func() {
		_, err := output(w.ctx, "", "cluster", "node", "cut")
		w.must(err)
		_, err = output(w.ctx, "", "kubectl", "wait", "--for=condition=Ready=Unknown", "node/"+secondNode, "--timeout=90s")
		w.must(err)
		// What a cloud's controller does when a machine is gone, and what an administrator does by hand.
		_, err = output(w.ctx, "", "kubectl", "delete", "node", secondNode)
		w.must(err)
	})
	want := disturbed
	want.nodes = 2
	w.expect(job, want)
	_, err := output(w.ctx, "", "cluster", "node", "add")
	w.must(err)
	w.must(advertiseDevices(secondNode))
}
