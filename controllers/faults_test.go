package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// told is what an event tells of: attempts one by one, everything else by its reason.
func told(e *eventsv1.Event) string {
	if e.Reason == "AttemptStarted" {
		return e.Note
	}
	return e.Reason
}

// A fault is what goes wrong at one call to the apiserver.
type fault int

const (
	diesBefore   fault = iota // the operator's process ends before the call
	diesAfter                 // and after it: the call had its effect, and nobody knows
	failsBefore               // the call fails
	failsAfter                // the call has its effect, and is reported as failed
	conflictsOut              // somebody else changes the job before the call
)

const faults = conflictsOut + 1

func (f fault) String() string {
	return [...]string{"dies before", "dies after", "fails before", "fails after", "is overtaken before"}[f]
}

func (f fault) deadly() bool { return f == diesBefore || f == diesAfter }

// faulty is a client one of whose calls goes wrong.
type faulty struct {
	client.Client
	mu        sync.Mutex
	writes    bool // count writes only
	wrote     int  // writes so far
	countdown int  // to the call that goes wrong; it has gone wrong at zero
	always    bool // every write goes wrong the first time, or every 13th call
	calls     int
	done      map[string]int  // calls that had their effect
	wrong     map[string]bool // calls that went wrong
	fault     fault
	overtake  func()
	dead      bool
	where     string
	created   map[string]int // Jobs, by name
	events    map[string]int // that were stored, by what they say
}

var errFault = errors.New("injected fault")

// call makes one call, or not.
func (f *faulty) call(what string, write bool, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errFault
	}
	if write {
		f.wrote++
	}
	once := do
	do = func() error {
		err := once()
		if err == nil {
			f.done[what]++
		}
		return err
	}
	if !f.goesWrong(what, write) {
		return do()
	}
	f.where = what
	f.dead = f.fault.deadly()
	switch f.fault {
	case conflictsOut:
		f.overtake()
		return do()
	case diesAfter, failsAfter:
		_ = do()
	}
	return errFault
}

// goesWrong says whether it is this call's turn.
func (f *faulty) goesWrong(what string, write bool) bool {
	if f.always && !f.writes {
		f.calls++
		return f.calls%13 == 0
	}
	if f.always {
		call := fmt.Sprintf("%s #%d", what, f.done[what])
		first := write && !f.wrong[call]
		f.wrong[call] = true
		return first
	}
	if f.countdown == 0 || f.writes && !write {
		return false
	}
	f.countdown--
	return f.countdown == 0
}

func (f *faulty) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return f.call(fmt.Sprintf("get %T", o), false, func() error { return f.Client.Get(ctx, key, o, opts...) })
}

func (f *faulty) List(ctx context.Context, o client.ObjectList, opts ...client.ListOption) error {
	return f.call(fmt.Sprintf("list %T", o), false, func() error { return f.Client.List(ctx, o, opts...) })
}

func (f *faulty) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return f.call(fmt.Sprintf("create %T %s", o, o.GetName()), true, func() error {
		err := f.Client.Create(ctx, o, opts...)
		if err != nil {
			return err
		}
		switch o := o.(type) {
		case *batchv1.Job:
			f.created[o.Name]++
		case *eventsv1.Event:
			f.events[told(o)]++
		}
		return nil
	})
}

func (f *faulty) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return f.call(fmt.Sprintf("delete %T %s", o, o.GetName()), true, func() error { return f.Client.Delete(ctx, o, opts...) })
}

func (f *faulty) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return f.call("apply", true, func() error { return f.Client.Apply(ctx, o, opts...) })
}

func (f *faulty) Status() client.SubResourceWriter { return faultyStatus{f.Client.Status(), f} }

type faultyStatus struct {
	client.SubResourceWriter
	f *faulty
}

func (s faultyStatus) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.f.call("write the status", true, func() error { return s.SubResourceWriter.Update(ctx, o, opts...) })
}

// drill is a story of one job with an operator that is driven by hand, so that nothing happens by itself.
type drill struct {
	*world
	name     string
	faulty   *faulty
	operator *Reconciler
	clock    *clocktesting.FakePassiveClock
}

