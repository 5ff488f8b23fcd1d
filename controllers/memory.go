package controllers

import (
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxDeparted bounds how many pods that are gone are remembered per job.
const maxDeparted = 256

// memory is what the operator knows of jobs and the apiserver does not: pods that are gone, and since when a job has
// looked the way it does. Losing it with the process costs no decision more than time: what counts is on the status
// once it was seen.
type memory struct {
	mu   sync.Mutex
	jobs map[types.NamespacedName]*recollection
}

// recollection is the memory of one job.
type recollection struct {
	departed []corev1.Pod // oldest first
	look     string       // how the job looked last
	since    time.Time    // since when it has, by this process's clock
	gang     types.UID    // the Job whose Workload exists
}

func (m *memory) of(job types.NamespacedName) *recollection {
	if m.jobs == nil {
		m.jobs = map[types.NamespacedName]*recollection{}
	}
	r, ok := m.jobs[job]
	if !ok {
		r = &recollection{}
		m.jobs[job] = r
	}
	return r
}

// forget drops a job.
func (m *memory) forget(job types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.jobs, job)
}

// depart remembers a pod in the last state it was seen in. Whatever that was, it has ended now; one that never ran is
// not worth it.
func (m *memory) depart(job types.NamespacedName, pod corev1.Pod, now time.Time) {
	if pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "" {
		return
	}
	if !hasEnded(pod) {
		pod.Status.Phase = corev1.PodFailed
	}
	if pod.DeletionTimestamp == nil {
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(now))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(job)
	r.departed = append(r.departed, pod)
	if over := len(r.departed) - maxDeparted; over > 0 {
		r.departed = slices.Delete(r.departed, 0, over)
	}
}

// departed returns the pods that are gone and belonged to the given attempt, and forgets those of earlier ones.
func (m *memory) departed(job types.NamespacedName, attempt int32) []corev1.Pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.jobs[job]
	if !ok {
		return nil
	}
	r.departed = slices.DeleteFunc(r.departed, func(pod corev1.Pod) bool { return podAttempt(pod) < attempt })
	return slices.Clone(r.departed)
}

// lookedSo returns since when this process has seen the job look the way it does now.
func (m *memory) lookedSo(job types.NamespacedName, look string, now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(job)
	if r.since.IsZero() || r.look != look || r.since.After(now) {
		r.look, r.since = look, now
	}
	return r.since
}

func (m *memory) gangIsKnown(job types.NamespacedName, uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(job).gang == uid
}

func (m *memory) knowGang(job types.NamespacedName, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(job).gang = uid
}

// podAttempt is the number of the attempt that a pod belongs to, or -1.
func podAttempt(pod corev1.Pod) int32 {
	n, err := strconv.ParseInt(pod.Labels[v1alpha1.AttemptLabel], 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}
