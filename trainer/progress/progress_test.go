package progress

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return noon }

func number(x float64) *float64 { return &x }

func halfway() progress.Report {
	end := noon.Add(95 * time.Second)
	return progress.Report{
		Step: 50, TotalSteps: 100, Loss: number(0.5), Accuracy: number(0.75), ExactAccuracy: number(0.25),
		SamplesPerSecond: 126, EstimatedCompletion: &end, Phase: progress.Training,
	}
}

func TestLine(t *testing.T) {
	for _, row := range []struct {
		name  string
		width int
		want  string
	}{
		{"no bar where the figures fill the line", 82, " 50%  50/100  loss 0.500  exact 0.250  ETA 1:35  126 samples/s  tokens 0.750"},
		{"the most wanted figures in a narrow window", 34, " 50%  50/100  loss 0.500"},
		{"a piece in a window of nothing", 2, " 5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Line(halfway(), noon, row.width)
			if len(got) > row.width {
				t.Errorf("%q has %d columns, want at most %d", got, len(got), row.width)
			}
			if row.want != "" && got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	wide := Line(halfway(), noon, 160)
	for _, want := range []string{"[####################....................]", "50/100", "loss 0.500", "exact 0.250", "ETA 1:35", "126 samples/s", "tokens 0.750"} {
		if !strings.Contains(wide, want) {
			t.Errorf("%q lacks %q", wide, want)
		}
	}
}

func TestBar_printsNotesAboveTheLine(t *testing.T) {
	var out bytes.Buffer
	b := NewBar(&out, func() int { return 60 }, fixed)
	b.Show(halfway())
	b.Note("saved")
	b.Close()
	if got := out.String(); !strings.Contains(got, "\r\x1b[Ksaved\n\r\x1b[K") || !strings.HasSuffix(got, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestLog_speaksAtChangesOfPhaseAndOncePerInterval(t *testing.T) {
	var out bytes.Buffer
	now := noon
	l := NewLog(slog.New(slog.NewTextHandler(&out, nil)), 10*time.Second, func() time.Time { return now })
	r := halfway()
	l.Show(r)
	l.Show(r)
	now = now.Add(11 * time.Second)
	l.Show(r)
	r.Phase = progress.Done // perhaps before its last step
	l.Show(r)
	l.Show(r)
	if got := strings.Count(out.String(), "msg=progress"); got != 3 {
		t.Errorf("got %d lines, want 3:\n%s", got, out.String())
	}
}

func TestTracker_estimatesTheEndFromTheRate(t *testing.T) {
	tracker := NewTracker(fixed, NewLog(slog.New(slog.DiscardHandler), time.Hour, fixed))
	tracker.Begin(0, 100, 0)
	tracker.Step(Step{Step: 50, Samples: 64, Took: time.Second, Loss: number(1)})
	tracker.Step(Step{Step: 60, Samples: 64, Took: time.Second})
	r := tracker.Report()
	if r.SamplesPerSecond < 63.9 || r.SamplesPerSecond > 64.1 {
		t.Errorf("got %v samples/s, want 64", r.SamplesPerSecond)
	}
	if want := noon.Add(40 * time.Second); r.EstimatedCompletion.Sub(want).Abs() > time.Second {
		t.Errorf("got the end at %v, want %v", r.EstimatedCompletion, want)
	}
	if r.Loss == nil || *r.Loss != 1 {
		t.Errorf("a step that knows no loss must keep the last one, got %v", r.Loss)
	}
}

func TestServe(t *testing.T) {
	tracker := NewTracker(fixed, NewLog(slog.New(slog.DiscardHandler), time.Hour, fixed))
	tracker.Begin(3, 9, 0.5)
	tracker.Evaluated(0.81)
	address, err := Serve(t.Context(), "127.0.0.1:0", tracker)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/progress": `"evalExactAccuracy":0.81`,
		"/metrics":  "hrm_training_eval_exact_accuracy 0.81",
		"/healthz":  "ok",
	} {
		if body := get(t, "http://"+address+path); !strings.Contains(body, want) {
			t.Errorf("%s: %q lacks %q", path, body, want)
		}
	}
	if _, err := Serve(context.Background(), address, tracker); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a taken address must be reported with the remedy, got %v", err)
	}
}

// The metrics of a process of a group, beyond those of its report.
func TestServe_tellsHowAProcessIsDoing(t *testing.T) {
	tracker := NewTracker(fixed, NewLog(slog.New(slog.DiscardHandler), time.Hour, fixed))
	tracker.Place("ns/a", 3, 2)
	tracker.Spent("allreduce", 1500*time.Millisecond)
	tracker.Spent("allreduce", time.Second)
	tracker.SaveFailed()
	tracker.PeerLost()
	tracker.Saved(progress.Checkpoint{Step: 7, Time: noon.Add(-time.Minute)}, false)
	tracker.Watch(func() int64 { return 4096 }, func() time.Duration { return 250 * time.Millisecond })
	address, err := Serve(t.Context(), "127.0.0.1:0", tracker)
	if err != nil {
		t.Fatal(err)
	}
	body := get(t, "http://"+address+"/metrics")
	for _, want := range []string{
		`hrm_training_seconds_total{part="allreduce"} 2.5`, "hrm_training_checkpoint_failures_total 1", "hrm_training_peers_lost_total 1",
		"hrm_training_nodes 2", "hrm_training_checkpoint_step 7", "hrm_training_checkpoint_age_seconds 60",
		"hrm_training_device_memory_bytes 4096", "hrm_training_peer_silence_seconds 0.25",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if r := tracker.Report(); r.Job != "ns/a" || r.Attempt != 3 || r.Nodes != 2 {
		t.Errorf("the report is of %s, attempt %d, %d nodes", r.Job, r.Attempt, r.Nodes)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return string(body)
}

func TestResumeJournal_dropsWhatWillBeWrittenAgain(t *testing.T) {
	old := "{\"step\":10}\n{\"step\":20}\nbroken\n{\"step\":30}\n"
	j := ResumeJournal([]byte(old), 20)
	if err := j.Add(Record{Step: 30, Loss: number(2)}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(j.Bytes())), "\n")
	if len(lines) != 3 || !strings.Contains(lines[2], `"loss":2`) {
		t.Errorf("got %q", lines)
	}
}

func TestResumeJournal_keepsWhatFollowsALongLine(t *testing.T) {
	for name, long := range map[string]string{
		"no record": strings.Repeat("x", 1<<20),
		"a record":  `{"step":2,"unknown":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			j := ResumeJournal([]byte("{\"step\":1}\n"+long+"\nnull\n{\"step\":3}"), 20)
			lines := strings.Split(strings.TrimSpace(string(j.Bytes())), "\n")
			kept := 2
			if strings.HasPrefix(long, "{") {
				kept = 3
			}
			if len(lines) != kept || lines[0] != `{"step":1}` || lines[kept-1] != `{"step":3}` {
				t.Errorf("got %d lines, want %d with the first and the last record", len(lines), kept)
			}
		})
	}
}

// A journal that was resumed holds records up to the step alone, and is the same when it is resumed again.
func FuzzResumeJournal(f *testing.F) {
	f.Add([]byte("{\"step\":10}\n{\"step\":20}\nbroken\r\n{\"step\":30}"), int64(20))
	f.Add([]byte("null\n\n\x00{\"step\":1e3}\n{\"step\":-1}"), int64(0))
	f.Fuzz(func(t *testing.T, old []byte, step int64) {
		got := ResumeJournal(old, step).Bytes()
		for line := range bytes.Lines(got) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil || r.Step > step {
				t.Fatalf("%q in a journal up to step %d: %v", line, step, err)
			}
		}
		if again := ResumeJournal(got, step).Bytes(); !bytes.Equal(again, got) {
			t.Fatalf("%q becomes %q", got, again)
		}
	})
}

func TestWriteTermination(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := WriteTermination(path, halfway()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a laptop has no termination log, and must not get one")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteTermination(path, halfway()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r progress.Report
	if err := json.Unmarshal(raw, &r); err != nil || r.Step != 50 {
		t.Errorf("got %s, %v", raw, err)
	}
}
