package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// logSource is where the logs of a job come from.
type logSource interface {
	// Pods lists the job's pods, and says whether the job has ended, so that no further pod will come.
	Pods(ctx context.Context) (pods []corev1.Pod, over bool, err error)
	// Open opens the log of a pod from a time on, or from its beginning. Every line begins with its time in RFC 3339
	// and a space. With follow it ends when the container does.
	Open(ctx context.Context, pod string, follow bool, from *metav1.Time) (io.ReadCloser, error)
}

// allRanks is the rank of a podChoice that means each of them.
const allRanks = -1

// podChoice says which pods of a job are meant.
type podChoice struct {
	rank     int
	attempt  int32 // 0 is the newest one
	previous bool
}

// candidates are the pods of the chosen ranks and attempt whose container has run, from the oldest to the newest.
func (c podChoice) candidates(pods []corev1.Pod) []corev1.Pod {
	var found []corev1.Pod
	for _, pod := range pods {
		if started(&pod) && (c.rank == allRanks || rankOf(&pod) == c.rank) && (c.attempt == 0 || attemptOf(&pod) == c.attempt) {
			found = append(found, pod)
		}
	}
	slices.SortStableFunc(found, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(attemptOf(&a), attemptOf(&b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(rankOf(&a), rankOf(&b)))
	})
	return found
}

// newest are the newest candidates, one of each rank; or those before them.
func (c podChoice) newest(pods []corev1.Pod) []corev1.Pod {
	all := c.candidates(pods)
	var latest int32
	for i := range all {
		latest = max(latest, attemptOf(&all[i]))
	}
	ranks := map[int][]corev1.Pod{}
	for _, pod := range all {
		ranks[rankOf(&pod)] = append(ranks[rankOf(&pod)], pod)
	}
	var found []corev1.Pod
	for _, of := range ranks {
		last := of[len(of)-1]
		switch {
		case c.previous && len(of) > 1:
			found = append(found, of[len(of)-2])
		case !c.previous && attemptOf(&last) == latest: // a rank that the newest attempt does not have any more is no news
			found = append(found, last)
		}
	}
	slices.SortFunc(found, func(a, b corev1.Pod) int { return cmp.Compare(rankOf(&a), rankOf(&b)) })
	return found
}

// past says whether the chosen attempt has a successor, so that it will have no further pod.
func (c podChoice) past(pods []corev1.Pod) bool {
	return c.attempt > 0 && slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return attemptOf(&pod) > c.attempt })
}

// started says whether a pod's container runs or has run: before that there is no log.
func started(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return len(pod.Status.ContainerStatuses) > 0
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TrainerContainer && (c.State.Running != nil || c.State.Terminated != nil) {
			return true
		}
	}
	return false
}

// finished says whether a pod will print no more.
func finished(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TrainerContainer && c.State.Terminated != nil {
			return true
		}
	}
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// logPrinter prints logs of the chosen pods: lines to out, what happened to notes.
type logPrinter struct {
	source     logSource
	choice     podChoice
	out, notes io.Writer
	timestamps bool
	poll       time.Duration // between two looks at the job

	mu sync.Mutex // keeps lines whole
}

// print prints what there is.
func (p *logPrinter) print(ctx context.Context) error {
	pods, _, err := p.source.Pods(ctx)
	if err != nil {
		return err
	}
	chosen := p.choice.newest(pods)
	if len(chosen) == 0 {
		return errors.New("no such pod has started, or it is gone: kubectl hrm watch JOB tells what the job waits for, --follow waits")
	}
	var lines atomic.Int64
	for i := range chosen {
		p.announce(&chosen[i])
		if _, err := p.copy(ctx, &chosen[i], false, nil, &lines); err != nil {
			return fmt.Errorf("log of pod %s: %w", chosen[i].Name, err)
		}
	}
	return nil
}

// follow prints the newest pods' logs and those of every pod that takes a place of theirs, until the job ends.
func (p *logPrinter) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	f := &following{printer: p, begun: map[types.UID]bool{}, lanes: map[int]*lane{}}
	lost := false
	for first := true; ; first = false {
		pods, over, err := p.source.Pods(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (first || !passing(err)):
			return err
		case err != nil && !lost:
			p.note(fmt.Sprintf("the cluster does not answer: %v; trying on", err))
		}
		lost = err != nil
		if err == nil {
			f.look(ctx, pods, &streams)
			if over || p.choice.past(pods) {
				f.close()
				streams.Wait()
				return nil
			}
		}
		if err := pause(ctx, p.poll); err != nil {
			return err
		}
	}
}

// following is the state of follow: which pods were taken up, and the lane of each rank, in which one pod's log comes
// after the other's.
type following struct {
	printer *logPrinter
	begun   map[types.UID]bool
	lanes   map[int]*lane
}

