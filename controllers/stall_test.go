package controllers

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

var quiet = logr.Discard()

func TestStall_isForProcessesThatRun(t *testing.T) {
	run := func(rank int) *builders.PodBuilder { return builders.Pod("run", rank).Running("10.0.0.1", noon) }
	for _, c := range []struct {
		name  string
		nodes int32
		edit  []func(*attempt)
		want  bool
	}{
		{name: "no pods", nodes: 1},
		{name: "all run", nodes: 2, edit: say(run(0), run(1)), want: true},
		{name: "one waits for a node", nodes: 2, edit: say(run(0), builders.Pod("q", 1).Unschedulable("none"))},
		{name: "one waits for its image", nodes: 2, edit: say(run(0), builders.Pod("q", 1).Waiting("ContainerCreating", ""))},
		{name: "one could not be made yet", nodes: 2, edit: say(run(0), builders.Pod("q", 1).Exited(75, "", noon))},
		{name: "one is being taken away", nodes: 2, edit: say(run(0), run(1).Deleted(noon))},
		{name: "one is done and the other hangs", nodes: 2, edit: say(run(0), builders.Pod("q", 1).Exited(0, "", noon)), want: true},
		{name: "one was replaced", nodes: 2, edit: say(run(0), builders.Pod("q", 1).Exited(75, "", noon), run(1)), want: true},
		{name: "the attempt is being deleted", nodes: 1, edit: []func(*attempt){with(run(0)), deleting}},
		{name: "it is about to fail", nodes: 1, edit: []func(*attempt){with(run(0)), ended(batchv1.JobFailureTarget, "", 0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := builders.Job("a").Nodes(c.nodes).Obj()
			if _, got := progressLeft(observation{now: noon, job: job, attempts: []attempt{tried(job, 1, 0, c.edit...)}}); got != c.want {
				t.Errorf("watched %t, want %t", got, c.want)
			}
		})
	}
}

func TestStall_survivesClocksThatDisagree(t *testing.T) {
	const deadline = 30 * time.Minute
	for _, c := range []struct {
		name            string
		running, update time.Duration // how long ago, by the status
		kubelet         time.Duration // how long ago, by the pod's start time
		watched         time.Duration // how long this process has seen nothing change
		want            time.Duration
	}{
		{name: "all agree", running: 20 * time.Minute, update: 10 * time.Minute, kubelet: 20 * time.Minute, watched: 10 * time.Minute, want: 20 * time.Minute},
		{name: "the kubelet is behind", running: time.Minute, update: time.Minute, kubelet: 11 * time.Minute, watched: time.Minute, want: 29 * time.Minute},
		{name: "far behind", running: time.Minute, update: time.Minute, kubelet: 24 * time.Hour, watched: time.Minute, want: 29 * time.Minute},
		{name: "the kubelet is ahead", running: 40 * time.Minute, update: 40 * time.Minute, kubelet: -10 * time.Minute, watched: 40 * time.Minute, want: -10 * time.Minute},
		{name: "the operator before was ahead", running: 40 * time.Minute, update: -10 * time.Minute, watched: 31 * time.Minute, want: -time.Minute},
		{name: "the operator before was behind", running: 60 * time.Minute, update: 31 * time.Minute, watched: 0, want: 10 * time.Minute},
		{name: "a new operator finds an old stall", running: 5 * time.Hour, update: 5 * time.Hour, watched: 10 * time.Minute, want: 0},
		{name: "no report ever came", running: 31 * time.Minute, watched: 31 * time.Minute, want: -time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := builders.Job("a").ProgressDeadline(int32(deadline.Seconds())).
				Condition(v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonTraining, ago(c.running)).Obj()
			if c.update != 0 {
				job.Status.Progress = &v1alpha1.ProgressStatus{LastUpdate: ptr.To(metav1.NewTime(ago(c.update)))}
			}
			o := observation{now: noon, job: job, watchedSince: ago(c.watched),
				attempts: []attempt{tried(job, 1, 0, with(builders.Pod("p", 0).Running("10.0.0.1", ago(c.kubelet))))}}
			if got, ok := progressLeft(o); !ok || got != c.want {
				t.Errorf("%s left (%t), want %s", got, ok, c.want)
			}
		})
	}
}

