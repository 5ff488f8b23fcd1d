package custom

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// text is a grid as ParseGrid reads it.
func (g Grid) text() string {
	rows := make([]string, g.Height)
	for r := range rows {
		rows[r] = strings.ReplaceAll(fmt.Sprint(g.Values[r*g.Width:(r+1)*g.Width]), " ", ",")
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func TestParseGrid_readsRectanglesAndSequences(t *testing.T) {
	for text, want := range map[string]string{
		"[[0,1],[2,3]]":                  "[[0,1],[2,3]]",
		" [ [ 0 , 1 ] ,\n\t[ 2 , 3 ] ] ": "[[0,1],[2,3]]",
		"[7]":                            "[[7]]",
		"[1, 2, 3]":                      "[[1,2,3]]",
		"[[1],[65533]]":                  "[[1],[65533]]",
		"[" + strings.Repeat("1,", MaxCells-1) + "2]": "[[" + strings.Repeat("1,", MaxCells-1) + "2]]",
	} {
		if g, err := ParseGrid([]byte(text)); err != nil || g.text() != want || len(g.Values) != g.Height*g.Width {
			t.Errorf("%.40s became %.40s: %v", text, g.text(), err)
		}
	}
}

func TestParseGrid_saysWhereItIsNoGrid(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "not JSON",
		"[[1,2]":                    "not JSON",
		"[01]":                      "not JSON",
		`"x"`:                       `is "\"x\"": expected a list of rows`,
		"{}":                        "expected a list of rows",
		"[]":                        "is empty",
		"[[]]":                      "row 1 is empty",
		"[[1],[]]":                  "row 2 is empty",
		"[[1,2],[3]]":               "row 2 has 1 cells, row 1 has 2: expected a rectangle",
		"[[1,2],3]":                 `row 2 is "3]": expected a list`,
		"[1,[2]]":                   "column 2 is \"[2]]\": expected a whole number",
		"[[1,-2]]":                  "row 1 column 2 is \"-2]]\": expected a whole number from 0 to 65533",
		"[[1],[1.5]]":               "row 2 column 1 is \"1.5]]\"",
		"[1e3]":                     "column 1 is \"1e3]\"",
		"[65534]":                   "column 1 is \"65534]\"",
		"[null]":                    "column 1 is \"null]\"",
		`["1"]`:                     "column 1 is",
		"[[[1]]]":                   "row 1 column 1 is \"[1]]]\"",
		"[99999999999999999999999]": "column 1 is",
		"[" + strings.Repeat("1,", MaxCells) + "2]": "more than 16384 cells",
	} {
		if g, err := ParseGrid([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v and %v, want %q", text, g, err, want)
		}
	}
}

const turned = `{"input": [[0,1],[2,3]], "output": [[3,2],[1,0]], "id": "turned"}`

func TestParse(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(turned + "\n"))
	_ = z.Close()
	for name, text := range map[string]string{"plain": turned, "gzip": packed.String(), "from Windows": "\xef\xbb\xbf\r\n" + turned + "\r\n"} {
		got, err := Parse(t.Context(), "f", strings.NewReader(text))
		if err != nil || len(got) != 1 || got[0].ID != "turned" || got[0].Input.text() != "[[0,1],[2,3]]" || got[0].Output.text() != "[[3,2],[1,0]]" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	got, err := Parse(t.Context(), "f", strings.NewReader("\n{\"output\":[1],\"input\":[2,3],\"id\":-7}\n{\"input\":[2],\"output\":[3]}"))
	if err != nil || len(got) != 2 || got[0].ID != "-7" || got[0].Line != 2 || got[1].ID != "" || got[1].Line != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParse_namesLineAndKeyOfWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		reason     string
	}{
		{"nothing", "\n\n", 0, "holds no example"},
		{"no JSON", turned + "\nx", 2, `not a JSON object (invalid character 'x' looking for beginning of value): expected {"input"`},
		{"a list", "[1]", 1, "not a JSON object"},
		{"half an object", `{"input": [1], "output": [`, 1, "not a JSON object (unexpected end"},
		{"null", "null", 1, `"input" is missing`},
		{"no input", `{"output": [1]}`, 1, `"input" is missing: expected the keys input and output`},
		{"no output", `{"input": [1]}`, 1, `"output" is missing`},
		{"an unknown key", `{"input": [1], "output": [1], "answer": [1]}`, 1, `"answer": unknown key: expected input, output and id`},
		{"a bad grid", turned + "\n" + `{"input": [[1],[2,3]], "output": [1]}`, 2, `"input": row 2 has 2 cells, row 1 has 1`},
		{"a bad answer", `{"input": [1], "output": [-1]}`, 1, `"output": column 1 is "-1]"`},
		{"an id that is a list", `{"input": [1], "output": [1], "id": [1]}`, 1, `"id": expected a string or a whole number`},
		{"an id that is a fraction", `{"input": [1], "output": [1], "id": 1.5}`, 1, `"id": expected a string or a whole number`},
		{"an empty id", `{"input": [1], "output": [1], "id": ""}`, 1, `"id": expected 1 to 256 bytes`},
		{"the blank id", `{"input": [1], "output": [1], "id": "<blank>"}`, 1, `that are not <blank>`},
		{"an endless line", turned + "\n" + strings.Repeat(" ", maxLine+1), 2, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(t.Context(), "f.jsonl", strings.NewReader(c.text))
			var bad *dataerror.Error
			if !errors.As(err, &bad) || bad.Source != "f.jsonl" || bad.Line != c.line || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("got %v and %v, want line %d and %q", got, err, c.line, c.reason)
			}
		})
	}
}