// look takes up pods that have started since the last look.
func (f *following) look(ctx context.Context, pods []corev1.Pod, streams *sync.WaitGroup) {
	chosen := f.printer.choice.candidates(pods)
	if len(f.begun) == 0 {
		// What ended before the newest pods began is history.
		newest := f.printer.choice.newest(pods)
		for _, pod := range chosen {
			f.begun[pod.UID] = !slices.ContainsFunc(newest, func(n corev1.Pod) bool { return n.UID == pod.UID })
		}
	}
	for _, pod := range chosen {
		if f.begun[pod.UID] {
			continue
		}
		f.begun[pod.UID] = true
		l := f.lane(ctx, rankOf(&pod), streams)
		l.waiting.Add(1)
		l.pods <- pod
	}
}

// lane returns a rank's lane, and starts it if it is new.
func (f *following) lane(ctx context.Context, rank int, streams *sync.WaitGroup) *lane {
	l := f.lanes[rank]
	if l == nil {
		l = &lane{pods: make(chan corev1.Pod, 1024)}
		f.lanes[rank] = l
		streams.Go(func() { l.run(ctx, f.printer) })
	}
	return l
}

// close says that no further pod will come.
func (f *following) close() {
	for _, l := range f.lanes {
		l.waiting.Add(1)
		close(l.pods)
	}
}

// lane is one rank's queue of pods. Something waits if a pod has a successor, or the job has ended: its log is then not
// waited for any longer than its last lines may take, because on a node that is lost it never ends.
type lane struct {
	pods    chan corev1.Pod
	waiting atomic.Int32
}

// run prints the lane's pods, one after the other.
func (l *lane) run(ctx context.Context, p *logPrinter) {
	for pod := range l.pods {
		l.waiting.Add(-1)
		p.announce(&pod)
		p.stream(ctx, &pod, func() bool { return l.waiting.Load() > 0 })
		if ctx.Err() != nil {
			return
		}
	}
}

// stream prints a pod's log to its end, and takes it up again where it was lost.
func (p *logPrinter) stream(ctx context.Context, pod *corev1.Pod, awaited func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lines atomic.Int64
	go p.giveUpIdle(ctx, cancel, awaited, &lines)
	var from *metav1.Time
	for failures := 0; ; {
		last, err := p.copy(ctx, pod, true, from, &lines)
		if last != nil {
			from, failures = last, 0
		}
		if ctx.Err() != nil || (err == nil && p.ended(ctx, pod)) {
			return
		}
		if failures++; err != nil && (failures > 5 || !passing(err)) {
			p.note(fmt.Sprintf("the log of pod %s is lost: %v", pod.Name, err))
			return
		}
		if pause(ctx, p.poll) != nil {
			return
		}
	}
}

// giveUpIdle ends a stream that is awaited, but has brought no line for a while.
func (p *logPrinter) giveUpIdle(ctx context.Context, giveUp context.CancelFunc, awaited func() bool, lines *atomic.Int64) {
	idle, before := time.Duration(0), lines.Load()
	for pause(ctx, p.poll) == nil {
		if now := lines.Load(); now != before || !awaited() {
			idle, before = 0, now
			continue
		}
		if idle += p.poll; idle >= lastLines*p.poll {
			giveUp()
			return
		}
	}
}

// lastLines is how many polls the last lines of a pod may still take after it was replaced.
const lastLines = 15

// ended says whether a pod will print no more: a stream also ends where a connection is closed in good order.
func (p *logPrinter) ended(ctx context.Context, pod *corev1.Pod) bool {
	pods, over, err := p.source.Pods(ctx)
	if err != nil {
		return !passing(err)
	}
	i := slices.IndexFunc(pods, func(q corev1.Pod) bool { return q.UID == pod.UID })
	return over || i < 0 || finished(&pods[i])
}

// copy prints one stream, without lines that were printed before: those up to from. It counts the lines that come, and
// returns the time of the last one printed.
func (p *logPrinter) copy(ctx context.Context, pod *corev1.Pod, follow bool, from *metav1.Time, count *atomic.Int64) (*metav1.Time, error) {
	in, err := p.source.Open(ctx, pod.Name, follow, from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = in.Close() })
	defer stop()
	prefix := ""
	if p.choice.rank == allRanks {
		prefix = fmt.Sprintf("[rank %d] ", rankOf(pod))
	}
	var last *metav1.Time
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			count.Add(1)
			stamp, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			at, bad := time.Parse(time.RFC3339Nano, stamp)
			switch {
			case bad != nil: // not the form that was asked for: better whole than lost
				text = strings.TrimSuffix(line, "\n")
			case from != nil && !at.After(from.Time):
				continue
			default:
				t := metav1.NewTime(at)
				last = &t
			}
			if p.timestamps && bad == nil {
				text = stamp + " " + text
			}
			p.line(prefix + text)
		}
		switch {
		case errors.Is(err, io.EOF):
			return last, nil
		case err != nil:
			return last, err
		}
	}
}

// announce says whose lines follow.
func (p *logPrinter) announce(pod *corev1.Pod) {
	p.note(fmt.Sprintf("--- attempt %d, pod %s ---", attemptOf(pod), pod.Name))
}

func (p *logPrinter) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.notes, text)
}

func (p *logPrinter) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, text)
}
