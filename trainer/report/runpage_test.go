package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/browser"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// thoughts are answers that come nearer to a solution from step to step: two segments of two cycles of one step.
func thoughts(solution []int32, wrong ...int) (list []Thought) {
	for i, n := range wrong {
		t := Thought{Segment: i/2 + 1, Cycle: i%2 + 1, Step: 1, Answer: slices.Clone(solution), Confidence: make([]float32, len(solution))}
		for k := range t.Confidence {
			t.Confidence[k] = 0.75
			if k < n {
				t.Answer[k] = solution[k]%8 + 2
				t.Confidence[k] = 0.25
			}
		}
		if i%2 == 1 {
			t.End, t.Halting, t.Halts = true, 0.2*float64(i), i == 3
		}
		list = append(list, t)
	}
	return list
}

func replayOf(t *testing.T, task v1alpha1.Task, m dataset.Metadata, puzzle, solution []int32, wrong ...int) Replay {
	t.Helper()
	p := PaletteOf(task, &m)
	r, err := NewReplay(&p, string(task)+" 7", puzzle, solution, thoughts(solution, wrong...))
	if err != nil {
		t.Fatal(err)
	}
	r.Outcome = "After 2 segments: Solved."
	return r
}

// sudokuReplay has a board whose first cells are open.
func sudokuReplay(t *testing.T) Replay {
	solution := make([]int32, 81)
	for i := range solution {
		solution[i] = int32((i+i/9*3+i/27)%9 + 2)
	}
	puzzle := slices.Clone(solution)
	for i := range 5 {
		puzzle[i] = 1
	}
	return replayOf(t, v1alpha1.TaskSudoku, dataset.Metadata{SeqLen: 81, VocabSize: 11}, puzzle, solution, 4, 2, 1, 0)
}

