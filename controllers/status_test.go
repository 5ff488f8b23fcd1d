package controllers

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

func TestStatus_saysWhatPodsSay(t *testing.T) {
	failed := ended(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded, 0)
	run := func(rank int) *builders.PodBuilder {
		return builders.Pod("p", rank).Running("10.0.0.1", ago(time.Minute))
	}
	for _, c := range []struct {
		name    string
		job     *builders.TrainingJob
		attempt []func(*attempt)
		phase   progress.Phase

		status  metav1.ConditionStatus
		state   string
		message string // a part of Running's message
	}{
		{name: "no pods yet", status: "False", state: "Queued", message: "no pods yet"},
		{name: "no node", attempt: say(builders.Pod("p", 0).Unschedulable("0/3 nodes: insufficient nvidia.com/gpu")),
			status: "False", state: "Unschedulable", message: "insufficient nvidia.com/gpu"},
		{name: "no node with a GPU", attempt: say(builders.Pod("p", 0).Limit("nvidia.com/gpu", "1").Unschedulable(
			"0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")),
			status: "False", state: "Unschedulable", message: "device plugin is not installed, or does not run where the devices are: pod p finds no node: 0/1"},
		{name: "a runtime class that does not exist", job: builders.Job("a").RuntimeClass("nvidia"),
			status: "False", state: "Queued", message: "RuntimeClass nvidia may not exist"},
		{name: "a runtime class that its node does not know", attempt: say(builders.Pod("p", 0).RuntimeClass("nvidia").On("n1").Created(ago(time.Minute)).Waiting("ContainerCreating", "")),
			status: "False", state: "Starting", message: "node n1 may not know the handler of runtime class nvidia"},
		{name: "no image", attempt: say(builders.Pod("p", 0).Waiting("ImagePullBackOff", "trainer:nope not found")),
			status: "False", state: "ImagePull", message: "trainer:nope not found"},
		{name: "no secret", attempt: say(builders.Pod("p", 0).Waiting("CreateContainerConfigError", `secret "s3" not found`)),
			status: "False", state: "ConfigError", message: `secret "s3" not found`},
		{name: "being created", attempt: say(builders.Pod("p", 0).Created(noon).Waiting("ContainerCreating", "")),
			status: "False", state: "Starting", message: "0 of 1 pods"},
		{name: "being created for long", attempt: say(builders.Pod("p", 0).Created(ago(time.Minute)).Waiting("ContainerCreating", "")),
			status: "False", state: "Starting", message: "kubectl describe pod p --namespace default"},
		{name: "no pods for long", status: "False", state: "Queued", message: "kubectl describe job a-1 --namespace default"},
		{name: "a selector that nothing satisfies", attempt: say(builders.Pod("p", 0).Selecting("gpu", "h100").Unschedulable("0/3 nodes are available")),
			status: "False", state: "Unschedulable", message: "spec.template.nodeSelector wants map[gpu:h100]"},
		{name: "a node that does not answer", attempt: say(builders.Pod("p", 0).Running("10.0.0.1", ago(time.Hour)).Deleted(ago(time.Minute))),
			status: "False", state: "Stopping", message: "delete the Node, or the pod with --force"},
		{name: "out of memory", attempt: []func(*attempt){failed, with(builders.Pod("p", 0).Limit("memory", "4Gi").OutOfMemory(noon))},
			status: "False", state: "Restarting", message: "out of memory: raise spec.template.resources.limits.memory (now 4Gi)"},
		{name: "over its storage", attempt: []func(*attempt){failed, with(builders.Pod("p", 0).Exited(137, "", noon).OverStorage())},
			status: "False", state: "Restarting", message: "containers 1Mi: raise spec.template.resources.limits.ephemeral-storage (now "},
		{name: "refused by its node", attempt: []func(*attempt){failed, with(builders.Pod("p", 0).Refused("OutOfcpu", "Node didn't have enough resource"))},
			status: "False", state: "Restarting", message: "OutOfcpu: Node didn't have enough resource"},
		{name: "taken away", attempt: []func(*attempt){failed, with(builders.Pod("p", 0).Exited(137, "", noon).Deleted(noon))},
			status: "False", state: "Restarting", message: "its pods were taken away"},
		{name: "a peer is missing", job: builders.Job("a").Nodes(2), attempt: say(run(0)), phase: progress.Training,
			status: "False", state: "Starting", message: "1 of 2 pods"},
		{name: "running without a report", attempt: say(run(0)), status: "True", state: "PreparingDataset"},
		{name: "preparing", attempt: say(run(0)), phase: progress.PreparingDataset, status: "True", state: "PreparingDataset"},
		{name: "training", attempt: say(run(0)), phase: progress.Training, status: "True", state: "Training"},
		{name: "saving is training", attempt: say(run(0)), phase: progress.Saving, status: "True", state: "Training"},
		{name: "queued by Kueue", job: builders.Job("a").Label(kueueQueueLabel, "gpus"), status: "False", state: "Queued", message: "queue gpus"},
		{name: "stopping", attempt: []func(*attempt){with(run(0)), deleting}, status: "False", state: "Stopping"},
		{name: "suspending", job: builders.Job("a").Suspend(true), attempt: say(run(0)), status: "False", state: "Stopping"},
		{name: "out of restarts", job: builders.Job("a").MaxRestarts(0), attempt: []func(*attempt){failed}, status: "False", state: "Failed"},
		{name: "restarting soon", attempt: []func(*attempt){failed, with(builders.Pod("p", 0).Exited(1, "panic: index out of range", noon))},
			status: "False", state: "Restarting", message: "panic: index out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.job
			if b == nil {
				b = builders.Job("a")
			}
			job := b.Obj()
			o := observation{now: noon, job: job, backoff: time.Minute, attempts: []attempt{tried(job, 1, 0, c.attempt...)}}
			if c.phase != "" {
				o.report = &progress.Report{Step: 1, TotalSteps: 2, Phase: c.phase}
			}
			got := nextStatus(o, decide(o), nil)
			running := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionRunning)
			if running.Status != c.status || got.State != c.state || !strings.Contains(running.Message, c.message) {
				t.Errorf("state %s, Running %+v; want %s, %s, …%s…", got.State, running, c.state, c.status, c.message)
			}
		})
	}
}

