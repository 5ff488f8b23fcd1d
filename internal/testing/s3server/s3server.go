// Package s3server runs a real S3 server for tests: versitygw over a temporary directory.
package s3server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The credentials and the region of every server.
const (
	AccessKeyID     = "hrm-test"
	SecretAccessKey = "hrm-test-secret"
	Region          = "us-east-1"
)

// Server is a running S3 server.
type Server struct {
	// Endpoint is its URL.
	Endpoint string
	// Dir holds a folder for every bucket, with a file for every object.
	Dir string
}

// Start runs a server until the test ends. It skips a short test, as building the server takes minutes the first time.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, err := findBinary()
	if err != nil {
		if testing.Short() {
			t.Skipf("no S3 server: %v", err)
		}
		t.Fatalf("no S3 server: %v", err)
	}
	s := &Server{Dir: t.TempDir()}
	for attempt := range 3 {
		if err = s.start(t, binary); err == nil {
			return s
		}
		t.Logf("attempt %d: %v", attempt+1, err)
	}
	t.Fatalf("start %s: %v", binary, err)
	return nil
}

// Bucket creates a bucket: this server keeps one as a folder.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(s.Dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// start runs the server on a free port and waits until it answers.
func (s *Server) start(t testing.TB, binary string) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	command := exec.Command(binary, "--port", address, "--access", AccessKeyID, "--secret", SecretAccessKey,
		"--region", Region, "--health", "/health", "posix", "--sidecar", t.TempDir(), s.Dir)
	command.Stdout, command.Stderr = &log, &log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	s.Endpoint = "http://" + address
	if err := s.wait(exited); err != nil {
		_ = command.Process.Kill()
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		t.Logf("the S3 server ended: %v", <-exited)
	})
	return nil
}

func (s *Server) wait(exited chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.Get(s.Endpoint + "/health")
		if err == nil {
			r.Body.Close()
			return nil
		}
		select {
		case exit := <-exited:
			return fmt.Errorf("the server ended: %w", exit)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// findBinary looks at VERSITYGW, then in PATH, then asks the cluster's tool cache, which builds the server if needed.
var findBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("VERSITYGW"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..", "..")
	var problem bytes.Buffer
	command := exec.Command("go", "run", "./hack/cluster", "tools", "versitygw")
	command.Dir, command.Stderr = root, &problem
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build versitygw: %w: %s; set VERSITYGW to a binary", err, problem.String())
	}
	lines := strings.Fields(string(out))
	if len(lines) == 0 {
		return "", fmt.Errorf("build versitygw: the tool cache did not say where it is; set VERSITYGW to a binary")
	}
	return filepath.Join(lines[len(lines)-1], "versitygw"), nil
})
