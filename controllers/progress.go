package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

const (
	pollTimeout    = 3 * time.Second
	maxReportBytes = 64 << 10
	maxHeaderBytes = 16 << 10
)

// pollTarget is the process to ask: rank 0 of one attempt of one job.
type pollTarget struct {
	job     types.UID
	attempt int32
	podIP   string
}

// Sample is the newest report of a job's attempt.
type Sample struct {
	Attempt int32
	Report  progress.Report
}

// Poller asks the rank 0 of every running job how far it is, off the reconcile path: a slow or hostile pod costs its
// job's freshness and nothing else (pollschedule.go). Reconcilers say whom to ask with Watch and read the answer with
// Latest; an answer that differs from the one before arrives at Changes.
type Poller struct {
	interval time.Duration
	port     int
	client   *http.Client
	log      logr.Logger
	changes  chan event.TypedGenericEvent[*v1alpha1.HRMTrainingJob]
	wake     chan struct{}

	mu      sync.Mutex
	targets map[types.NamespacedName]*schedule
	samples map[types.NamespacedName]Sample
	lanes   [2]int // asks under way
	waiting bool   // whether a target is due that found no slot
}

// NewPoller returns a poller that asks port of every watched pod once per interval.
func NewPoller(interval time.Duration, port int, log logr.Logger) *Poller {
	return &Poller{
		interval: interval,
		port:     port,
		log:      log,
		client: &http.Client{
			Timeout: pollTimeout,
			Transport: &http.Transport{
				Proxy: nil, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes,
			},
			// A pod does not get to choose what the operator connects to.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		changes: make(chan event.TypedGenericEvent[*v1alpha1.HRMTrainingJob], 128),
		wake:    make(chan struct{}, 1),
		targets: map[types.NamespacedName]*schedule{},
		samples: map[types.NamespacedName]Sample{},
	}
}

// Watch makes target the process that is asked for the job; a report of another attempt is forgotten.
func (p *Poller) Watch(job types.NamespacedName, target pollTarget) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.targets[job]
	if ok && old.target == target {
		return
	}
	if ok && (old.target.job != target.job || old.target.attempt != target.attempt) {
		delete(p.samples, job)
	}
	p.targets[job] = &schedule{target: target}
}

// Forget stops asking for the job.
func (p *Poller) Forget(job types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.targets, job)
	delete(p.samples, job)
}

// Latest returns the newest report of the job, if there is one.
func (p *Poller) Latest(job types.NamespacedName, uid types.UID) (Sample, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.targets[job]; !ok || s.target.job != uid {
		return Sample{}, false
	}
	s, ok := p.samples[job]
	return s, ok
}

// Changes delivers jobs whose report changed.
func (p *Poller) Changes() <-chan event.TypedGenericEvent[*v1alpha1.HRMTrainingJob] { return p.changes }

// NeedLeaderElection makes the manager run the poller only where the controller runs.
func (p *Poller) NeedLeaderElection() bool { return true }

// ask fetches one report.
func (p *Poller) ask(ctx context.Context, podIP string) (progress.Report, error) {
	address := url.URL{Scheme: "http", Host: net.JoinHostPort(podIP, strconv.Itoa(p.port)), Path: progress.Path}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return progress.Report{}, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return progress.Report{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return progress.Report{}, fmt.Errorf("%s answered %s", address.String(), response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReportBytes+1))
	if err != nil {
		return progress.Report{}, err
	}
	if len(body) > maxReportBytes {
		return progress.Report{}, fmt.Errorf("%s answered with more than %d bytes", address.String(), maxReportBytes)
	}
	report, ok := progress.Parse(body)
	if !ok {
		return progress.Report{}, errors.New(address.String() + " did not answer with a progress report")
	}
	return report, nil
}

// belongs says whether a report is of the process that was asked: an address may have been given to another job's pod. A
// trainer too old to say whom it trains for is believed.
func belongs(job types.NamespacedName, target pollTarget, report progress.Report) error {
	if report.Job != "" && report.Job != job.String() || report.Attempt != 0 && report.Attempt != target.attempt {
		return fmt.Errorf("%s answered for attempt %d of job %q", target.podIP, report.Attempt, report.Job)
	}
	return nil
}

// keep stores a report unless its target was replaced meanwhile, and says whether it is news.
func (p *Poller) keep(job types.NamespacedName, target pollTarget, report progress.Report) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.targets[job]; !ok || s.target != target {
		return false
	}
	news := Sample{Attempt: target.attempt, Report: report}
	if old, ok := p.samples[job]; ok && reflect.DeepEqual(old, news) {
		return false
	}
	p.samples[job] = news
	return true
}

// announce queues the job for reconciliation.
func (p *Poller) announce(ctx context.Context, job types.NamespacedName) {
	object := &v1alpha1.HRMTrainingJob{}
	object.SetNamespace(job.Namespace)
	object.SetName(job.Name)
	select {
	case p.changes <- event.TypedGenericEvent[*v1alpha1.HRMTrainingJob]{Object: object}:
	case <-ctx.Done():
	}
}

func outcome(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