func newDrill(w *world, name string, f *faulty) *drill {
	d := &drill{world: w, name: name, faulty: f, clock: clocktesting.NewFakePassiveClock(time.Now())}
	f.Client, f.created, f.events = w.client, map[string]int{}, map[string]int{}
	f.done, f.wrong = map[string]int{}, map[string]bool{}
	f.overtake = func() {
		var job v1alpha1.HRMTrainingJob
		if w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &job) == nil {
			metav1.SetMetaDataAnnotation(&job.ObjectMeta, "overtaken", "yes")
			_ = w.client.Update(w.ctx, &job)
		}
	}
	d.boot()
	return d
}

// boot starts an operator that remembers nothing.
func (d *drill) boot() {
	d.operator = &Reconciler{
		Client: d.faulty, Live: d.faulty, Clock: d.clock, Poller: NewPoller(time.Hour, 1, logr.Discard()),
		Config: Config{TrainerImage: "trainer:test", OperatorNamespace: "hrm-system"},
	}
}

// until lets the operator work until the goal is reached and nothing more happens.
func (d *drill) until(what string, goal func() error) {
	d.t.Helper()
	ctx := ctrl.LoggerInto(d.ctx, logr.Discard())
	request := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: d.namespace, Name: d.name}}
	var err error
	for range 100 {
		before := d.faulty.wrote
		result, failed := d.operator.Reconcile(ctx, request)
		if d.faulty.dead {
			d.faulty.dead = false
			d.boot()
			continue
		}
		if failed != nil || d.faulty.wrote != before {
			continue
		}
		if err = goal(); err == nil {
			return
		}
		d.clock.SetTime(d.clock.Now().Add(max(result.RequeueAfter, time.Second)))
	}
	d.t.Fatalf("%s (%s at %q): never happened: %s: %v", d.name, d.faulty.fault, d.faulty.where, what, err)
}

// jobs are the attempts that exist.
func (d *drill) jobs() []batchv1.Job {
	var jobs batchv1.JobList
	if err := d.client.List(d.ctx, &jobs, client.InNamespace(d.namespace), client.MatchingLabels{v1alpha1.JobLabel: d.name}); err != nil {
		d.t.Fatal(err)
	}
	return jobs.Items
}

func (d *drill) attempted(n int) {
	d.t.Helper()
	d.until(fmt.Sprintf("attempt %d", n), func() error {
		if got := d.job(d.name).Status; got.Attempts != int32(n) {
			return fmt.Errorf("status %+v", got)
		}
		return d.client.Get(d.ctx, client.ObjectKey{Namespace: d.namespace, Name: d.jobName(n)}, &batchv1.Job{})
	})
}

func (d *drill) jobName(n int) string { return fmt.Sprintf("%s-%d", d.name, n) }

func (d *drill) podOf(n int, suffix string) *builders.PodBuilder {
	return builders.Pod(d.jobName(n)+"-0-"+suffix, 0)
}

