package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// logPod is a pod of an attempt and a rank that was made so many minutes after noon, and whose container runs.
func logPod(name string, attempt int32, rank, minute int) corev1.Pod {
	pod := *builders.Pod(name, rank).Running("10.0.0.1", noon).Obj()
	pod.UID = types.UID(name)
	pod.Labels = map[string]string{v1alpha1.AttemptLabel: strconv.Itoa(int(attempt))}
	pod.CreationTimestamp = metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.TrainerContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	return pod
}

func pending(pod corev1.Pod) corev1.Pod {
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	return pod
}

func TestPodChoice(t *testing.T) {
	all := []corev1.Pod{
		logPod("a1-r0", 1, 0, 0), logPod("a1-r1", 1, 1, 0), logPod("a1-r2", 1, 2, 0),
		logPod("a2-r1", 2, 1, 5), logPod("a2-r0", 2, 0, 5), logPod("a2-r0-again", 2, 0, 9), pending(logPod("a2-r1-waits", 2, 1, 9)),
	}
	for name, test := range map[string]struct {
		choice podChoice
		want   []string
	}{
		"rank 0 is the newest pod of the newest attempt":     {podChoice{}, []string{"a2-r0-again"}},
		"a pod that has not started has no log":              {podChoice{rank: 1}, []string{"a2-r1"}},
		"all ranks are those that the newest attempt has":    {podChoice{rank: allRanks}, []string{"a2-r0-again", "a2-r1"}},
		"an attempt by its number":                           {podChoice{rank: allRanks, attempt: 1}, []string{"a1-r0", "a1-r1", "a1-r2"}},
		"the previous pod may be of the same attempt":        {podChoice{previous: true}, []string{"a2-r0"}},
		"or of the one before":                               {podChoice{previous: true, rank: 1}, []string{"a1-r1"}},
		"a first pod has none before":                        {podChoice{previous: true, attempt: 1}, nil},
		"a rank that never was":                              {podChoice{rank: 7}, nil},
		"an attempt that is over shows what it had last":     {podChoice{rank: 2, attempt: 1}, []string{"a1-r2"}},
		"a rank that only an older attempt had shows that":   {podChoice{rank: 2}, []string{"a1-r2"}},
		"an attempt that never was, even with previous pods": {podChoice{attempt: 9, previous: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, pod := range test.choice.newest(all) {
				got = append(got, pod.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// fakeLogs plays the apiserver and the kubelets: a test moves pods through their lives and makes them print.
type fakeLogs struct {
	mu      sync.Mutex
	pods    []corev1.Pod
	over    bool
	away    error // what Pods answers instead
	lines   map[string][]string
	printed int
	broken  map[string]bool // whose stream breaks once at its present end
	hangs   map[string]bool // whose stream does not end with its pod
	changed *sync.Cond
}

func newFakeLogs() *fakeLogs {
	s := &fakeLogs{lines: map[string][]string{}, broken: map[string]bool{}, hangs: map[string]bool{}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *fakeLogs) do(edit func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit()
	s.changed.Broadcast()
}

func (s *fakeLogs) add(pod corev1.Pod) { s.do(func() { s.pods = append(s.pods, pod) }) }

// says makes a pod print a line, a millisecond after the one before.
func (s *fakeLogs) says(pod, text string) {
	s.do(func() {
		s.printed++
		at := noon.Add(time.Duration(s.printed) * time.Millisecond).Format(time.RFC3339Nano)
		s.lines[pod] = append(s.lines[pod], at+" "+text+"\n")
	})
}

func (s *fakeLogs) ends(pod string) {
	s.do(func() {
		for i := range s.pods {
			if s.pods[i].Name == pod {
				s.pods[i].Status.Phase = corev1.PodFailed
			}
		}
	})
}

func (s *fakeLogs) Pods(context.Context) ([]corev1.Pod, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pods), s.over, s.away
}

func (s *fakeLogs) Open(ctx context.Context, pod string, follow bool, from *metav1.Time) (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	context.AfterFunc(ctx, func() { s.do(func() {}) })
	go func() { writer.CloseWithError(s.feed(ctx, writer, pod, follow, from)) }()
	return reader, nil
}

// feed writes what the pod printed since the second of from, as a kubelet does, and what it goes on to print.
func (s *fakeLogs) feed(ctx context.Context, out io.Writer, pod string, follow bool, from *metav1.Time) error {
	for next := 0; ; next++ {
		s.mu.Lock()
		for next >= len(s.lines[pod]) && follow && ctx.Err() == nil && !s.broken[pod] && (s.runs(pod) || s.hangs[pod]) {
			s.changed.Wait()
		}
		if next >= len(s.lines[pod]) || ctx.Err() != nil {
			wasBroken := s.broken[pod]
			s.broken[pod] = false
			s.mu.Unlock()
			if wasBroken {
				return errors.New("connection reset by peer")
			}
			return nil
		}
		line := s.lines[pod][next]
		s.mu.Unlock()
		stamp, _, _ := strings.Cut(line, " ")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && from != nil && at.Before(from.Truncate(time.Second)) {
			continue
		}
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
}

func (s *fakeLogs) runs(pod string) bool {
	i := slices.IndexFunc(s.pods, func(p corev1.Pod) bool { return p.Name == pod })
	return i >= 0 && s.pods[i].Status.Phase == corev1.PodRunning
}

// reading is a logPrinter at work.
type reading struct {
	t          *testing.T
	out, notes *buffer
	done       chan error
	stop       context.CancelFunc
}

func follow(t *testing.T, source logSource, choice podChoice) *reading {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := &reading{t: t, out: &buffer{}, notes: &buffer{}, done: make(chan error, 1), stop: cancel}
	p := &logPrinter{source: source, choice: choice, out: r.out, notes: r.notes, poll: 5 * time.Millisecond}
	go func() { r.done <- p.follow(ctx) }()
	return r
}

func (r *reading) reads(want string) {
	r.t.Helper()
	r.awaits(r.out, want)
}

func (r *reading) awaits(b *buffer, want string) {
	r.t.Helper()
	(&fixture{t: r.t}).eventually(func() error {
		if got := b.String(); got != want {
			return fmt.Errorf("-want +got:\n%s", cmp.Diff(want, got))
		}
		return nil
	})
}

func (r *reading) ended() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatalf("still follows after %s\n%s%s", patience, r.out, r.notes)
		return nil
	}
}

func TestLogs_followAReplacedPodAndTheNextAttempt(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "step 1")
	r := follow(t, s, podChoice{})
	r.reads("step 1\n")
	s.says("first", "step 2")
	s.ends("first")
	s.add(pending(logPod("second", 1, 0, 1)))
	r.reads("step 1\nstep 2\n")
	s.do(func() { s.pods[1] = logPod("second", 1, 0, 1) })
	s.says("second", "resumed at 2")
	r.reads("step 1\nstep 2\nresumed at 2\n")
	s.ends("second")
	s.add(logPod("third", 2, 0, 2))
	s.says("third", "trained")
	r.reads("step 1\nstep 2\nresumed at 2\ntrained\n")
	s.ends("third")
	s.do(func() { s.over = true })
	if err := r.ended(); err != nil {
		t.Error(err)
	}
	want := "--- attempt 1, pod first ---\n--- attempt 1, pod second ---\n--- attempt 2, pod third ---\n"
	if diff := cmp.Diff(want, r.notes.String()); diff != "" {
		t.Errorf("notes:\n%s", diff)
	}
}

func TestLogs_beginWithTheNewestPod(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("old", 1, 0, 0))
	s.says("old", "history")
	s.ends("old")
	s.add(logPod("new", 2, 0, 1))
	s.says("new", "news")
	r := follow(t, s, podChoice{})
	r.reads("news\n")
}

func TestLogs_waitForTheFirstPod(t *testing.T) {
	s := newFakeLogs()
	r := follow(t, s, podChoice{})
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "hello")
	r.reads("hello\n")
}

func TestLogs_takeABrokenStreamUpWhereItWasLost(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "step 1")
	s.says("first", "step 2")
	r := follow(t, s, podChoice{})
	r.reads("step 1\nstep 2\n")
	s.do(func() { s.broken["first"] = true })
	s.says("first", "step 3")
	r.reads("step 1\nstep 2\nstep 3\n")
}

func TestLogs_goOnWhenTheClusterIsAwayForAWhile(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	r := follow(t, s, podChoice{})
	r.awaits(r.notes, "--- attempt 1, pod first ---\n")
	s.do(func() { s.away = errors.New("connection refused") })
	r.awaits(r.notes, "--- attempt 1, pod first ---\nthe cluster does not answer: connection refused; trying on\n")
	s.do(func() { s.away = nil })
	s.ends("first")
	s.add(logPod("second", 1, 0, 1))
	s.says("second", "back")
	r.reads("back\n")
}

func TestLogs_doNotWaitForANodeThatIsLost(t *testing.T) {
	s := newFakeLogs()
	s.hangs["lost"] = true
	s.add(logPod("lost", 1, 0, 0))
	s.says("lost", "last words")
	r := follow(t, s, podChoice{})
	r.reads("last words\n")
	s.ends("lost")
	s.add(logPod("other", 1, 0, 1))
	s.says("other", "resumed")
	r.reads("last words\nresumed\n")
}

func TestLogs_ofAllRanksSayWhichLineIsWhose(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("r0", 1, 0, 0))
	s.add(logPod("r1", 1, 1, 0))
	r := follow(t, s, podChoice{rank: allRanks})
	s.says("r0", "one")
	r.reads("[rank 0] one\n")
	s.says("r1", "two")
	r.reads("[rank 0] one\n[rank 1] two\n")
}

