package loop

import (
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	trainerprogress "github.com/hrm-operator/hrm-operator/trainer/progress"
)

// Every moment of a run belongs to one part: on a clock that advances whenever it is read, the parts add up to the time
// between the first and the last look.
func TestRun_dividesItsTimeIntoParts(t *testing.T) {
	data := tinyData(t)
	store, _ := directory(t)
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begin, looks := clock, 0
	now := func() time.Time {
		looks++
		clock = clock.Add(time.Second)
		return clock
	}
	tracker := trainerprogress.NewTracker(func() time.Time { return begin }, &watcher{})
	spec := tinyJob(t)
	err := Run(t.Context(), Options{
		Spec: spec, Train: data[0], Test: data[1], Device: reference.New(), Store: store, Now: now, Tracker: tracker, Attempt: 3,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	total := time.Duration(0)
	for part, spent := range tracker.Parts() {
		if spent <= 0 {
			t.Errorf("no time was spent on %s", part)
		}
		total += spent
	}
	if len(tracker.Parts()) != 5 || total != clock.Sub(begin)-time.Second {
		t.Errorf("the parts %v add up to %s, want 5 that add up to %s", tracker.Parts(), total, clock.Sub(begin)-time.Second)
	}
	whole, err := readAll(t.Context(), store, trainerprogress.JournalKey)
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := readAll(t.Context(), store, "attempts/3/metrics.jsonl")
	if err != nil || len(whole) == 0 || string(attempt) != string(whole) {
		t.Errorf("the first attempt's journal is %q, %v, want the whole one %q", attempt, err, whole)
	}
	if p := tracker.Report().Phase; p != progress.Done {
		t.Errorf("phase is %s", p)
	}
}