func (d *drill) condition(kind, reason string) {
	d.t.Helper()
	d.until(kind+"/"+reason, func() error {
		job := d.job(d.name)
		for _, c := range job.Status.Conditions {
			if c.Type == kind && c.Status == metav1.ConditionTrue && c.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", job.Status.Conditions)
	})
}

// stopping waits until an attempt is being deleted, lets the operator look at that, and lets the attempt go.
func (d *drill) stopping(n int) {
	d.t.Helper()
	d.until("stop", func() error {
		if d.world.attempt(d.jobName(n)).DeletionTimestamp == nil {
			return errors.New("not being deleted")
		}
		return nil
	})
	if c := endCondition(d.job(d.name).Status); c != nil {
		d.t.Errorf("%s: over (%s) while its pods may run", d.name, c.Reason)
	}
	d.collect(d.jobName(n))
}

// outcome is what must not depend on faults.
type result struct {
	Status v1alpha1.HRMTrainingJobStatus
	Jobs   []string
	Events map[string]int
}

func (d *drill) result() result {
	d.t.Helper()
	r := result{Events: d.faulty.events}
	var job v1alpha1.HRMTrainingJob
	if err := d.client.Get(d.ctx, client.ObjectKey{Namespace: d.namespace, Name: d.name}, &job); client.IgnoreNotFound(err) != nil {
		d.t.Fatal(err)
	}
	r.Status = job.Status
	for _, a := range d.jobs() {
		r.Jobs = append(r.Jobs, d.plain(a.Name))
	}
	return r
}

func (d *drill) plain(text string) string { return strings.ReplaceAll(text, d.name, "JOB") }

// The stories. Each begins with a job that was just created and says what the cluster and the user do.
var stories = []struct {
	name string
	job  func(string) *builders.TrainingJob
	tell func(*drill)
}{
	{"life", func(name string) *builders.TrainingJob { return builders.Job(name).MaxRestarts(1) }, func(d *drill) {
		d.attempted(1)
		d.pod(d.world.attempt(d.jobName(1)), d.podOf(1, "a").Exited(1, `{"step":0,"message":"the bucket is gone"}`, time.Now()))
		d.finish(d.jobName(1), batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
		d.attempted(2)
		d.pod(d.world.attempt(d.jobName(2)), d.podOf(2, "a").Exited(137, "", time.Now()).Disrupted())
		d.pod(d.world.attempt(d.jobName(2)), d.podOf(2, "b").Running("10.0.0.1", time.Now()))
		d.condition(v1alpha1.ConditionRunning, v1alpha1.ReasonPreparingDataset)
		d.change(d.name, func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(true) })
		d.stopping(2)
		d.removePods()
		d.condition(v1alpha1.ConditionSuspended, v1alpha1.ReasonSuspended)
		d.change(d.name, func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(false) })
		d.attempted(3)
		d.pod(d.world.attempt(d.jobName(3)), d.podOf(3, "a").Exited(0, `{"step":12,"totalSteps":12,"phase":"Done"}`, time.Now()))
		d.finish(d.jobName(3), batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
		d.condition(v1alpha1.ConditionComplete, v1alpha1.ReasonTrained)
	}},
	{"late", func(name string) *builders.TrainingJob { return builders.Job(name).Deadline(3600).TTL(60) }, func(d *drill) {
		d.attempted(1)
		d.clock.SetTime(d.clock.Now().Add(time.Hour))
		d.stopping(1)
		d.condition(v1alpha1.ConditionFailed, v1alpha1.ReasonDeadlineExceeded)
		d.clock.SetTime(d.clock.Now().Add(time.Minute))
		d.until("deletion", func() error {
			err := d.client.Get(d.ctx, client.ObjectKey{Namespace: d.namespace, Name: d.name}, &v1alpha1.HRMTrainingJob{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.New("still there")
		})
	}},
	{"hung", func(name string) *builders.TrainingJob {
		return builders.Job(name).MaxRestarts(1).ProgressDeadline(600)
	}, func(d *drill) {
		for n := 1; n <= 2; n++ {
			d.attempted(n)
			d.pod(d.world.attempt(d.jobName(n)), d.podOf(n, "a").Running("10.0.0.1", time.Now()))
			d.stopping(n)
			d.removePods()
		}
		d.condition(v1alpha1.ConditionFailed, v1alpha1.ReasonStalled)
	}},
	{"orphaned", builders.Job, func(d *drill) {
		d.attempted(1)
		attempt := d.world.attempt(d.jobName(1))
		d.pod(attempt, d.podOf(1, "a").Running("10.0.0.1", time.Now()))
		d.condition(v1alpha1.ConditionRunning, v1alpha1.ReasonPreparingDataset)
		d.orphan(attempt)
		d.attempted(2)
		d.pod(d.world.attempt(d.jobName(2)), d.podOf(2, "a").Exited(65, `{"step":0,"message":"line 7"}`, time.Now()))
		d.finish(d.jobName(2), batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy)
		d.condition(v1alpha1.ConditionFailed, v1alpha1.ReasonDatasetError)
	}},
}

// removePods plays the garbage collector, for pods whose Job is gone.
func (d *drill) removePods() {
	d.t.Helper()
	scope := []client.DeleteAllOfOption{client.InNamespace(d.namespace), client.MatchingLabels{v1alpha1.JobLabel: d.name}, client.GracePeriodSeconds(0)}
	if err := d.client.DeleteAllOf(d.ctx, &corev1.Pod{}, scope...); err != nil {
		d.t.Fatal(err)
	}
}

// orphan plays a user who deletes a Job and leaves its pods, and the garbage collector that sets them free.
func (w *world) orphan(attempt *batchv1.Job) {
	w.t.Helper()
	w.remove(attempt)
	var pods corev1.PodList
	if err := w.client.List(w.ctx, &pods, client.InNamespace(w.namespace), client.MatchingLabels(attempt.Spec.Template.Labels)); err != nil {
		w.t.Fatal(err)
	}
	for i := range pods.Items {
		pods.Items[i].OwnerReferences = nil
		if err := w.client.Update(w.ctx, &pods.Items[i]); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestFaults tells every story with every write going wrong in every way, with every 13th call failing, and with the process
// ending after one write, each in turn, and wants the same end as without: no attempt twice, none left out, and every
// transition told.
func TestFaults(t *testing.T) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			play := func(name string, f *faulty) (result, map[string]int) {
				w := &world{t: t, ctx: t.Context(), client: directClient(t), namespace: storyNamespace(t)}
				d := newDrill(w, name, f)
				w.submit(story.job(name))
				story.tell(d)
				created := map[string]int{}
				for job, n := range f.created {
					created[d.plain(job)] = n
				}
				return d.result(), created
			}
			start := time.Now()
			want, wantCreated := play(story.name+"-x", &faulty{})
			undisturbed := time.Since(start).Round(time.Millisecond)
			check := func(f *faulty) bool {
				name := fmt.Sprintf("%s-%d-%t-%d-%t", story.name, f.fault, f.writes, f.countdown, f.always)
				when := fmt.Sprintf("the operator %s write %d", f.fault, f.countdown)
				got, created := play(name, f)
				if f.countdown > 0 {
					return false
				}
				compare(t, when+" ("+f.where+")", f.fault, want, got, wantCreated, created)
				return true
			}
			for f := range faults {
				check(&faulty{writes: true, always: true, fault: f})
			}
			check(&faulty{always: true, fault: failsBefore})
			points := 0
			for check(&faulty{writes: true, countdown: points + 1, fault: diesAfter}) {
				points++
			}
			t.Logf("%d writes; undisturbed %s, all %s", points, undisturbed, time.Since(start).Round(time.Millisecond))
		})
	}
}

func compare(t *testing.T, when string, kind fault, want, got result, wantCreated, created map[string]int) {
	t.Helper()
	sameStatus := cmp.Options{
		cmpopts.IgnoreTypes(metav1.Time{}, &metav1.Time{}),
		cmpopts.IgnoreFields(v1alpha1.HRMTrainingJobStatus{}, "DisruptedPods", "ObservedGeneration", "Conditions", "Message"),
	}
	if diff := cmp.Diff(want.Status, got.Status, sameStatus); diff != "" {
		t.Errorf("%s: another end (-want +got):\n%s", when, diff)
	}
	if diff := cmp.Diff(conditionsOf(want.Status), conditionsOf(got.Status)); diff != "" {
		t.Errorf("%s: other conditions (-want +got):\n%s", when, diff)
	}
	if diff := cmp.Diff(want.Jobs, got.Jobs); diff != "" {
		t.Errorf("%s: other Jobs (-want +got):\n%s", when, diff)
	}
	if diff := cmp.Diff(wantCreated, created); diff != "" {
		t.Errorf("%s: Jobs were created otherwise (-want +got):\n%s", when, diff)
	}
	for event, n := range want.Events {
		if event == v1alpha1.ReasonStopping {
			continue // if the pods are gone before it is written, there was no such transition
		}
		if got.Events[event] < n {
			t.Errorf("%s: %q was told %d times, want %d; %v", when, event, got.Events[event], n, got.Events)
		}
		if kind.deadly() && got.Events[event] > n {
			t.Errorf("%s: %q was told %d times, want %d", when, event, got.Events[event], n)
		}
	}
}

func conditionsOf(status v1alpha1.HRMTrainingJobStatus) map[string]string {
	all := map[string]string{}
	for _, c := range status.Conditions {
		all[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return all
}

var storyNamespaces sync.Map

// storyNamespace is one namespace per test.
func storyNamespace(t *testing.T) string {
	t.Helper()
	if name, ok := storyNamespaces.Load(t.Name()); ok {
		return name.(string)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "story-"}}
	if err := directClient(t).Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	storyNamespaces.Store(t.Name(), ns.Name)
	return ns.Name
}

// directClient is one client without a cache for all tests.
func directClient(t *testing.T) client.Client {
	t.Helper()
	c, err := sharedClient()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var sharedClient = sync.OnceValues(func() (client.Client, error) {
	return client.New(controlPlane, client.Options{Scheme: scheme})
})
