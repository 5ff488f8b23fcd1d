package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/apiserver"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// controlPlane is started by the first test that needs it, and shared.
var controlPlane struct {
	once sync.Once
	env  *envtest.Environment
	err  error
}

// fixture is a namespace of a real apiserver, behind a wire that can be cut.
type fixture struct {
	t          *testing.T
	cluster    *cluster
	kubeconfig string
	wire       *wire
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	controlPlane.once.Do(func() { controlPlane.env, controlPlane.err = apiserver.Start(apiserver.CRDs()) })
	if controlPlane.err != nil {
		t.Fatal(controlPlane.err)
	}
	f := &fixture{t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := apiserver.Kubeconfig(controlPlane.env, f.kubeconfig); err != nil {
		t.Fatal(err)
	}
	f.wire = f.cutIn()
	var err error
	if f.cluster, err = (&kubeFlags{kubeconfig: f.kubeconfig}).connect(); err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}
	if err := f.cluster.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	f.cluster.namespace = namespace.Name
	return f
}

// cutIn puts a wire between the kubeconfig and the apiserver.
func (f *fixture) cutIn() *wire {
	f.t.Helper()
	host := controlPlane.env.Config.Host
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		host = u.Host
	}
	text, err := os.ReadFile(f.kubeconfig)
	if err != nil {
		f.t.Fatal(err)
	}
	w := newWire(f.t, host)
	if !bytes.Contains(text, []byte(host)) {
		f.t.Fatalf("the kubeconfig does not name %s", host)
	}
	text = bytes.ReplaceAll(text, []byte(host), []byte(w.listener.Addr().String()))
	if err := os.WriteFile(f.kubeconfig, text, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return w
}

// command is a command line that runs.
type command struct {
	out, err *buffer
	status   chan int
	cancel   context.CancelFunc
}

// start runs hrm with the fixture's cluster and namespace.
func (f *fixture) start(input string, args ...string) *command {
	ctx, cancel := context.WithCancel(f.t.Context())
	c := &command{out: &buffer{}, err: &buffer{}, status: make(chan int, 1), cancel: cancel}
	args = append([]string{"kubectl-hrm"}, append(args, "--kubeconfig", f.kubeconfig, "-n", f.cluster.namespace)...)
	go func() { c.status <- run(ctx, args, "test", strings.NewReader(input), c.out, c.err) }()
	f.t.Cleanup(cancel)
	return c
}

// ends waits for the command's exit status.
func (f *fixture) ends(c *command) int {
	f.t.Helper()
	select {
	case status := <-c.status:
		return status
	case <-time.After(patience):
		f.t.Fatalf("the command still runs after %s\n%s%s", patience, c.out, c.err)
		return 0
	}
}

// says waits until the command has printed a text.
func (f *fixture) says(b *buffer, text string) {
	f.t.Helper()
	f.eventually(func() error {
		if !strings.Contains(b.String(), text) {
			return fmt.Errorf("%q is not in\n%s", text, b)
		}
		return nil
	})
}

func (f *fixture) eventually(check func() error) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	err := check()
	for ; err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		f.t.Fatalf("after %s: %v", patience, err)
	}
}

func (f *fixture) create(b *builders.TrainingJob) {
	f.t.Helper()
	if err := f.cluster.Create(f.t.Context(), b.In(f.cluster.namespace).New()); err != nil {
		f.t.Fatal(err)
	}
}

// status plays the operator.
func (f *fixture) status(name string, edit func(*v1alpha1.HRMTrainingJobStatus)) {
	f.t.Helper()
	f.eventually(func() error {
		job, err := f.cluster.job(f.t.Context(), name)
		if err != nil {
			return err
		}
		edit(&job.Status)
		return f.cluster.Status().Update(f.t.Context(), job)
	})
}

// exists says whether the job is there.
func (f *fixture) exists(name string) bool {
	f.t.Helper()
	_, err := f.cluster.job(f.t.Context(), name)
	if client.IgnoreNotFound(err) != nil {
		f.t.Fatal(err)
	}
	return err == nil
}

func condition(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// buffer may be written and read at the same time.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wire forwards connections, until it is cut.
type wire struct {
	listener net.Listener
	target   string

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, target: target, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = listener.Close(); w.setCut(true) })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go w.forward(connection)
		}
	}()
	return w
}

func (w *wire) forward(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	w.mu.Lock()
	if w.cut {
		w.mu.Unlock()
		return
	}
	w.open[near], w.open[far] = true, true
	w.mu.Unlock()
	go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
	_, _ = io.Copy(near, far)
}

// setCut cuts every connection and lets none through, or lets them through again.
func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for c := range w.open {
		_ = c.Close()
		delete(w.open, c)
	}
}
