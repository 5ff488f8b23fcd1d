package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// inspectFlags say what 'hrm data inspect' shows.
type inspectFlags struct {
	split     string
	index     int
	examples  int
	png, html string
}

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Check a dataset and say and draw what is in it",
		Long: `inspect loads and checks both halves of a dataset in the official layout, counts what is in them, and draws an example.
--png and --html draw a sheet of examples, input beside label; the page also has the counts, and needs nothing but itself.`,
		Example: `  hrm data inspect ./sudoku
  hrm data inspect ./sudoku --split test --index 7
  hrm data inspect ./arc --html arc.html --png arc.png --examples 48`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return a.inspect(c.Context(), f, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.split, "split", dataset.Train, "half of the dataset that examples are taken from: train or test")
	flags.IntVar(&f.index, "index", 0, "which of its examples is drawn, counted from 0")
	flags.IntVar(&f.examples, "examples", 24, "how many examples a sheet has")
	flags.StringVar(&f.png, "png", "", "file for a picture of examples")
	flags.StringVar(&f.html, "html", "", "file for a page with counts and examples")
	return c
}

// maxTiles keeps sheets to what can be looked at.
const maxTiles = 1000

func (a *app) inspect(ctx context.Context, f inspectFlags, dir string) error {
	switch {
	case f.split != dataset.Train && f.split != dataset.Test:
		return usageError{fmt.Errorf("--split %s: want train or test", f.split)}
	case f.examples < 1 || f.examples > maxTiles:
		return usageError{fmt.Errorf("--examples %d: want 1 to %d", f.examples, maxTiles)}
	}
	i, err := inspectDataset(ctx, dir)
	if err != nil {
		return err
	}
	half := i.half(f.split)
	if f.index < 0 || f.index >= half.data.Examples() {
		return usageError{fmt.Errorf("--index %d: the %s half has %d examples, counted from 0", f.index, f.split, half.data.Examples())}
	}
	text := i.text() + i.example(half, f.index, screenOf(a.out))
	if _, err := io.WriteString(a.out, text); err != nil {
		return err
	}
	if err := writePicture(f.png, func(w io.Writer) error { s := i.sheet(half, f.examples); return s.WritePNG(w) }); err != nil {
		return err
	}
	return writePicture(f.html, func(w io.Writer) error { p := i.page(half, f.examples); return p.WriteHTML(w) })
}

// writePicture makes a file, if one is wanted.
func writePicture(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return usageError{err}
	}
	return errors.Join(write(f), f.Close())
}

// inspection is what was found in a dataset.
type inspection struct {
	dir     string
	task    string
	halves  []inspectedHalf
	rules   dataset.Rules
	palette report.Palette
}

type inspectedHalf struct {
	split string
	data  evalData
	dataset.Statistics
}

func inspectDataset(ctx context.Context, dir string) (*inspection, error) {
	i := &inspection{dir: dir}
	names, err := dataset.ReadIdentifiers(dir)
	if err != nil {
		return nil, err
	}
	for _, split := range []string{dataset.Train, dataset.Test} {
		d, err := dataset.Load(dir, split)
		if err != nil {
			return nil, err
		}
		half := inspectedHalf{split: split, data: evalData{Dataset: d, dir: dir, names: names}}
		if half.data.task, err = dataset.TaskOf(dir, &d.Metadata); err != nil {
			return nil, err
		}
		if half.Statistics, err = d.Describe(ctx); err != nil {
			return nil, err
		}
		i.halves = append(i.halves, half)
	}
	train := i.halves[0].data
	i.task, i.rules, i.palette = string(train.task), dataset.RulesOf(train.task, &train.Metadata), report.PaletteOf(train.task, &train.Metadata)
	return i, nil
}

func (i *inspection) half(split string) inspectedHalf {
	for _, h := range i.halves {
		if h.split == split {
			return h
		}
	}
	return inspectedHalf{}
}

// tables are the counts, as text and page have them.
func (i *inspection) tables() []report.Table {
	counts := report.Table{Title: "Counts", Head: []string{"split", "groups", "puzzles", "examples", "length", "vocab", "identifiers"}}
	spreads := report.Table{Title: "Sizes: least, mean, most", Head: []string{"split", "tokens without padding", "puzzles in a group", "examples of a puzzle"}}
	for _, h := range i.halves {
		counts.Rows = append(counts.Rows, []string{
			h.split, fmt.Sprint(h.Groups), fmt.Sprint(h.Puzzles), fmt.Sprint(h.Examples),
			fmt.Sprint(h.data.SeqLen), fmt.Sprint(h.data.VocabSize), fmt.Sprint(h.data.NumPuzzleIdentifiers),
		})
		spreads.Rows = append(spreads.Rows, []string{h.split, spreadText(h.Length), spreadText(h.PuzzlesPerGroup), spreadText(h.ExamplesPerPuzzle)})
	}
	return []report.Table{counts, spreads}
}

func spreadText(s dataset.Spread) string {
	if s.Min == s.Max {
		return fmt.Sprint(s.Min)
	}
	return fmt.Sprintf("%d, %.1f, %d", s.Min, s.Mean, s.Max)
}

