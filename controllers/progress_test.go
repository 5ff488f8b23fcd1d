package controllers

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

var someJob = types.NamespacedName{Namespace: "default", Name: "sudoku"}

// polling asks a server once.
func polling(t *testing.T, answer http.HandlerFunc) *Poller {
	t.Helper()
	rankZero := httptest.NewServer(answer)
	t.Cleanup(rankZero.Close)
	poller := NewPoller(time.Hour, rankZero.Listener.Addr().(*net.TCPAddr).Port, logr.Discard())
	poller.Watch(someJob, pollTarget{job: "uid", attempt: 1, podIP: "127.0.0.1"})
	return poller
}

// pollNow asks every target once and waits for the answers.
func pollNow(t *testing.T, p *Poller) {
	t.Helper()
	p.mu.Lock()
	for _, s := range p.targets {
		s.due = time.Time{}
	}
	p.mu.Unlock()
	now := time.Now()
	for deadline := now.Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		p.dispatch(t.Context(), now)
		p.mu.Lock()
		idle := p.lanes == [2]int{} && !p.waiting
		p.mu.Unlock()
		if idle {
			return
		}
	}
	t.Fatalf("targets were not asked within %s", patience)
}

func TestPoller_announcesNewsOnly(t *testing.T) {
	step := 1
	poller := polling(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"step":%d}`, step) })
	for _, c := range []struct {
		step int
		news int
	}{{1, 1}, {1, 0}, {2, 1}} {
		step = c.step
		pollNow(t, poller)
		if got := len(poller.Changes()); got != c.news {
			t.Errorf("step %d: %d announcements, want %d", c.step, got, c.news)
		}
		for len(poller.Changes()) > 0 {
			<-poller.Changes()
		}
	}
	if s, ok := poller.Latest(someJob, "uid"); !ok || s.Report.Step != 2 || s.Attempt != 1 {
		t.Errorf("latest %+v (%t)", s, ok)
	}
	if _, ok := poller.Latest(someJob, "another job of that name"); ok {
		t.Error("a new job got its namesake's report")
	}
	poller.Watch(someJob, pollTarget{job: "uid", attempt: 2, podIP: "127.0.0.1"})
	if _, ok := poller.Latest(someJob, "uid"); ok {
		t.Error("a new attempt got the old one's report")
	}
	poller.Forget(someJob)
	pollNow(t, poller)
	if len(poller.Changes()) != 0 {
		t.Error("a forgotten job was asked")
	}
}

func TestPoller_refusesWhatIsNoReport(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a pod made the operator connect elsewhere")
	}))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"step":1}`, http.StatusInternalServerError)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
		"a flood": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"step":1,"message":"`+strings.Repeat("x", maxReportBytes)+`"}`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			poller := polling(t, answer)
			pollNow(t, poller)
			if s, ok := poller.Latest(someJob, "uid"); ok {
				t.Errorf("took %+v", s)
			}
		})
	}
}
