package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// patience is how long a case waits for what must happen. It is long because machines can be slow, not because waiting
// mends anything.
const patience = 4 * time.Minute

// world is a case's own namespace, with credentials for the bucket.
type world struct {
	*testing.T
	ctx       context.Context
	namespace string
	cost      string
}

var notLetters = regexp.MustCompile(`[^a-z0-9]+`)

// begin starts a case. Cases run side by side unless they are alone.
func begin(t *testing.T) *world {
	t.Helper()
	enabled(t)
	t.Parallel()
	return newWorld(t)
}

// alone starts a case that upsets the whole cluster.
func alone(t *testing.T) *world {
	t.Helper()
	enabled(t)
	return newWorld(t)
}

// long skips a case that takes minutes, unless all are asked for.
func long(t *testing.T) {
	t.Helper()
	if v := os.Getenv(enable); v != "" && v != "all" {
		t.Skip("takes minutes: runs with HRM_E2E=all")
	}
}

func enabled(t *testing.T) {
	t.Helper()
	if os.Getenv(enable) == "" {
		t.Skip("make e2e runs the cases on a real cluster; it needs root on Debian")
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	name := strings.Trim(notLetters.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	w := &world{T: t, ctx: t.Context(), namespace: "e2e-" + name[:min(len(name), 50)]}
	began := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.evidence())
		}
		table.add(result{name: strings.TrimPrefix(t.Name(), "Test"), outcome: outcomeOf(t), cost: w.cost, took: time.Since(began)})
		w.removeNamespace()
	})
	w.prepareNamespace()
	return w
}

// prepareNamespace makes the namespace anew, with the credentials in it.
func (w *world) prepareNamespace() {
	w.Helper()
	w.removeNamespace()
	w.must(ensureRestricted(w.namespace))
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName},
		StringData: map[string]string{
			"AWS_ACCESS_KEY_ID": variable("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY": variable("AWS_SECRET_ACCESS_KEY"),
		},
	})
}

// removeNamespace ends what the case started, and what an earlier run left. It does not wait for pods that can't go.
func (w *world) removeNamespace() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, _ = output(ctx, "", "kubectl", "delete", "hrmjobs", "--all", "-n", w.namespace, "--ignore-not-found", "--wait=false")
	_, _ = output(ctx, "", "kubectl", "delete", "namespace", w.namespace, "--ignore-not-found", "--wait")
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(object client.Object) {
	w.Helper()
	object.SetNamespace(w.namespace)
	if err := cluster.client.Create(w.ctx, object); err != nil {
		w.Fatalf("create %T: %v", object, err)
	}
}

// submit creates a job that saves below a prefix of its own.
func (w *world) submit(job trainingJob) string {
	w.Helper()
	if job.Spec.Storage.Prefix == "" {
		job.Spec.Storage.Prefix = w.prefix(job.Name)
	}
	w.create(job.HRMTrainingJob)
	return job.Name
}

func (w *world) prefix(job string) string {
	return w.namespace + "/" + job + "-" + strconv.FormatInt(runID, 36)
}

// runID keeps what a run saves apart from what an earlier one left in the bucket.
var runID = time.Now().Unix()

// kubectl runs kubectl in the case's namespace.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := output(w.ctx, "", "kubectl", append([]string{"-n", w.namespace}, args...)...)
	w.must(err)
	return out
}

// eventually polls until check returns nil.
func (w *world) eventually(what string, check func() error) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s did not come about within %s: %v", what, patience, err)
		}
		select {
		case <-w.ctx.Done():
			w.Fatal(w.ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// job reads a job; the apiserver may be away for a while.
func (w *world) job(name string) *v1alpha1.HRMTrainingJob {
	w.Helper()
	var job v1alpha1.HRMTrainingJob
	w.eventually("a look at job "+name, func() error {
		return cluster.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &job)
	})
	return &job
}

// change updates a job's spec as a user would.
func (w *world) change(name string, edit func(*v1alpha1.HRMTrainingJobSpec)) {
	w.Helper()
	w.eventually("a change of job "+name, func() error {
		job := w.job(name)
		edit(&job.Spec)
		err := cluster.client.Update(w.ctx, job)
		if apierrors.IsInvalid(err) {
			w.Fatal(err)
		}
		return err
	})
}

func (w *world) suspend(name string, on bool) {
	w.Helper()
	w.change(name, func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = &on })
}

// await waits until a condition has a status and a reason, and returns its message.
func (w *world) await(name, kind string, status metav1.ConditionStatus, reason string) string {
	w.Helper()
	var message string
	w.eventually(fmt.Sprintf("%s=%s/%s of job %s", kind, status, reason, name), func() error {
		job := w.job(name)
		c := meta.FindStatusCondition(job.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			if end := ended(job); end != nil && (c == nil || end.Type != kind) {
				w.Fatalf("waiting for %s=%s/%s, but the job is over: %s/%s: %s", kind, status, reason, end.Type, end.Reason, end.Message)
			}
			return fmt.Errorf("conditions are %s", spell(job.Status.Conditions))
		}
		message = c.Message
		return nil
	})
	return message
}