// maxBars is the number of tokens that a histogram shows.
const maxBars = 64

// tokens are those that any input or label holds, of which a histogram shows no more than maxBars, and how many more there are.
func (i *inspection) tokens() (shown []int, more int) {
	for token := range i.halves[0].data.VocabSize {
		switch {
		case !slices.ContainsFunc(i.halves, func(h inspectedHalf) bool { return h.count(h.Inputs, token)+h.count(h.Labels, token) > 0 }):
		case len(shown) < maxBars:
			shown = append(shown, token)
		default:
			more++
		}
	}
	return shown, more
}

// count is how often a token is there.
func (inspectedHalf) count(counts []int64, token int) int64 {
	if token < len(counts) {
		return counts[token]
	}
	return 0
}

func total(counts []int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// tokenShare is a count as people read it.
func tokenShare(n, of int64) string {
	return fmt.Sprintf("%d (%.1f %%)", n, 100*float64(n)/float64(of))
}

// bars are the shares of the tokens of a half.
func (i *inspection) bars(h inspectedHalf, title string, counts []int64) report.Bars {
	b, all := report.Bars{Title: fmt.Sprintf("Tokens of the %s %s", h.split, title)}, total(counts)
	shown, more := i.tokens()
	for _, token := range shown {
		if n := h.count(counts, token); n > 0 {
			b.Bars = append(b.Bars, report.BarValue{Name: i.tokenName(token), Figure: tokenShare(n, all), Share: float64(n) / float64(all)})
		}
	}
	if more > 0 {
		b.Title += fmt.Sprintf(" (%d more are not shown)", more)
	}
	return b
}

// histogram is how often each token is to be found, in the inputs and labels of both halves.
func (i *inspection) histogram() [][]string {
	rows := [][]string{{"token"}}
	for _, h := range i.halves {
		rows[0] = append(rows[0], h.split+" inputs", h.split+" labels")
	}
	shown, more := i.tokens()
	for _, token := range shown {
		row := []string{i.tokenName(token)}
		for _, h := range i.halves {
			for _, counts := range [][]int64{h.Inputs, h.Labels} {
				cell := "-"
				if n := h.count(counts, token); n > 0 {
					cell = tokenShare(n, total(counts))
				}
				row = append(row, cell)
			}
		}
		rows = append(rows, row)
	}
	if more > 0 {
		rows = append(rows, append([]string{fmt.Sprintf("%d more", more)}, make([]string, len(rows[0])-1)...))
	}
	return rows
}

// tokenName is a token and what it is drawn as.
func (i *inspection) tokenName(token int) string {
	if token < len(i.palette.Cells) {
		if glyph := string(i.palette.Cells[token].Glyph); strings.TrimSpace(glyph) != "" && glyph != fmt.Sprint(token) {
			return fmt.Sprintf("%d  %s", token, glyph)
		}
	}
	return fmt.Sprint(token)
}

// text says what was found.
func (i *inspection) text() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: task %s\n", i.dir, i.task)
	for _, t := range i.tables() {
		fmt.Fprintf(&s, "\n%s\n%s", t.Title, table(append([][]string{t.Head}, t.Rows...)))
	}
	fmt.Fprintf(&s, "\nTokens\n%s", table(i.histogram()))
	return s.String()
}

// example draws one.
func (i *inspection) example(h inspectedHalf, index int, at screen) string {
	inputs, labels := h.data.Example(index)
	return fmt.Sprintf("\n%s, input and label\n%s", h.data.caption(h.split, index), sideBySide(i.rules.Draw(inputs, at.colour), i.rules.Draw(visible(labels, h.data.PadID), at.colour), at.width))
}

// visible are labels as tokens that can be drawn: a position without a label looks like padding.
func visible(labels []int32, pad int32) []int32 {
	out := make([]int32, len(labels))
	for i, label := range labels {
		out[i] = label
		if label < 0 {
			out[i] = pad
		}
	}
	return out
}

// sheet takes examples from all over a half.
func (i *inspection) sheet(h inspectedHalf, count int) report.Sheet {
	s := report.Sheet{Palette: i.palette}
	count = min(count, h.data.Examples())
	for k := range count {
		index := k * h.data.Examples() / count
		inputs, labels := h.data.Example(index)
		s.Tiles = append(s.Tiles, report.Tile{
			Caption: h.data.caption(h.split, index),
			Input:   i.palette.Board(inputs, nil),
			Label:   i.palette.Board(labels, report.Compare(inputs, nil, labels, nil)),
		})
	}
	return s
}

func (i *inspection) page(h inspectedHalf, count int) report.Page {
	p := report.Page{Title: fmt.Sprintf("%s: task %s", i.dir, i.task), Tables: i.tables()}
	for _, half := range i.halves {
		p.Bars = append(p.Bars, i.bars(half, "inputs", half.Inputs), i.bars(half, "labels", half.Labels))
	}
	p.Sheets = []report.NamedSheet{{Title: "Examples", Sheet: i.sheet(h, count)}}
	return p
}