func say(pods ...*builders.PodBuilder) []func(*attempt) { return []func(*attempt){with(pods...)} }

func TestStatus_settles(t *testing.T) {
	job := builders.Job("a").Obj()
	o := observation{now: noon, job: job, report: &progress.Report{Step: 1, TotalSteps: 2, Phase: progress.Training},
		attempts: []attempt{tried(job, 1, 0, with(builders.Pod("p", 0).Running("10.0.0.1", ago(time.Minute))))}}
	o.job.Status = nextStatus(o, decide(o), nil)
	o.now = noon.Add(time.Hour / 4)
	if diff := cmp.Diff(o.job.Status, nextStatus(o, decide(o), nil)); diff != "" {
		t.Errorf("nothing happened and yet:\n%s", diff)
	}
}

func TestStatus_saysThatTrainingEndedEarly(t *testing.T) {
	const at, long = "the model is trained, and ended early at step 40: ", maxStatusMessage
	for _, c := range []struct{ name, early, message, summary string }{
		{"all steps were made", "", "the model is trained", ""},
		{"it ran out of patience", "3 evaluations in a row", at + "3 evaluations in a row", at + "3 evaluations in a row"},
		{"a pod that says too much", strings.Repeat("x", 100_000), at + strings.Repeat("x", long), at + strings.Repeat("x", long-len(at))},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := builders.Job("a").Obj()
			o := observation{
				now: noon, job: job, report: &progress.Report{Step: 40, TotalSteps: 100, Phase: progress.Done, EndedEarly: c.early},
				attempts: []attempt{tried(job, 1, 0, ended(batchv1.JobComplete, "", 0))},
			}
			status := nextStatus(o, decide(o), nil)
			complete := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionComplete)
			if complete == nil || complete.Reason != v1alpha1.ReasonTrained || complete.Message != c.message || status.Message != c.summary {
				t.Errorf("condition %+v, message %q", complete, status.Message)
			}
		})
	}
}

