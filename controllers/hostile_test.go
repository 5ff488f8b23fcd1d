package controllers

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// rawServer answers every connection with what speak writes, at an address of its own on the poller's port.
func rawServer(t *testing.T, address string, speak func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				speak(c)
			}()
		}
	}()
}

// endless writes the same again and again until the other side has had enough.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
		}
	}
}

const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// hostility is what pods answer instead of a report.
var hostility = map[string]func(net.Conn){
	"nothing at all":  func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
	"an early end":    func(net.Conn) {},
	"half an answer":  func(c net.Conn) { fmt.Fprint(c, head+"Content-Length: 100\r\n\r\n{\"step\":5") },
	"no HTTP":         endless("\x00\xff\x00\xff"),
	"endless headers": func(c net.Conn) { fmt.Fprint(c, head); endless("X-More: " + strings.Repeat("x", 1000) + "\r\n")(c) },
	"an endless body": func(c net.Conn) {
		fmt.Fprint(c, head+"\r\n{\"step\":5,\"message\":\"")
		endless(strings.Repeat("x", 1000))(c)
	},
	"a slow drip":         func(c net.Conn) { fmt.Fprint(c, head+"\r\n"); drip(c) },
	"a slow header":       func(c net.Conn) { fmt.Fprint(c, head+"X-Slow: "); drip(c) },
	"not a number":        body(`{"step":5,"loss":NaN}`),
	"wrong types":         body(`{"step":"five"}`),
	"half a step":         body(`{"step":5.5}`),
	"a step beyond int64": body(`{"step":99999999999999999999}`),
	"null":                body(`null`),
	"a list":              body(`[{"step":5}]`),
	"deep nesting":        body(strings.Repeat("[", 30000)),
	"another job":         body(`{"step":5,"job":"default/other","attempt":1}`),
	"another attempt":     body(`{"step":5,"job":"default/sudoku","attempt":2}`),
	"a gzip bomb": func(c net.Conn) {
		fmt.Fprint(c, head+"Content-Encoding: gzip\r\n\r\n")
		z := gzip.NewWriter(c)
		_, _ = z.Write([]byte(`{"step":5,"message":"`))
		zeros := make([]byte, 1<<20)
		for range 1024 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
	},
}

func body(text string) func(net.Conn) {
	return func(c net.Conn) { fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n%s", head, len(text), text) }
}

func drip(c net.Conn) {
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestPoller_survivesHostility(t *testing.T) {
	for name, speak := range hostility {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"step":7,"job":"default/honest","attempt":1}`)
			}))
			defer honest.Close()
			port := honest.Listener.Addr().(*net.TCPAddr).Port
			// Every address of 127.0.0.0/8 is this machine: two pods, one port.
			rawServer(t, fmt.Sprintf("127.0.0.2:%d", port), speak)
			poller := NewPoller(time.Hour, port, quiet)
			other := types.NamespacedName{Namespace: "default", Name: "honest"}
			poller.Watch(someJob, pollTarget{job: "uid", attempt: 1, podIP: "127.0.0.2"})
			poller.Watch(other, pollTarget{job: "uid2", attempt: 1, podIP: "127.0.0.1"})
			pollNow(t, poller)
			if s, ok := poller.Latest(someJob, "uid"); ok {
				t.Errorf("took %+v", s)
			}
			if s, ok := poller.Latest(other, "uid2"); !ok || s.Report.Step != 7 {
				t.Errorf("another job's report suffered: %+v (%t)", s, ok)
			}
		})
	}
}

func TestPoller_isNotHeldUpByThoseThatHang(t *testing.T) {
	asked := make(chan struct{}, 1000)
	honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"step":7}`)
		asked <- struct{}{}
	}))
	defer honest.Close()
	port := honest.Listener.Addr().(*net.TCPAddr).Port
	rawServer(t, fmt.Sprintf("127.0.0.2:%d", port), hostility["nothing at all"])
	poller := NewPoller(100*time.Millisecond, port, quiet)
	job := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "default", Name: fmt.Sprint(i)}
	}
	poller.Watch(job(0), pollTarget{job: "uid", attempt: 1, podIP: "127.0.0.1"})
	go func() { _ = poller.Start(t.Context()) }()
	<-asked
	const hanging = 200
	for i := 1; i <= hanging; i++ {
		poller.Watch(job(i), pollTarget{job: "uid", attempt: 1, podIP: "127.0.0.2"})
	}
	// As many asks as would take those that hang hours: they hold slots of their own only.
	for range 20 {
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("a job that answers is not asked any more")
		}
	}
}

func TestPoller_asksLessOftenWhoDoesNotAnswer(t *testing.T) {
	p := NewPoller(10*time.Second, 1, quiet)
	for failures, want := range map[int]time.Duration{0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 4: time.Minute, 1000: time.Minute} {
		if got := p.pause(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestStatus_keepsAHostileReportWithinTheAPI(t *testing.T) {
	report := `{"step":-9223372036854775808,"totalSteps":9223372036854775807,"epoch":-1e308,"loss":1e308,"accuracy":-5,` +
		`"samplesPerSecond":-1,"estimatedCompletion":"9999-12-31T23:59:59Z","phase":"` + strings.Repeat("x", 5000) + `","datasetURI":"\u0000"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, report) }))
	defer server.Close()
	w := newWorld(t, server.Listener.Addr().(*net.TCPAddr).Port)
	w.submit(builders.Job("hostile"))
	w.pod(w.attempt("hostile-1"), builders.Pod("hostile-1-0", 0).Running("127.0.0.1", time.Now()))
	job := w.awaitCondition("hostile", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonTraining)
	if p := job.Status.Progress; p == nil || p.Step != 0 || p.Activity != "" || len(p.StepOfTotal) > 64 {
		t.Errorf("progress %+v", p)
	}
}
