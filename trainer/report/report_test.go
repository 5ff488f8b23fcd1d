package report

import (
	"bytes"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

func TestPaletteOf(t *testing.T) {
	for _, row := range []struct {
		name  string
		task  v1alpha1.Task
		m     dataset.Metadata
		cells int
		width int
		glyph rune // of token 3
	}{
		{"Sudoku", v1alpha1.TaskSudoku, dataset.Metadata{SeqLen: 81, VocabSize: 11}, 11, 9, '2'},
		{"Maze", v1alpha1.TaskMaze, dataset.Metadata{SeqLen: 900, VocabSize: 6}, 6, 30, 'S'},
		{"ARC", v1alpha1.TaskARC, dataset.Metadata{SeqLen: 900, VocabSize: 12}, 12, 30, '1'},
		{"a square of another task", v1alpha1.TaskCustom, dataset.Metadata{SeqLen: 16, VocabSize: 5}, 5, 4, '3'},
		{"no square", v1alpha1.TaskCustom, dataset.Metadata{SeqLen: 40, VocabSize: 70}, 70, 32, '3'},
		{"a task with other sizes", v1alpha1.TaskSudoku, dataset.Metadata{SeqLen: 6, VocabSize: 3}, 3, 6, '?'},
		{"a vocabulary without end", v1alpha1.TaskCustom, dataset.Metadata{SeqLen: 9, VocabSize: 1 << 24}, 4096, 3, '3'},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := PaletteOf(row.task, &row.m)
			if len(p.Cells) != row.cells || p.Width != row.width || p.cell(3).Glyph != row.glyph {
				t.Errorf("%d cells, width %d, token 3 is %q", len(p.Cells), p.Width, p.cell(3).Glyph)
			}
		})
	}
}

func arcPalette() Palette {
	return PaletteOf(v1alpha1.TaskARC, &dataset.Metadata{SeqLen: 900, VocabSize: 12})
}

func TestBoard_cutsPaddingAway(t *testing.T) {
	p := Palette{Width: 4, Pad: 0}
	for _, row := range []struct {
		name          string
		tokens        []int32
		width, height int
		want          []int32
	}{
		{"around a grid", []int32{0, 0, 0, 0, 0, 2, 3, 0, 0, 4, 0, 0}, 2, 2, []int32{2, 3, 4, 0}},
		{"nothing else", []int32{0, 0, 0, 0}, 4, 1, []int32{0, 0, 0, 0}},
		{"positions without labels", []int32{-100, -100, 5, -100}, 1, 1, []int32{5}},
		{"a line that is not full", []int32{1, 2, 3, 4, 5}, 4, 2, []int32{1, 2, 3, 4, 5, -1, -1, -1}},
		{"nothing at all", nil, 1, 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := p.Board(row.tokens, make([]Mark, len(row.tokens)))
			if b.Width != row.width || b.Height != row.height || !slices.Equal(b.Tokens, row.want) || len(b.Marks) != len(b.Tokens) {
				t.Errorf("got %+v", b)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	got := Compare([]int32{1, 1, 3, 1}, []int32{4, 2, 3, 1}, []int32{2, 2, 3, 1}, []int32{2, 9, 3, -100})
	if want := []Mark{Filled | Changed, Filled | Wrong, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Compare(nil, nil, []int32{7}, nil); !slices.Equal(got, []Mark{0}) {
		t.Errorf("nothing to compare with: %v", got)
	}
}

func TestText(t *testing.T) {
	p := PaletteOf(v1alpha1.TaskSudoku, &dataset.Metadata{SeqLen: 81, VocabSize: 11})
	tokens, marks := slices.Repeat([]int32{2}, 81), make([]Mark, 81)
	tokens[0], tokens[1], marks[2], marks[3], marks[4] = 1, 99, Changed, Wrong|Changed, Filled
	b := p.Board(tokens, marks)
	plain := p.Text(b, false)
	if first, _, _ := strings.Cut(plain, "\n"); first != ". ? 1*| 1!1 1 | 1 1 1" {
		t.Errorf("the first line is %q", first)
	}
	if strings.Count(plain, "\n") != 11 || !strings.Contains(plain, "------+-------+-------\n") {
		t.Errorf("got\n%s", plain)
	}
	coloured := p.Text(b, true)
	for _, want := range []string{"\x1b[32;7m1\x1b[0m ", "\x1b[31;7m1\x1b[0m ", "\x1b[32m1\x1b[0m "} {
		if !strings.Contains(coloured, want) {
			t.Errorf("%q is missing in %q", want, coloured)
		}
	}
}

func sheetOf(p Palette, tiles int, tokens ...int32) Sheet {
	s := Sheet{Palette: p}
	for range tiles {
		s.Tiles = append(s.Tiles, Tile{Caption: "a caption that is much longer than there is room for in a tile", Input: p.Board(tokens, nil), Label: p.Board(tokens, nil)})
	}
	return s
}

// Boards of any size and tokens of any value can be drawn.
func TestSheet_drawsAnything(t *testing.T) {
	plain := PaletteOf(v1alpha1.TaskCustom, &dataset.Metadata{SeqLen: 4096, VocabSize: 300})
	for name, s := range map[string]Sheet{
		"no examples":   sheetOf(plain, 0),
		"one cell":      sheetOf(plain, 1, 299),
		"wide boards":   sheetOf(plain, 3, make([]int32, 4096)...),
		"foreign words": sheetOf(arcPalette(), 5, -100, 0, 1, 12, 1<<30, -1),
		"no tokens":     sheetOf(plain, 2),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := s.WritePNG(&out); err != nil {
				t.Fatal(err)
			}
			if _, err := png.Decode(&out); err != nil {
				t.Error(err)
			}
			page := Page{Title: name, Sheets: []NamedSheet{{"examples", s}}}
			out.Reset()
			if err := page.WriteHTML(&out); err != nil || strings.Count(out.String(), "<svg") != 2*len(s.Tiles) {
				t.Errorf("%d boards of %d tiles, %v", strings.Count(out.String(), "<svg"), len(s.Tiles), err)
			}
		})
	}
}

// The colours of a grid are where its tokens are.
func TestSheet_paintsTokens(t *testing.T) {
	p := arcPalette()
	s := sheetOf(p, 1, 3, 4)
	var out bytes.Buffer
	if err := s.WritePNG(&out); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	cell := s.Tiles[0].cellSize()
	for i, token := range []int{3, 4} {
		want := p.Cells[token].Fill
		r, g, b, _ := img.At(gap+i*cell+cell/2, gap+caption+cell/2).RGBA()
		if uint8(r>>8) != want.R || uint8(g>>8) != want.G || uint8(b>>8) != want.B {
			t.Errorf("token %d is painted %d %d %d, want %v", token, r>>8, g>>8, b>>8, want)
		}
	}
}

func TestPage_escapesWhatComesFromOutside(t *testing.T) {
	hostile := `"><script>alert(1)</script>`
	tile := Tile{Caption: hostile}
	page := Page{
		Title: hostile, Tables: []Table{{hostile, []string{hostile}, [][]string{{hostile}}}},
		Bars:   []Bars{{hostile, []BarValue{{hostile, hostile, 7}}}},
		Sheets: []NamedSheet{{hostile, Sheet{Palette: arcPalette(), Tiles: []Tile{tile}}}},
	}
	var out bytes.Buffer
	if err := page.WriteHTML(&out); err != nil || strings.Contains(out.String(), "<script") || !strings.Contains(out.String(), "width:100.00%") {
		t.Errorf("%v\n%s", err, &out)
	}
}
