package controllers

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxURI is the API's bound on a URI in the status.
const maxURI = 2048

// figures takes a report into the status. A pod is not trusted to be sane: what the API would refuse is left out, so
// that a broken report cannot keep the rest of the status from being written.
//
// lastUpdate moves only when training got further; the rate and the estimate, which change by themselves, are taken
// along then. That makes lastUpdate the time of the last progress. Until training begins, when there are no steps, the
// phase and the dataset's place are progress.
func figures(status *v1alpha1.HRMTrainingJobStatus, report progress.Report, now metav1.Time) {
	next := progressStatus(report)
	newPlace := report.DatasetURI != "" && report.DatasetURI != status.DatasetURI
	switch {
	case status.Progress == nil || newPlace || !sameProgress(*status.Progress, next):
		next.LastUpdate = &now
		status.Progress = &next
	case status.Progress.Activity != next.Activity:
		next.LastUpdate = status.Progress.LastUpdate
		status.Progress = &next
	}
	if c := checkpointStatus(report.LastCheckpoint); c != nil {
		status.LastCheckpoint = c
	}
	if c := checkpointStatus(report.BestCheckpoint); c != nil {
		status.BestCheckpoint = c
	}
	if uri := report.DatasetURI; uri != "" && len(uri) <= maxURI {
		status.DatasetURI = uri
	}
}

func progressStatus(r progress.Report) v1alpha1.ProgressStatus {
	s := v1alpha1.ProgressStatus{
		Activity:          activity(r.Phase),
		Step:              max(0, r.Step),
		TotalSteps:        max(0, r.TotalSteps),
		Epoch:             rate(r.Epoch),
		Loss:              figure(r.Loss),
		Accuracy:          figure(r.Accuracy),
		ExactAccuracy:     figure(r.ExactAccuracy),
		EvalExactAccuracy: figure(r.EvalExactAccuracy),
		SamplesPerSecond:  rate(r.SamplesPerSecond),
	}
	if s.TotalSteps > 0 {
		s.StepOfTotal = fmt.Sprintf("%d/%d", s.Step, s.TotalSteps)
	}
	if t := r.EstimatedCompletion; t != nil && sane(*t) {
		s.EstimatedCompletion = &metav1.Time{Time: t.Truncate(time.Second)}
	}
	return s
}

// activity keeps the phases that are known.
func activity(p progress.Phase) string {
	switch p {
	case progress.PreparingDataset, progress.Training, progress.Saving, progress.Done:
		return string(p)
	}
	return ""
}

// sameProgress compares what only training itself can change. Saving a checkpoint is part of training: a loop that saves
// again and again and makes no step gets nowhere.
func sameProgress(a, b v1alpha1.ProgressStatus) bool {
	trains := func(p string) bool { return p == string(progress.Training) || p == string(progress.Saving) }
	if trains(a.Activity) && trains(b.Activity) {
		a.Activity = b.Activity
	}
	for _, s := range []*v1alpha1.ProgressStatus{&a, &b} {
		s.LastUpdate, s.EstimatedCompletion, s.SamplesPerSecond = nil, nil, ""
	}
	return equality.Semantic.DeepEqual(a, b)
}

func checkpointStatus(c *progress.Checkpoint) *v1alpha1.CheckpointStatus {
	if c == nil || c.URI == "" || len(c.URI) > maxURI || c.Step < 0 || !sane(c.Time) {
		return nil
	}
	return &v1alpha1.CheckpointStatus{URI: c.URI, Step: c.Step, Time: &metav1.Time{Time: c.Time.Truncate(time.Second)}}
}

// sane says whether the apiserver can store a time: RFC 3339 has four digits for the year.
func sane(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// figure formats a loss or an accuracy; an unknown one is empty.
func figure(x *float64) string {
	if x == nil || math.IsNaN(*x) || math.IsInf(*x, 0) {
		return ""
	}
	return strconv.FormatFloat(*x, 'g', 4, 64)
}

// rate formats a count that is not whole; zero means unknown.
func rate(x float64) string {
	if !(x > 0 && x < 1e15) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}