func TestFigures_keepTheAPIsBounds(t *testing.T) {
	var status v1alpha1.HRMTrainingJobStatus
	figures(&status, progress.Report{
		Step: -1, TotalSteps: -5, Epoch: math.Inf(1), Loss: ptr.To(math.NaN()), Accuracy: ptr.To(0.123456), SamplesPerSecond: 1e300,
		LastCheckpoint: &progress.Checkpoint{URI: strings.Repeat("x", 3000)},
		BestCheckpoint: &progress.Checkpoint{URI: "s3://b/1", Time: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
		DatasetURI:     strings.Repeat("y", 3000),
	}, metav1.NewTime(noon))
	want := v1alpha1.HRMTrainingJobStatus{Progress: &v1alpha1.ProgressStatus{Accuracy: "0.1235", LastUpdate: ptr.To(metav1.NewTime(noon))}}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFigures_lastUpdateIsTheLastProgress(t *testing.T) {
	var status v1alpha1.HRMTrainingJobStatus
	figures(&status, progress.Report{Step: 5, SamplesPerSecond: 100}, metav1.NewTime(noon))
	figures(&status, progress.Report{Step: 5, SamplesPerSecond: 50}, metav1.NewTime(noon.Add(time.Minute)))
	if !status.Progress.LastUpdate.Time.Equal(noon) {
		t.Error("a rate that falls is no progress")
	}
	figures(&status, progress.Report{Step: 6, SamplesPerSecond: 50}, metav1.NewTime(noon.Add(2*time.Minute)))
	if status.Progress.LastUpdate.Time.Equal(noon) || status.Progress.SamplesPerSecond != "50.0" {
		t.Errorf("a step is progress: %+v", status.Progress)
	}
}

func TestNotices_tellEveryTransitionOnce(t *testing.T) {
	job := builders.Job("a").Obj()
	o := observation{now: noon, job: job}
	before := job.Status
	after := nextStatus(o, decide(o), nil)
	var got []string
	for _, n := range notices(before, after) {
		got = append(got, n.kind+" "+n.reason)
	}
	if diff := cmp.Diff([]string{"Normal AttemptStarted", "Normal Queued"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if again := notices(after, after); len(again) != 0 {
		t.Errorf("told again: %v", again)
	}
	over := *after.DeepCopy()
	meta.SetStatusCondition(&over.Conditions, metav1.Condition{Type: v1alpha1.ConditionFailed, Status: "True", Reason: "DatasetError", Message: strings.Repeat("x", 5000)})
	n := notices(after, over)
	if len(n) != 1 || n[0].kind != "Warning" || len(n[0].note) > maxEventNote {
		t.Errorf("notices of a failure: %d, %+v", len(n), n)
	}
}

func TestCulprit_isTheOneThatExplains(t *testing.T) {
	job := builders.Job("a").Nodes(4).Obj()
	a := tried(job, 1, 0, with(
		builders.Pod("stopped", 0).Exited(75, "saved", ago(time.Hour)),
		builders.Pod("second", 1).Exited(1, "lost a peer", ago(time.Minute)),
		builders.Pod("first", 2).Exited(139, "segmentation fault", ago(2*time.Minute))))
	if pod, _, _ := culprit(a.pods); pod.Name != "first" {
		t.Errorf("%s, want the one that failed first", pod.Name)
	}
	a.pods = append(a.pods, *builders.Pod("broken", 3).Exited(65, "bad data", noon).Obj())
	if pod, _, _ := culprit(a.pods); pod.Name != "broken" {
		t.Errorf("%s, want the one that would fail again", pod.Name)
	}
}