// awaitStep waits until training has come so far.
func (w *world) awaitStep(name string, step int64) {
	w.Helper()
	w.eventually(fmt.Sprintf("step %d of job %s", step, name), func() error {
		job := w.job(name)
		if p := job.Status.Progress; p != nil && p.Step >= step {
			return nil
		}
		if end := ended(job); end != nil {
			w.Fatalf("the job is over before step %d: %s/%s: %s", step, end.Type, end.Reason, end.Message)
		}
		return fmt.Errorf("conditions are %s", spell(job.Status.Conditions))
	})
}

// awaitEvent waits for an event of the job with a reason.
func (w *world) awaitEvent(name, reason string) {
	w.Helper()
	w.eventually("event "+reason, func() error {
		out := w.kubectl("get", "events", "--field-selector", "involvedObject.name="+name+",reason="+reason, "-o", "name")
		if strings.TrimSpace(out) == "" {
			return errors.New("there is none")
		}
		return nil
	})
}

func ended(job *v1alpha1.HRMTrainingJob) *metav1.Condition {
	for _, kind := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed} {
		if c := meta.FindStatusCondition(job.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionTrue {
			return c
		}
	}
	return nil
}

func spell(conditions []metav1.Condition) string {
	var all []string
	for _, c := range conditions {
		all = append(all, fmt.Sprintf("%s=%s/%s (%s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(all, ", ")
}

// pods lists a job's pods, the ones of the other namespaces' jobs not among them.
func (w *world) pods(name string) []corev1.Pod {
	w.Helper()
	var list corev1.PodList
	w.eventually("a list of pods", func() error {
		return cluster.client.List(w.ctx, &list, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.JobLabel: name})
	})
	return list.Items
}

// runningPod returns the pod of a rank that runs, once there is one.
func (w *world) runningPod(name string, rank int) corev1.Pod {
	w.Helper()
	var found corev1.Pod
	w.eventually(fmt.Sprintf("a running pod of rank %d", rank), func() error {
		for _, pod := range w.pods(name) {
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && rankOf(pod) == rank {
				found = pod
				return nil
			}
		}
		return errors.New("there is none")
	})
	return found
}

func rankOf(pod corev1.Pod) int {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return n
}

func (w *world) logs(pod corev1.Pod) string {
	raw, err := cluster.clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(w.ctx)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// evidence is what one would look at first.
func (w *world) evidence() string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	for _, args := range [][]string{
		{"get", "hrmjobs,jobs,pods,services,configmaps", "-n", w.namespace, "-o", "wide"},
		{"get", "hrmjobs", "-n", w.namespace, "-o", "jsonpath={range .items[*]}{.status}{end}"},
		{"get", "events", "-n", w.namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", w.namespace, "--tail=15", "--prefix", "-l", "hrm.dev/job"},
		{"logs", "-n", systemNamespace, "--tail=15", "-l", "app.kubernetes.io/component=operator"},
	} {
		text, err := output(ctx, "", "kubectl", args...)
		if err != nil {
			text += err.Error()
		}
		fmt.Fprintf(&out, "--- kubectl %s\n%s\n", strings.Join(args, " "), text)
	}
	return out.String()
}

var goingOn = regexp.MustCompile(`going on .*?from step (\d+)`)

// fault does something bad to a job in training, and waits until it trains again. What that cost goes into the table.
func (w *world) fault(name string, do func()) {
	w.Helper()
	before := map[types.UID]bool{}
	for _, pod := range w.pods(name) {
		before[pod.UID] = true
	}
	step, at := w.job(name).Status.Progress.Step, time.Now()
	do()
	var from int64
	w.eventually("training after the fault", func() error {
		job := w.job(name)
		for _, pod := range w.pods(name) {
			if before[pod.UID] || rankOf(pod) != 0 {
				continue
			}
			found := goingOn.FindStringSubmatch(w.logs(pod))
			if found == nil {
				continue
			}
			from, _ = strconv.ParseInt(found[1], 10, 64)
			if pod.Status.StartTime == nil || job.Status.Progress == nil || job.Status.Progress.LastUpdate == nil {
				continue
			}
			if job.Status.Progress.Step > from && !job.Status.Progress.LastUpdate.Time.Before(pod.Status.StartTime.Time) {
				return nil
			}
		}
		if end := ended(job); end != nil && end.Type == v1alpha1.ConditionFailed {
			w.Fatalf("the job failed: %s: %s", end.Reason, end.Message)
		}
		return fmt.Errorf("conditions are %s", spell(job.Status.Conditions))
	})
	w.cost = fmt.Sprintf("%d steps repeated, training again after %.0f s", max(0, step-from), time.Since(at).Seconds())
}

// outcome is how a job must end.
type outcome struct {
	condition, reason                       string
	attempts, restarts, disruptions, stalls int32
	// message is part of what the condition says.
	message string
	// nodes is the world size whose undisturbed model a complete job must equal; 0 is 1.
	nodes int32
	// otherModel is for jobs that changed their world size on the way: only the step is compared.
	otherModel bool
}

// complete is the end of a job that nothing befell.
var complete = outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 1}

// expect waits for the end of a job and compares it whole: condition, counts, nothing running, and the model.
func (w *world) expect(name string, want outcome) {
	w.Helper()
	var job *v1alpha1.HRMTrainingJob
	w.eventually("the end of job "+name, func() error {
		job = w.job(name)
		if ended(job) == nil {
			return fmt.Errorf("conditions are %s", spell(job.Status.Conditions))
		}
		return nil
	})
	end, s := ended(job), job.Status
	if end.Type != want.condition || end.Reason != want.reason || !strings.Contains(end.Message, want.message) {
		w.Errorf("ended %s/%s: %q; want %s/%s: …%q…", end.Type, end.Reason, end.Message, want.condition, want.reason, want.message)
	}
	got := outcome{attempts: s.Attempts, restarts: s.Restarts, disruptions: s.Disruptions, stalls: s.Stalls}
	if got.attempts != want.attempts || got.restarts != want.restarts || got.disruptions != want.disruptions || got.stalls != want.stalls {
		w.Errorf("attempts %d, restarts %d, disruptions %d, stalls %d; want %d, %d, %d, %d", got.attempts, got.restarts, got.disruptions,
			got.stalls, want.attempts, want.restarts, want.disruptions, want.stalls)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRunning); c == nil || c.Status != metav1.ConditionFalse {
		w.Errorf("the job is over and still Running: %s", spell(s.Conditions))
	}
	w.nothingRuns(name)
	if want.condition == v1alpha1.ConditionComplete {
		w.sameModel(job, want)
	}
}

// nothingRuns checks that no pod holds resources. Failed is not said before that is so.
func (w *world) nothingRuns(name string) {
	w.Helper()
	for _, pod := range w.pods(name) {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			w.Errorf("pod %s is %s and holds its place", pod.Name, pod.Status.Phase)
		}
	}
}

// sameModel compares a job's last checkpoint with that of a job that nothing befell.
func (w *world) sameModel(job *v1alpha1.HRMTrainingJob, want outcome) {
	w.Helper()
	got, err := lastCheckpoint(w.ctx, job.Spec.Storage.Prefix)
	w.must(err)
	if got.Step != totalSteps {
		w.Errorf("the last checkpoint is of step %d, want %d", got.Step, totalSteps)
	}
	if want.otherModel {
		return
	}
	if undisturbed := undisturbedModel(w, max(1, want.nodes)); got.Model != undisturbed.Model || got.Carry != undisturbed.Carry {
		w.Errorf("the model is not the undisturbed run's: got %+v, want %+v", got, undisturbed)
	}
}

var references struct {
	sync.Mutex
	models map[int32]seals
}

// undisturbedModel trains the small job once for every world size that is asked for.
func undisturbedModel(w *world, nodes int32) seals {
	w.Helper()
	references.Lock()
	defer references.Unlock()
	if found, ok := references.models[nodes]; ok {
		return found
	}
	w = &world{T: w.T, ctx: w.ctx, namespace: fmt.Sprintf("e2e-undisturbed-%d", nodes)}
	w.prepareNamespace()
	job := smallJob("undisturbed").nodes(nodes).apart()
	w.submit(job)
	w.eventually("the undisturbed model", func() error {
		end := ended(w.job(job.Name))
		if end == nil {
			return errors.New("still training")
		}
		if end.Type != v1alpha1.ConditionComplete {
			w.Fatalf("the undisturbed job failed: %s: %s", end.Reason, end.Message)
		}
		return nil
	})
	found, err := lastCheckpoint(w.ctx, w.prefix(job.Name))
	w.must(err)
	if references.models == nil {
		references.models = map[int32]seals{}
	}
	references.models[nodes] = found
	w.removeNamespace()
	return found
}

// gone waits until nothing of a job is left.
func (w *world) gone(job string) {
	w.Helper()
	w.eventually("the end of all children", func() error {
		left := strings.Fields(w.kubectl("get", "jobs,pods,services,configmaps,networkpolicies", "-l", "hrm.dev/job="+job, "-o", "name"))
		left = append(left, strings.Fields(w.kubectl("get", "hrmjob", job, "--ignore-not-found", "-o", "name"))...)
		if len(left) > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	})
}
