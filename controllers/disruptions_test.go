package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

const peerLost = `{"step":7,"interruption":"PeerLost"}`

// member is the n-th pod of a rank, made n minutes after the gang.
func member(rank, n int) *builders.PodBuilder {
	return builders.Pod(fmt.Sprintf("p-%d-%d", rank, n), rank).Created(ago(time.Hour).Add(time.Duration(n) * time.Minute))
}

func TestDisruptions_areIncidents(t *testing.T) {
	alive := func(rank, n int) *builders.PodBuilder { return member(rank, n).Running("10.0.0.1", noon) }
	stopped := func(rank, n int) *builders.PodBuilder {
		return member(rank, n).Exited(75, `{"step":7,"interruption":"Terminated"}`, noon)
	}
	lost := func(rank, n int) *builders.PodBuilder { return member(rank, n).Exited(75, peerLost, noon) }
	for _, c := range []struct {
		name  string
		nodes int32
		pods  []*builders.PodBuilder
		gone  []*builders.PodBuilder
		want  map[string]int32
	}{
		{name: "a pod that runs is none", nodes: 1, pods: []*builders.PodBuilder{alive(0, 0)}},
		{name: "nor is one that failed", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(1, "", noon)}},
		{name: "nor one that ran out of memory", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).OutOfMemory(noon)}},
		{name: "nor one that wrote too much and was killed", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(137, "", noon).OverStorage()}},
		{name: "nor one that is trained", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(0, "", noon).Deleted(noon)}},
		{name: "nor one that never ran", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Disrupted()}},
		{name: "nor one that is still saving", nodes: 1, pods: []*builders.PodBuilder{alive(0, 0).Disrupted().Deleted(noon)}},
		{name: "nor broken data on a drained node", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(65, "", noon).Disrupted()}},
		{name: "an eviction", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(137, "", noon).Disrupted(), alive(0, 1)},
			want: map[string]int32{v1alpha1.DisruptionEvicted: 1}},
		{name: "a preemption", nodes: 1, pods: []*builders.PodBuilder{stopped(0, 0).DisruptedBy("PreemptionByScheduler")},
			want: map[string]int32{v1alpha1.DisruptionPreempted: 1}},
		{name: "a lost node", nodes: 1, pods: []*builders.PodBuilder{stopped(0, 0).DisruptedBy("DeletionByPodGC")},
			want: map[string]int32{v1alpha1.DisruptionNodeLost: 1}},
		{name: "a deletion that was not survived", nodes: 1, pods: []*builders.PodBuilder{member(0, 0).Exited(137, "", noon).Deleted(noon)},
			want: map[string]int32{v1alpha1.DisruptionDeleted: 1}},
		{name: "a SIGTERM from nobody the API tells of", nodes: 1, pods: []*builders.PodBuilder{stopped(0, 0)},
			want: map[string]int32{v1alpha1.DisruptionInterrupted: 1}},
		{name: "an eviction for what the pod wrote", nodes: 1, pods: []*builders.PodBuilder{stopped(0, 0).OverStorage(), alive(0, 1)},
			want: map[string]int32{v1alpha1.DisruptionStorageLimit: 1}},
		{name: "one after the other", nodes: 1, pods: []*builders.PodBuilder{stopped(0, 0), stopped(0, 1), alive(0, 2)},
			want: map[string]int32{v1alpha1.DisruptionInterrupted: 2}},
		{name: "pods that are gone count as well", nodes: 1, gone: []*builders.PodBuilder{stopped(0, 0).Deleted(noon)}, pods: []*builders.PodBuilder{alive(0, 1)},
			want: map[string]int32{v1alpha1.DisruptionDeleted: 1}},
		{name: "a gang that loses one member is one", nodes: 4,
			pods: []*builders.PodBuilder{lost(0, 0), stopped(1, 0).Disrupted(), lost(2, 0), lost(3, 0), alive(0, 1), alive(1, 1), alive(2, 1), alive(3, 1)},
			want: map[string]int32{v1alpha1.DisruptionEvicted: 1}},
		{name: "so is one that loses two at once", nodes: 4,
			pods: []*builders.PodBuilder{lost(0, 0), stopped(1, 0).Disrupted(), stopped(2, 0).Disrupted(), lost(3, 0)},
			want: map[string]int32{v1alpha1.DisruptionEvicted: 1}},
		{name: "one that loses two after each other is two", nodes: 2,
			pods: []*builders.PodBuilder{stopped(0, 0).Disrupted(), lost(1, 0), lost(0, 1), stopped(1, 1).DisruptedBy("PreemptionByScheduler"), alive(0, 2), alive(1, 2)},
			want: map[string]int32{v1alpha1.DisruptionEvicted: 1, v1alpha1.DisruptionPreempted: 1}},
		{name: "one whose members lost each other waits for all to be back", nodes: 2, pods: []*builders.PodBuilder{lost(0, 0), lost(1, 0), alive(0, 1)}},
		{name: "and is the network's then", nodes: 2, pods: []*builders.PodBuilder{lost(0, 0), lost(1, 0), alive(0, 1), alive(1, 1)},
			want: map[string]int32{v1alpha1.DisruptionPeerLost: 1}},
		{name: "one whose lost member only seems to run has not come back", nodes: 2, pods: []*builders.PodBuilder{lost(0, 0), alive(1, 0), alive(0, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := builders.Job("a").Nodes(c.nodes).Status(attempted(1, 0)).Obj()
			o := observation{now: noon, job: job, attempts: []attempt{tried(job, 1, 0, with(c.pods...), without(c.gone...))}}
			b := countDisruptions(o)
			got := map[string]int32{}
			var total int32
			for _, r := range b.reasons {
				got[r.Reason] = r.Count
				total += r.Count
			}
			if c.want == nil {
				c.want = map[string]int32{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || total != b.total {
				t.Errorf("total %d (-want +got):\n%s", b.total, diff)
			}
			// Another operator, or the same one later, sees the same pods and the status that the first one wrote.
			o.job.Status.Disruptions, o.job.Status.DisruptionReasons, o.job.Status.DisruptedPods = b.total, b.reasons, b.pods
			if diff := cmp.Diff(b.total, countDisruptions(o).total); diff != "" {
				t.Errorf("counted again:\n%s", diff)
			}
		})
	}
}

func TestDisruptions_ofAQueue(t *testing.T) {
	job := builders.Job("a").Label(kueueQueueLabel, "gpus").Obj()
	a := tried(job, 1, 0, with(member(0, 0).Exited(75, "", noon).Deleted(noon)))
	if b := countDisruptions(observation{job: job, attempts: []attempt{a}}); b.total != 1 || b.reasons[0].Reason != v1alpha1.DisruptionQueue {
		t.Errorf("%+v", b)
	}
}

func TestDisruptions_areRebuiltFromTheJob(t *testing.T) {
	job := builders.Job("a").Obj()
	a := tried(job, 4, 0, with(member(0, 0).Exited(75, "", noon)))
	a.disruptions = 3
	if b := countDisruptions(observation{job: job, attempts: []attempt{a}}); b.total != 4 {
		t.Errorf("%d, want the 3 that the Job remembers and 1", b.total)
	}
}

func TestDisruptions_doNotCountWhatTheOperatorStops(t *testing.T) {
	for name, b := range map[string]*builders.TrainingJob{
		"a suspension": builders.Job("a").Suspend(true),
		"a stall":      builders.Job("a").Status(stalledAt(1, 0, 1)),
	} {
		job := b.Status(func(s *v1alpha1.HRMTrainingJobStatus) { s.Disruptions = 1 }).Obj()
		a := tried(job, 1, 0, with(member(0, 0).Exited(75, "", noon).Deleted(noon)))
		if got := countDisruptions(observation{job: job, attempts: []attempt{a}}); got.total != 1 {
			t.Errorf("%s: %d, want the 1 from before", name, got.total)
		}
	}
}

func TestMemory_keepsPodsThatAreGone(t *testing.T) {
	var m memory
	depart := func(attempt string, p *builders.PodBuilder) {
		pod := p.Obj()
		pod.Labels = map[string]string{v1alpha1.AttemptLabel: attempt}
		m.depart(someJob, *pod, noon)
	}
	depart("1", member(0, 0).Exited(1, "", noon))
	depart("2", member(0, 0))
	depart("2", member(0, 1).Running("10.0.0.1", noon))
	got := m.departed(someJob, 2)
	if len(got) != 1 || got[0].Status.Phase != corev1.PodFailed || takenAway(got[0]) != v1alpha1.DisruptionDeleted {
		t.Errorf("%+v, want the pod of attempt 2 that ran, as one that was taken away", got)
	}
	for range 2 * maxDeparted {
		depart("2", member(0, 1).Exited(75, "", noon))
	}
	if got := len(m.departed(someJob, 2)); got != maxDeparted {
		t.Errorf("%d pods are remembered, want %d", got, maxDeparted)
	}
	m.forget(someJob)
	if got := m.departed(someJob, 2); got != nil {
		t.Errorf("a job that is gone is remembered: %v", got)
	}
}

func TestStrays_arePodsOfAttemptsWhoseJobIsGone(t *testing.T) {
	job := builders.Job("a").Obj()
	owned, lost := attemptJob(job, Config{}, record{number: 2}), attemptJob(job, Config{}, record{number: 1})
	owned.UID, lost.UID = "owned", "lost"
	orphan := builders.Pod("orphan", 0).OwnedBy(lost).Running("", noon).Obj()
	orphan.OwnerReferences = nil
	debugging := builders.Pod("debugging", 0).Running("", noon).Obj()
	debugging.Labels = selectorLabels(job)
	pods := []corev1.Pod{
		*builders.Pod("fine", 0).OwnedBy(owned).Running("", noon).Obj(),
		*builders.Pod("collected", 0).OwnedBy(lost).Running("", noon).Obj(),
		*builders.Pod("over", 0).OwnedBy(lost).Exited(0, "", noon).Obj(),
		*orphan, *debugging,
	}
	var names []string
	for _, pod := range straysOf([]batchv1.Job{*owned}, pods) {
		names = append(names, pod.Name)
	}
	if diff := cmp.Diff([]string{"collected", "orphan"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFinalReport_ofASuspendedAttemptIsKept(t *testing.T) {
	job := builders.Job("a").Suspend(true).Status(attempted(1, 0)).Obj()
	pod := member(0, 0).Exited(75, `{"step":9,"totalSteps":12,"lastCheckpoint":{"uri":"s3://hrm/a/9","step":9,"time":"2026-01-02T03:04:05Z"}}`, noon).Obj()
	pod.Labels = map[string]string{v1alpha1.AttemptLabel: "1"}
	pod.UID = types.UID("gone")
	o := observation{now: noon, job: job}
	o.remember([]corev1.Pod{*pod}, nil)
	r := Reconciler{Poller: NewPoller(time.Hour, 1, quiet)}
	o.report = r.observeReport(o)
	status := nextStatus(o, decide(o), nil)
	if c := status.LastCheckpoint; c == nil || c.Step != 9 || ptr.Deref(status.Progress, v1alpha1.ProgressStatus{}).StepOfTotal != "9/12" {
		t.Errorf("last checkpoint %+v, progress %+v", c, status.Progress)
	}
}
