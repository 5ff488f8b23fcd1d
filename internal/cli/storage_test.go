package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

const bucketJob = `
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3}}
  dataset: {task: Sudoku, source: {uri: %s}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: 30, warmupSteps: 2, learningRate: "1e-3"}
  checkpoint: {everySteps: 5, keepLast: 3}
  evaluation: {maxExamples: 3}
  storage: {endpoint: "%s", bucket: hrm, pathStyle: true, region: us-east-1, credentialsSecretRef: {name: hrm-s3}}
`

// gate is the way to a server, which can be shut and opened again.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	shut     bool
	open     map[net.Conn]bool
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); g.set(true) })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(conn, strings.TrimPrefix(to, "http://"))
		}
	}()
	return g
}

func (g *gate) endpoint() string { return "http://" + g.listener.Addr().String() }

// set shuts or opens the gate; what has passed already is cut.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for conn := range g.open {
			_ = conn.Close()
		}
	}
}

func (g *gate) pass(conn net.Conn, to string) {
	defer conn.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	g.mu.Lock()
	shut := g.shut
	g.open[conn] = true
	g.mu.Unlock()
	defer func() { g.mu.Lock(); delete(g.open, conn); g.mu.Unlock() }()
	if shut {
		return
	}
	go func() { _, _ = io.Copy(server, conn); _ = server.Close() }()
	_, _ = io.Copy(conn, server)
}

// log is what a command says, for a test to listen to.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
	on   map[string]func()
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, do := range l.on {
		if strings.Contains(string(p), text) {
			delete(l.on, text)
			do()
		}
	}
	return l.text.Write(p)
}

// trainInto trains the bucket job and returns the exit code and what was said. on says what to do when a line contains a
// text.
func trainInto(ctx context.Context, t *testing.T, endpoint string, on map[string]func(), set ...string) (int, string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKeyID)
	if os.Getenv("AWS_SECRET_ACCESS_KEY") == "" {
		t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretAccessKey)
	}
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(job, fmt.Appendf(nil, bucketJob, source, endpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"hrm", "train", "-f", job, "--scratch", t.TempDir(), "--device", "reference"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	said := &log{on: on}
	code := run(ctx, args, "test", strings.NewReader(""), said, said)
	return code, said.text.String()
}

func TestTrain_waitsForAStoreThatIsAway(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	g := newGate(t, server.Endpoint)
	g.set(true)
	code, said := trainInto(t.Context(), t, g.endpoint(), map[string]func(){"waiting for the store": func() { g.set(false) }})
	if code != exitDone {
		t.Errorf("ends with %d:\n%s", code, said)
	}
}

func TestTrain_waitsForAStoreOnlyUntilItIsAskedToStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	g := newGate(t, "http://127.0.0.1:1")
	code, said := trainInto(ctx, t, g.endpoint(), map[string]func(){"waiting for the store": stop})
	if code != exitInterrupted {
		t.Errorf("ends with %d, want %d:\n%s", code, exitInterrupted, said)
	}
}

// What only a human can mend ends at once, with the names of what to look at.
func TestTrain_endsWhereTheStoreSaysNo(t *testing.T) {
	server := s3server.Start(t)
	t.Run("no bucket", func(t *testing.T) {
		code, said := trainInto(t.Context(), t, server.Endpoint, nil)
		wantConfiguration(t, code, said, "bucket hrm does not exist at "+server.Endpoint)
	})
	t.Run("wrong credentials", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		code, said := trainInto(t.Context(), t, server.Endpoint, nil)
		wantConfiguration(t, code, said, "AWS_SECRET_ACCESS_KEY")
	})
}

func wantConfiguration(t *testing.T, code int, said, text string) {
	t.Helper()
	if code != exitConfiguration || !strings.Contains(said, text) {
		t.Errorf("ends with %d, want %d and %q:\n%s", code, exitConfiguration, text, said)
	}
}

// A store that goes away in the middle of training costs nothing: when it is back, all is saved.
func TestTrain_goesOnWhileTheStoreIsAway(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	g := newGate(t, server.Endpoint)
	code, said := trainInto(t.Context(), t, g.endpoint(), map[string]func(){
		"phase=Training":                       func() { g.set(true) },
		"could not be saved, training goes on": func() { g.set(false) },
	}, "training.steps=200")
	if code != exitDone {
		t.Fatalf("ends with %d:\n%s", code, said)
	}
	if !strings.Contains(said, "could not be saved") {
		t.Errorf("the store was not missed:\n%s", said)
	}
	store, err := objectstore.OpenS3(t.Context(), objectstore.S3Config{Endpoint: server.Endpoint, Bucket: "hrm", Prefix: "tiny", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	state, _, err := checkpoint.NewArchive(store, checkpoint.Options{}).Latest(t.Context(), func(string) {})
	if err != nil || state == nil || state.Step != 200 {
		t.Errorf("the last checkpoint is %v, %v", state, err)
	}
}

// Asked to stop while the store is away, it tries for most of its grace period and then gives up: what it could not save
// is trained again.
func TestTrain_stopsInTimeWhileTheStoreIsAway(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	g := newGate(t, server.Endpoint)
	ctx, stop := context.WithCancel(t.Context())
	code, said := trainInto(ctx, t, g.endpoint(), map[string]func(){
		"phase=Training":                       func() { g.set(true) },
		"could not be saved, training goes on": stop,
	}, "training.steps=1000000", "terminationGracePeriodSeconds=5")
	if code != exitInterrupted || !strings.Contains(said, "the last checkpoint was not saved in time") {
		t.Errorf("ends with %d, want %d:\n%s", code, exitInterrupted, said)
	}
}