func TestLogs_ofAnAttemptEndWithIt(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "failed")
	s.ends("first")
	s.add(logPod("second", 2, 0, 1))
	s.says("second", "not asked for")
	r := follow(t, s, podChoice{attempt: 1})
	if err := r.ended(); err != nil {
		t.Error(err)
	}
	r.reads("failed\n")
}

func TestLogs_leaveWhenInterrupted(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "step 1")
	r := follow(t, s, podChoice{})
	r.reads("step 1\n")
	r.stop()
	if err := r.ended(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestLogs_printOnceWithoutFollowing(t *testing.T) {
	s := newFakeLogs()
	s.add(logPod("first", 1, 0, 0))
	s.says("first", "step 1")
	var out, notes buffer
	p := &logPrinter{source: s, out: &out, notes: &notes, timestamps: true}
	if err := p.print(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("2026-01-02T12:00:00.001Z step 1\n", out.String()); diff != "" {
		t.Error(diff)
	}
	p.choice.attempt = 4
	if err := p.print(t.Context()); err == nil || !strings.Contains(err.Error(), "no such pod has started") {
		t.Errorf("an attempt that never was: %v", err)
	}
}

func TestLogs_findTheJobsPodsInACluster(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	for name, job := range map[string]string{"mine": "sudoku", "another": "maze"} {
		pod := builders.Pod(name, 0).Obj()
		pod.Namespace, pod.Labels = f.cluster.namespace, map[string]string{v1alpha1.JobLabel: job, v1alpha1.AttemptLabel: "1"}
		if err := f.cluster.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	source := &podLogs{cluster: f.cluster, job: "sudoku"}
	pods, over, err := source.Pods(t.Context())
	if err != nil || over || len(pods) != 1 || pods[0].Name != "mine" || attemptOf(&pods[0]) != 1 || rankOf(&pods[0]) != 0 {
		t.Errorf("pods %v, over %v, error %v", pods, over, err)
	}
	f.status("sudoku", trains)
	f.status("sudoku", completes)
	if _, over, err = source.Pods(t.Context()); err != nil || !over {
		t.Errorf("a complete job: over %v, error %v", over, err)
	}
	logs := f.start("", "logs", "sudoku")
	if status := f.ends(logs); status == 0 || !strings.Contains(logs.err.String(), "no such pod has started") {
		t.Errorf("exit status %d\n%s", status, logs.err)
	}
}

func TestLogs_refuseFlagsThatContradict(t *testing.T) {
	for _, args := range [][]string{{"--rank", "first"}, {"--rank", "-2"}, {"--attempt", "-1"}, {"-f", "--previous"}} {
		var out buffer
		status := run(t.Context(), append([]string{"kubectl-hrm", "logs", "sudoku"}, args...), "test", strings.NewReader(""), &out, &out)
		if status != exitUsage {
			t.Errorf("%v: exit status %d\n%s", args, status, &out)
		}
	}
}