// arcReplay has a grid of three by two in the corner of its plane.
func arcReplay(t *testing.T) Replay {
	puzzle, solution := make([]int32, 900), make([]int32, 900)
	for i := range solution {
		solution[i] = dataset.IgnoreLabel
	}
	for _, at := range []int{0, 1, 2, 30, 31, 32} {
		puzzle[at], solution[at] = 3, 5
	}
	p := PaletteOf(v1alpha1.TaskARC, &dataset.Metadata{SeqLen: 900, VocabSize: 12})
	answer := make([]int32, 900)
	copy(answer, puzzle)
	r, err := NewReplay(&p, "ARC 3 0a1d4ef5", puzzle, solution, []Thought{{Segment: 1, Cycle: 1, Step: 1, Answer: answer, Confidence: make([]float32, 900), End: true}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func number(x float64) *float64 { return &x }

// runOf is a run with a journal of some lines.
func runOf(name string, lines int) RunData {
	r := RunData{Name: name, Job: &v1alpha1.HRMTrainingJob{}}
	r.Job.Spec.Dataset.Task = v1alpha1.TaskSudoku
	r.Job.Default()
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for i := range lines {
		share := float64(i+1) / float64(lines)
		r.Records = append(r.Records, progress.Record{
			Step: int64(10 * (i + 1)), Time: began.Add(time.Duration(i) * time.Second), Loss: number(2 - share), LMLoss: number(1 - share/2), Accuracy: number(share),
			ExactAccuracy: number(share * share), Steps: number(4 - 2*share), SamplesPerSecond: 100 + 10*share, LearningRate: 1e-3,
			Seconds: map[string]float64{"compute": 0.75, "data": 0.25},
		})
	}
	r.Records = append(r.Records, progress.Record{
		Step: int64(10 * lines), Time: began.Add(time.Hour), EvalExactAccuracy: number(0.5), EvalAccuracy: number(0.9), EvalExamples: 100, EvalScores: map[string]float64{"valid": 0.6},
	})
	r.Checkpoints = []CheckpointRow{{Name: "checkpoints/step-0000000100-a", Step: 100, Time: began, Best: true, Last: true}}
	return r
}

func pageOf(t *testing.T, runs ...RunData) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := NewRunPage("A run", "Made by a test.", runs).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRunPage_isOfOneFileThatRunsNothingOfOthers(t *testing.T) {
	r := runOf("./run</script><script>alert(1)</script>", 30)
	r.Missing = []string{"<img src=x onerror=alert(1)>"}
	replay := sudokuReplay(t)
	replay.Title = "</script><script>alert(2)</script>"
	r.Replays = []Replay{replay}
	page := string(pageOf(t, r))
	for _, bad := range []string{"<script>alert", "<img", "http://", "https://", "src=x onerror=alert(1)>"} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

const sliderOf = `document.querySelectorAll("#replay-0 input[type=range]")[0]`

// A reader who has a keyboard goes through a puzzle, and what is shown and said is the step that the slider is at.
func TestRunPage_goesThroughThoughtsByKeyboard(t *testing.T) {
	r := runOf("./run", 30)
	r.Replays = []Replay{sudokuReplay(t), arcReplay(t)}
	p := browser.Open(t, pageOf(t, r))
	type state struct {
		Value, Spoken, Said, Board string
		Wrong, Changed             int
	}
	read := func() state {
		return browser.Eval[state](p, `(() => { const a = document.getElementById("replay-0"), s = a.querySelector("input"), b = a.querySelector("[data-show=answer]");
			return { Value: s.value, Spoken: s.getAttribute("aria-valuetext"), Said: a.querySelector("output").textContent, Board: b.getAttribute("aria-label"),
				Wrong: b.querySelectorAll(".wrong").length, Changed: b.querySelectorAll(".changed").length } })()`)
	}
	first := state{
		"0", "segment 1, cycle 1, step 1, 4 wrong", "segment 1, cycle 1, step 1: 5 cells changed, 4 wrong, tokens 72.4 % sure",
		"Answer at this step: 4 wrong cells: row 1 column 1 is 3, should be 1; row 1 column 2 is 4, should be 2; row 1 column 3 is 5, should be 3; row 1 column 4 is 6, should be 4.", 4, 5,
	}
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Errorf("at first (-want +got)\n%s", diff)
	}
	p.Focus("#replay-0 input")
	for _, press := range []struct {
		key   string
		value string
		wrong int
	}{
		{kb.ArrowRight, "1", 2}, {kb.ArrowRight, "2", 1}, {kb.ArrowLeft, "1", 2}, {kb.Home, "0", 4}, {kb.PageUp, "1", 2}, {kb.PageUp, "3", 0}, {kb.PageDown, "1", 2}, {kb.End, "3", 0},
	} {
		p.Do(chromedp.KeyEvent(press.key))
		if s := read(); s.Value != press.value || s.Wrong != press.wrong {
			t.Errorf("%q moves to %s with %d wrong cells, want %s with %d", press.key, s.Value, s.Wrong, press.value, press.wrong)
		}
	}
	last := state{
		"3", "segment 2, cycle 2, step 1, 0 wrong", "segment 2, cycle 2, step 1: 1 cell changed, 0 wrong, tokens 74.9 % sure, confidence in the answer 60.0 %, halts here",
		"Answer at this step: every cell is right.", 0, 1,
	}
	if diff := cmp.Diff(last, read()); diff != "" {
		t.Errorf("at last (-want +got)\n%s", diff)
	}
	// Playing begins anew, and ends by itself at the last step.
	p.Focus("#replay-0 [data-do=play]")
	p.Do(chromedp.KeyEvent(" "))
	if pressed := browser.Eval[string](p, `document.querySelector("#replay-0 [data-do=play]").getAttribute("aria-pressed")`); pressed != "true" {
		t.Errorf("while playing the button is pressed: %s", pressed)
	}
	p.Until(`document.querySelector("#replay-0 [data-do=play]").getAttribute("aria-pressed") === "false" && ` + sliderOf + `.value === "3"`)
	if cells := browser.Eval[[]int](p, `[0, 1].map((i) => document.querySelectorAll("#replay-" + i + " [data-show=answer] rect:not(.wrong)").length)`); !slices.Equal(cells, []int{81, 6}) {
		t.Errorf("the boards have %v cells", cells)
	}
}

// Whoever does not see the page is told what everything is, and comes to it in the order of reading.
func TestRunPage_tellsAssistiveTechnology(t *testing.T) {
	r := runOf("./run", 30)
	r.Replays = []Replay{sudokuReplay(t)}
	p := browser.Open(t, pageOf(t, r))
	nodes := browser.Call(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	roles := map[string]int{}
	for _, n := range nodes.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role, name := string(n.Role.Value), ""
		if n.Name != nil {
			name = strings.Trim(string(n.Name.Value), `"`)
		}
		role = strings.Trim(role, `"`)
		roles[role]++
		if name == "" && slices.Contains([]string{"image", "button", "slider", "checkbox", "link", "region", "article", "navigation"}, role) {
			t.Errorf("a %s has no name", role)
		}
	}
	for role, least := range map[string]int{"slider": 1, "button": 3, "image": 9, "main": 1, "navigation": 1, "heading": 6, "table": 3, "checkbox": 1, "status": 1} {
		if roles[role] < least {
			t.Errorf("%d nodes with role %s, want at least %d", roles[role], role, least)
		}
	}
	var order []string
	for range 12 {
		p.Do(chromedp.KeyEvent(kb.Tab))
		order = append(order, browser.Eval[string](p, `(() => { const e = document.activeElement; return e.getAttribute("aria-label") || e.textContent.trim() || e.id })()`))
	}
	want := []string{
		"Skip to the content", "At a glance", "Puzzles", "Curves", "Evaluations and checkpoints", "Settings",
		"Where the run has come to", "fade", "Play", "Previous segment", "Step of reasoning", "Next segment",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("the order of focus (-want +got)\n%s", diff)
	}
}

// contrast is the ratio of WCAG 2 between the colours of text and page.
const contrast = `(() => {
	const light = (c) => { const [r, g, b] = c.match(/\d+/g).map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
	const page = light(getComputedStyle(document.body).backgroundColor);
	return Math.min(...["h1", ".made", "a", "figcaption", "td", "summary"].map((s) => {
		const text = light(getComputedStyle(document.querySelector("main " + s) || document.querySelector(s)).color);
		return (Math.max(page, text) + 0.05) / (Math.min(page, text) + 0.05) }));
})()`

func TestRunPage_suitsScreenAndPaper(t *testing.T) {
	r := runOf("./a-run-with-a-rather-long-name-that-does-not-fit-a-telephone", 30)
	r.Replays = []Replay{sudokuReplay(t), arcReplay(t)}
	other := runOf("./other", 900)
	other.Job.Spec.Training.LearningRate = "5e-4"
	p := browser.Open(t, pageOf(t, r, other))
	background := func() string { return browser.Eval[string](p, `getComputedStyle(document.body).backgroundColor`) }
	seen := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		browser.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		seen[scheme] = background()
		if ratio := browser.Eval[float64](p, contrast); ratio < 4.5 {
			t.Errorf("%s: the contrast of text is %.1f, want 4.5", scheme, ratio)
		}
	}
	if seen["light"] == seen["dark"] {
		t.Errorf("light and dark are both %s", seen["light"])
	}
	for _, width := range []int64{360, 1200} {
		p.Do(chromedp.EmulateViewport(width, 800))
		if have := browser.Eval[int64](p, `document.scrollingElement.scrollWidth`); have > width {
			t.Errorf("a window of %d must be scrolled sideways over %d", width, have)
		}
	}
	browser.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	if paper := background(); paper != "rgb(255, 255, 255)" {
		t.Errorf("paper is %s", paper)
	}
	if shown := browser.Eval[bool](p, `document.querySelector(".controls button").checkVisibility()`); shown {
		t.Error("a button is printed")
	}
}

func TestRunPage_saysWhatIsMissing(t *testing.T) {
	r := RunData{Name: "./broken", Missing: []string{"curves: metrics.jsonl does not exist", "puzzles: there is no checkpoint yet"}}
	p := browser.Open(t, pageOf(t, r))
	text := browser.Eval[string](p, `document.querySelector("aside.missing").innerText`)
	for _, want := range append(r.Missing, "Missing of ./broken") {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
	if links := browser.Eval[[]string](p, `Array.from(document.querySelectorAll("nav a")).filter((a) => !document.querySelector(a.getAttribute("href"))).map((a) => a.textContent)`); len(links) > 0 {
		t.Errorf("links to nowhere: %v", links)
	}
}