func TestParse_stopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Parse(ctx, "f", strings.NewReader(turned)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// sequence is an example of sequences.
func sequence(id string, input, output []uint16) Example {
	return Example{ID: id, Input: Grid{1, len(input), input}, Output: Grid{1, len(output), output}}
}

func TestDeduplicate_comparesGridsAndIds(t *testing.T) {
	examples := []Example{
		sequence("", []uint16{1, 2}, []uint16{3}), sequence("", []uint16{1}, []uint16{2, 3}), sequence("a", []uint16{1, 2}, []uint16{3}),
		sequence("", []uint16{1, 2}, []uint16{4}), {Input: Grid{2, 1, []uint16{1, 2}}, Output: Grid{1, 1, []uint16{3}}},
	}
	twice := slices.Concat(examples, examples)
	if got := Deduplicate(twice); len(got) != len(examples) {
		t.Errorf("%d of %d examples are left", len(got), len(examples))
	}
}

func TestSplit_keepsTogetherWhatAsksTheSame(t *testing.T) {
	var examples []Example
	for i := range 300 {
		examples = append(examples, sequence("", []uint16{uint16(i / 3)}, []uint16{uint16(i)}))
	}
	train, test := Split(examples, 60, 1)
	if len(train) != 240 || len(test) != 60 {
		t.Errorf("%d + %d examples, want 240 + 60", len(train), len(test))
	}
	if left := DropAsked(slices.Clone(train), test); len(left) != len(train) {
		t.Errorf("%d training examples ask what a test example asks", len(train)-len(left))
	}
	if left := DropAsked(slices.Clone(train), train[:1]); len(left) != len(train)-3 {
		t.Errorf("%d training examples ask the same, want 3", len(train)-len(left))
	}
	order := func(e []Example) bool {
		return slices.IsSortedFunc(e, func(a, b Example) int { return int(a.Output.Values[0]) - int(b.Output.Values[0]) })
	}
	if few := Subsample(train, 50, 1); len(few) != 50 || !order(few) || !order(train) || !order(test) {
		t.Error("the order of the source is not kept")
	}
	same := func(a, b []Example) bool {
		return slices.EqualFunc(a, b, func(x, y Example) bool { return x.Output.Values[0] == y.Output.Values[0] })
	}
	_, again := Split(examples, 60, 1)
	_, other := Split(examples, 60, 2)
	if !same(test, again) || same(test, other) {
		t.Error("the split must depend on the seed, and on nothing else")
	}
}

func TestShape_takesInTheLargestGrids(t *testing.T) {
	var s Shape
	s.Extend([]Example{sequence("", []uint16{1, 2, 3}, []uint16{9}), {Input: Grid{2, 1, []uint16{1, 2}}, Output: Grid{1, 1, []uint16{3}}}})
	if s != (Shape{2, 3, 11}) {
		t.Fatalf("got %+v", s)
	}
	for text, want := range map[string]string{
		"[[1],[2]]":                           "2 0 0 3 0 0",
		"[7,8,9]":                             "8 9 10 0 0 0",
		` {"input": [[0]], "output": [[1]]} `: "1 0 0 0 0 0",
	} {
		tokens, err := s.ParseText(text)
		if err != nil || strings.Trim(fmt.Sprint(tokens), "[]") != want {
			t.Errorf("%s became %v, %v", text, tokens, err)
		}
	}
	for text, want := range map[string]string{
		"[1,2,3,4]":       "is 1x4: the model knows grids up to 2x3",
		"[[1],[2],[3]]":   "is 3x1: the model knows grids up to 2x3",
		"[1,10]":          "row 1 column 2 is 10: the model knows values up to 9",
		`{"output": [1]}`: `expected a grid, or a line with one under "input"`,
		"1 2 3":           "not JSON",
	} {
		if _, err := s.ParseText(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if got, want := s.Draw([]int32{1, 10, 0, 2, 3, 4}), "0 9 .\n1 2 3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.VocabSize = 102
	if got, want := s.Draw([]int32{1, 101, 0, 2, 3, 4}), "  0 100   .\n  1   2   3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(turned)
	f.Add(`{"input": [1,2], "output": [[3],[4]]}` + "\n\n" + turned)
	f.Add(`{"id": 1, "input": [1,2], "output": []}`)
	f.Add("\x1f\x8b\x08")
	f.Fuzz(func(t *testing.T, text string) {
		examples, err := parse(context.Background(), "f", strings.NewReader(text), 1<<19)
		var bad *dataerror.Error
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is not a data error", err)
		}
		for _, e := range examples {
			for _, g := range []Grid{e.Input, e.Output} {
				if g.Height < 1 || g.Width < 1 || g.Height*g.Width != len(g.Values) {
					t.Fatalf("line %d: a grid of %dx%d has %d cells", e.Line, g.Height, g.Width, len(g.Values))
				}
				if again, err := ParseGrid([]byte(g.text())); err != nil || !slices.Equal(again.Values, g.Values) || again.Height != g.Height {
					t.Fatalf("line %d: %s is read as %s: %v", e.Line, g.text(), again.text(), err)
				}
			}
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add("[[1,2],[3,4]]", 2, 3)
	f.Add(`{"input": [1]}`, 1, 1)
	f.Fuzz(func(t *testing.T, text string, height, width int) {
		if height < 1 || width < 1 || height > 9 || width > 9 {
			t.Skip()
		}
		s := Shape{height, width, 12}
		tokens, err := s.ParseText(text)
		if err != nil {
			return
		}
		if lines := strings.Count(s.Draw(tokens), "\n"); lines != height {
			t.Fatalf("%q is drawn in %d lines, want %d", text, lines, height)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	row := "[" + strings.Repeat("7,", 29) + "7]"
	grid := "[" + strings.Repeat(row+",", 29) + row + "]"
	line := `{"input":` + grid + `,"output":` + grid + "}\n"
	text := strings.Repeat(line, 100)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(b.Context(), "f", strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
