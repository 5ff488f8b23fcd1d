package controllers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/apiserver"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// controlPlane is a real etcd and kube-apiserver, shared by all tests of this package. No controller-manager and no
// kubelet run: tests play them, and say what they saw.
var controlPlane *rest.Config

var scheme = runtime.NewScheme()

func TestMain(m *testing.M) {
	os.Exit(func() int {
		_ = clientgoscheme.AddToScheme(scheme)
		_ = v1alpha1.AddToScheme(scheme)
		ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
		assets, err := apiserver.Assets()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		env := &envtest.Environment{
			BinaryAssetsDirectory: assets,
			CRDDirectoryPaths:     []string{apiserver.CRDs()},
			ErrorIfCRDPathMissing: true,
			Scheme:                scheme,
		}
		env.ControlPlane.GetAPIServer().Configure().
			Append("feature-gates", "GenericWorkload=true,GangScheduling=true").
			Append("runtime-config", "scheduling.k8s.io/v1alpha1=true")
		if controlPlane, err = env.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "start etcd and kube-apiserver:", err)
			return 1
		}
		defer func() { _ = env.Stop() }()
		return m.Run()
	}())
}

// world is a namespace with an operator of its own.
type world struct {
	t         *testing.T
	ctx       context.Context
	client    client.Client
	namespace string
	port      int // where its pods answer
	clock     *shiftedClock
	stop      func()
}

func newWorld(t *testing.T, port int) *world {
	t.Helper()
	w := newWorldWithout(t)
	w.port = port
	w.startOperator()
	t.Cleanup(func() { w.stop() })
	return w
}

// newWorldWithout is a world that no operator runs in yet.
func newWorldWithout(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), client: directClient(t), port: 1, clock: &shiftedClock{}}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "world-"}}
	w.create(ns)
	w.namespace = ns.Name
	return w
}

// shiftedClock goes with the real one, ahead of it.
type shiftedClock struct{ ahead atomic.Int64 }

func (c *shiftedClock) Now() time.Time                  { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *shiftedClock) shift(d time.Duration)           { c.ahead.Add(int64(d)) }

// operator is how an operator runs.
type operator struct {
	lead  bool   // only as the leader
	user  string // as whom, the administrator if empty
	gangs Gangs
}

// process is an operator that runs.
type process struct {
	elected <-chan struct{}
	stop    func()
}

// startOperator runs an operator until stop is called.
func (w *world) startOperator() {
	w.t.Helper()
	w.stop = w.launch(operator{}).stop
}

// launch runs an operator until it is stopped, at the latest when the test ends.
func (w *world) launch(o operator) process {
	w.t.Helper()
	cluster := rest.CopyConfig(controlPlane)
	cluster.Impersonate.UserName = o.user
	manager, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         CacheOptions(w.namespace),
		Metrics:                       server.Options{BindAddress: "0"},
		Controller:                    config.Controller{SkipNameValidation: ptr.To(true)},
		GracefulShutdownTimeout:       ptr.To(5 * time.Second),
		LeaderElection:                o.lead,
		LeaderElectionID:              "hrm-operator.hrm.dev",
		LeaderElectionNamespace:       w.namespace,
		LeaderElectionReleaseOnCancel: true,
		RetryPeriod:                   ptr.To(200 * time.Millisecond),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	poller := NewPoller(50*time.Millisecond, w.port, manager.GetLogger())
	if err := manager.Add(poller); err != nil {
		w.t.Fatal(err)
	}
	reconciler := &Reconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Clock: w.clock, Poller: poller,
		Config: Config{TrainerImage: "trainer:test", OperatorNamespace: "hrm-system", NetworkPolicies: true, Gangs: o.gangs},
	}
	if err := reconciler.SetupWithManager(manager); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- manager.Start(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error("the operator ended with", err)
		}
	})
	w.t.Cleanup(stop)
	return process{elected: manager.Elected(), stop: stop}
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.ctx, object); err != nil {
		w.t.Fatalf("create %T: %v", object, err)
	}
}