func TestMemory_timesByItsOwnClock(t *testing.T) {
	var m memory
	m.lookedSo(someJob, "x", noon)
	if got := m.lookedSo(someJob, "x", noon.Add(time.Minute)); !got.Equal(noon) {
		t.Errorf("since %s, want noon", got)
	}
	if got := m.lookedSo(someJob, "y", noon.Add(time.Minute)); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("a change was not seen: %s", got)
	}
	if got := m.lookedSo(someJob, "y", noon); !got.Equal(noon) {
		t.Errorf("since a time that has not come yet: %s", got)
	}
}

func TestStalls_repeatOnlyAtTheSameStep(t *testing.T) {
	job := builders.Job("a").Obj()
	status := job.Status.DeepCopy()
	for _, c := range []struct {
		attempt     int32
		step        int64
		repeats, in int32
	}{{1, 100, 1, 1}, {2, 100, 2, 2}, {3, 90, 3, 3}, {4, 101, 1, 4}, {4, 101, 1, 4}, {5, 101, 2, 5}} {
		status.Progress = &v1alpha1.ProgressStatus{Step: c.step}
		job.Status = *status
		recordStall(status, observation{now: noon, job: job, attempts: []attempt{tried(job, c.attempt, 0)}})
		if s := status.LastStall; s.Repeats != c.repeats || status.Stalls != c.in {
			t.Errorf("attempt %d at step %d: %d in a row, %d in all; want %d and %d", c.attempt, c.step, s.Repeats, status.Stalls, c.repeats, c.in)
		}
	}
}

func TestFigures_phaseAndDatasetAreProgressBeforeTraining(t *testing.T) {
	var status v1alpha1.HRMTrainingJobStatus
	at := func(minute int) metav1.Time { return metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute)) }
	for i, c := range []struct {
		report progress.Report
		news   bool
	}{
		{progress.Report{Phase: progress.PreparingDataset}, true},
		{progress.Report{Phase: progress.PreparingDataset}, false},
		{progress.Report{Phase: progress.PreparingDataset, DatasetURI: "s3://hrm/data"}, true},
		{progress.Report{Phase: progress.Training, DatasetURI: "s3://hrm/data"}, true},
		{progress.Report{Phase: progress.Saving, DatasetURI: "s3://hrm/data"}, false},
		{progress.Report{Phase: progress.Training, DatasetURI: "s3://hrm/data"}, false},
		{progress.Report{Phase: progress.Training, Step: 1, DatasetURI: "s3://hrm/data"}, true},
	} {
		figures(&status, c.report, at(i))
		if got := status.Progress.LastUpdate.Time.Equal(at(i).Time); got != c.news || status.Progress.Activity != string(c.report.Phase) {
			t.Errorf("report %d: news %t in phase %s, want %t", i, got, status.Progress.Activity, c.news)
		}
	}
}

func TestDeadline_standsStillWhileSuspended(t *testing.T) {
	job := builders.Job("a").Deadline(60).Suspend(true).Status(attempted(1, 0)).
		Condition(v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended, ago(time.Hour)).Obj()
	o := observation{now: noon, job: job, attempts: []attempt{tried(job, 1, 0, ended(batchv1.JobFailed, "", time.Hour))}}
	if p := decide(o); p.verdict != nil || p.action != wait {
		t.Errorf("suspended: %+v", p)
	}
	job.Spec.Suspend = ptr.To(false)
	p := decide(o)
	if p.action != start || !p.next.active.Equal(noon) || !p.next.started.Equal(ago(time.Hour)) {
		t.Errorf("resumed: %+v, want a clock that starts anew", p)
	}
}
