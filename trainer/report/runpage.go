package report

import (
	"cmp"
	"embed"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

//go:embed run.html run.css run.js chart.css
var runFiles embed.FS

// source returns an embedded file.
func source(name string) string {
	raw, err := runFiles.ReadFile(name)
	if err != nil {
		panic(err) // the compiler has seen it
	}
	return string(raw)
}

var (
	chartStyle = source("chart.css")
	runPage    = template.Must(template.New("run").Parse(source("run.html")))
)

// RunPage is a self-contained HTML page about one or several runs: what they were told, how they went, what they reached,
// and puzzles that their models reason about.
type RunPage struct {
	Title string
	// Made says when, by which version.
	Made string
	Runs []RunSummary
	// Facts and Differing are tables with a column for each run; Same are settings that all runs share.
	Facts, Differing, Same Table
	Charts                 []*Chart
	// Analysis are charts of what models' states do while they reason.
	Analysis []*Chart
	// Parts are the seconds of each run by part of the work.
	Parts []Stack
	// Tables are those of evaluations and checkpoints.
	Tables []Table
}

// RunSummary is what a page says of a run by itself.
type RunSummary struct {
	Name string
	// Missing says what could not be had, and why.
	Missing []string
	Replays []Replay
}

// Stack is a whole that is divided into parts.
type Stack struct {
	Name  string
	Parts []Part
}

// Part is one of them, with what it measures and its share, from 0 to 1.
type Part struct {
	Name, Figure string
	Share        float64
}

// Percent is the length of the part.
func (p Part) Percent() string { return BarValue{Share: p.Share}.Percent() }

// Pictures are the page's charts as SVG files, by names that are made of their titles.
func (p *RunPage) Pictures() map[string][]byte {
	files := map[string][]byte{}
	for _, c := range slices.Concat(p.Charts, p.Analysis) {
		if !c.Empty() {
			files[fileName(c.Title)+".svg"] = []byte(c.StandaloneSVG())
		}
	}
	return files
}

// fileName keeps letters and digits of a title, in lower case.
func fileName(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}

// pageData is what the template works with.
type pageData struct {
	*RunPage
	Style  template.CSS
	Script template.JS
	Boards []pageBoard
}

// pageBoard is a replay with its number on the page.
type pageBoard struct {
	Replay
	Number int
	Run    string
}

// Data is what the script draws.
func (b pageBoard) Data() any {
	return struct {
		Board  BoardData `json:"board"`
		Frames []Frame   `json:"frames"`
	}{b.Board, b.Frames}
}

// Last is the highest value of the slider.
func (b pageBoard) Last() int { return len(b.Frames) - 1 }

// WriteHTML writes the page.
func (p *RunPage) WriteHTML(w io.Writer) error {
	d := pageData{RunPage: p, Style: template.CSS(source("run.css") + chartStyle), Script: template.JS(source("run.js"))}
	for _, r := range p.Runs {
		for _, replay := range r.Replays {
			b := pageBoard{Replay: replay, Number: len(d.Boards)}
			if len(p.Runs) > 1 {
				b.Run = r.Name
			}
			d.Boards = append(d.Boards, b)
		}
	}
	return runPage.Execute(w, d)
}

// Day is a time as pages tell it.
func Day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