// submit creates a job as a user does.
func (w *world) submit(b *builders.TrainingJob) *v1alpha1.HRMTrainingJob {
	w.t.Helper()
	job := b.In(w.namespace).New()
	w.create(job)
	return job
}

// eventually waits until check returns no error.
func (w *world) eventually(check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	err := check()
	for ; err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		w.t.Fatalf("after %s: %v", patience, err)
	}
}

// get reads an object of the world's namespace once it is there.
func (w *world) get(name string, object client.Object) {
	w.t.Helper()
	w.eventually(func() error {
		return w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, object)
	})
}

// job reads the HRMTrainingJob.
func (w *world) job(name string) *v1alpha1.HRMTrainingJob {
	w.t.Helper()
	var job v1alpha1.HRMTrainingJob
	w.get(name, &job)
	return &job
}

// attempt waits for a Job.
func (w *world) attempt(name string) *batchv1.Job {
	w.t.Helper()
	var job batchv1.Job
	w.get(name, &job)
	return &job
}

// awaitCondition waits until a condition has a status and a reason.
func (w *world) awaitCondition(name, kind string, status metav1.ConditionStatus, reason string) *v1alpha1.HRMTrainingJob {
	w.t.Helper()
	var job *v1alpha1.HRMTrainingJob
	w.eventually(func() error {
		job = w.job(name)
		for _, c := range job.Status.Conditions {
			if c.Type == kind && c.Status == status && c.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("job %s has no condition %s=%s/%s: %+v", name, kind, status, reason, job.Status.Conditions)
	})
	return job
}

// change updates a job's spec.
func (w *world) change(name string, edit func(*v1alpha1.HRMTrainingJobSpec)) {
	w.t.Helper()
	w.eventually(func() error {
		job := w.job(name)
		edit(&job.Spec)
		return w.client.Update(w.ctx, job)
	})
}

// pod plays the Job controller and the kubelet: it makes a pod of the attempt with the given status.
func (w *world) pod(attempt *batchv1.Job, b *builders.PodBuilder) {
	w.t.Helper()
	pod := b.OwnedBy(attempt).New()
	status := pod.Status
	w.create(pod)
	pod.Status = status
	if err := w.client.Status().Update(w.ctx, pod); err != nil {
		w.t.Fatal(err)
	}
}

// finish plays the Job controller: it ends an attempt.
func (w *world) finish(name string, kind batchv1.JobConditionType, reason string) {
	w.t.Helper()
	before := map[batchv1.JobConditionType]batchv1.JobConditionType{
		batchv1.JobComplete: batchv1.JobSuccessCriteriaMet, batchv1.JobFailed: batchv1.JobFailureTarget,
	}[kind]
	w.eventually(func() error {
		job := w.attempt(name)
		now := metav1.Now()
		job.Status = batchv1.JobStatus{StartTime: &now}
		for _, c := range []batchv1.JobConditionType{before, kind} {
			job.Status.Conditions = append(job.Status.Conditions,
				batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: now})
		}
		if kind == batchv1.JobComplete {
			job.Status.CompletionTime = &now
			job.Status.Succeeded, job.Status.CompletedIndexes = 1, "0"
		} else {
			job.Status.Failed = 1
		}
		return w.client.Status().Update(w.ctx, job)
	})
}

// collect plays the garbage collector: it waits until an attempt is being deleted in the foreground, and lets it go.
func (w *world) collect(name string) {
	w.t.Helper()
	w.eventually(func() error {
		job := w.attempt(name)
		if job.DeletionTimestamp == nil {
			return fmt.Errorf("Job %s is not being deleted", name)
		}
		if len(job.Finalizers) != 1 || job.Finalizers[0] != metav1.FinalizerDeleteDependents {
			return fmt.Errorf("Job %s is not deleted in the foreground: finalizers %v", name, job.Finalizers)
		}
		job.Finalizers = nil
		return w.client.Update(w.ctx, job)
	})
}

// attempts lists the names of the Jobs.
func (w *world) attempts() []string {
	w.t.Helper()
	var jobs batchv1.JobList
	if err := w.client.List(w.ctx, &jobs, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, job := range jobs.Items {
		names = append(names, job.Name)
	}
	return names
}
