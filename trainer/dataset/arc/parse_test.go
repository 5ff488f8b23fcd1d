package arc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

const oneTask = `{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]}`

func compressed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestParseTask_readsPlainAndGzip(t *testing.T) {
	want := Task{"x", []Pair{{grid(t, "1"), grid(t, "2")}}, []Pair{{grid(t, "3"), grid(t, "4")}}}
	for name, text := range map[string]string{"plain": oneTask, "gzip": compressed(t, oneTask)} {
		got, err := ParseTask("f", "x", strings.NewReader(text))
		if err != nil || got.ID != want.ID || !slices.EqualFunc(got.Train, want.Train, Pair.Equal) || !slices.EqualFunc(got.Test, want.Test, Pair.Equal) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestParseTask_saysWhereItIsWrong(t *testing.T) {
	long := "[" + strings.Repeat("[1],", 30) + "[1]]"
	wide := "[[" + strings.Repeat("1,", 30) + "1]]"
	train := func(input, output string) string {
		return fmt.Sprintf(`{"train": [{"input": [[1]], "output": [[2]]}, {"input": %s, "output": %s}], "test": [{"input": [[3]]}]}`, input, output)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":                  {"{", "task x: expected {"},
		"a list":                   {"[]", "task x: expected {"},
		"no pairs":                 {"{}", "task x: 0 train pairs and 0 test pairs: a task has at least one of each"},
		"no input":                 {`{"train": [{"output": [[1]]}], "test": [{"input": [[1]]}]}`, "train pair 1: input: missing"},
		"no output":                {`{"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}`, "train pair 1 has no output"},
		"an empty grid":            {train("[]", "[[1]]"), "train pair 2: input: 0 rows: expected 1 to 30"},
		"an empty row":             {train("[[]]", "[[1]]"), "train pair 2: input: 0 columns: expected 1 to 30"},
		"null":                     {train("null", "[[1]]"), "train pair 2: input: 0 rows"},
		"too many rows":            {train("[[1]]", long), "train pair 2: output: 31 rows: expected 1 to 30"},
		"too many columns":         {train("[[1]]", wide), "train pair 2: output: 31 columns: expected 1 to 30"},
		"a ragged grid":            {train("[[1,2],[3]]", "[[1]]"), "input: row 2 has 1 cells: expected 2, as many as row 1"},
		"a colour too many":        {train("[[1,2],[3,10]]", "[[1]]"), `input: row 2, column 2 is "10": expected a colour from 0 to 9`},
		"a negative colour":        {train("[[-1]]", "[[1]]"), `row 1, column 1 is "-1"`},
		"a fraction":               {train("[[1.5]]", "[[1]]"), `row 1, column 1 is "1.5"`},
		"a null cell":              {train("[[null]]", "[[1]]"), `row 1, column 1 is ""`},
		"text":                     {train(`[["red"]]`, "[[1]]"), "expected a list of rows"},
		"no rows":                  {train("[1]", "[[1]]"), "expected a list of rows"},
		"a gzip that ends early":   {compressed(t, oneTask)[:20], "ends too early"},
		"a gzip with a wrong byte": {strings.TrimSuffix(compressed(t, oneTask), "\x00") + "\x01", "damaged"},
		"only a gzip's name":       {"\x1f\x8b", "ends too early"},
	} {
		_, err := ParseTask("dir/x.json", "x", strings.NewReader(c.text))
		var bad *dataerror.Error
		if !errors.As(err, &bad) || bad.Source != "dir/x.json" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestParseTask_namesMustBeTold(t *testing.T) {
	for _, id := range []string{"", "x_t3_0123456789", "a\nb", strings.Repeat("x", 129)} {
		if _, err := ParseTask("f", id, strings.NewReader(oneTask)); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
}

func TestParseTask_refusesWhatUnpacksToTooMuch(t *testing.T) {
	bomb := compressed(t, strings.Repeat(" ", MaxBytes+1))
	_, err := ParseTask("f", "x", strings.NewReader(bomb))
	if err == nil || !strings.Contains(err.Error(), "holds more than") {
		t.Errorf("got %v", err)
	}
}

const twoTasks = `{
  "a": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}, {"input": [[5]]}]},
  "b": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}
}`

func TestParseSolutions_answersEveryTestInput(t *testing.T) {
	tasks, err := ParseChallenges("c", strings.NewReader(twoTasks))
	if err != nil {
		t.Fatal(err)
	}
	if err := ParseSolutions("s", strings.NewReader(`{"b": [[[8]]], "a": [[[6]], [[7,7]]]}`), tasks); err != nil {
		t.Fatal(err)
	}
	if a, b := tasks[0], tasks[1]; a.ID != "a" || !a.Test[1].Output.Equal(grid(t, "77")) || !b.Test[0].Output.Equal(grid(t, "8")) {
		t.Errorf("%+v", tasks)
	}
}

func TestParseSolutions_mustBelongToTheChallenges(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": [[[6]], [[7]]]}`:                           "task b has no solution",
		`{"a": [[[6]]], "b": [[[8]]]}`:                    "s:1: task a: 1 solutions for 2 test inputs",
		`{"a": [[[6]], [[7]]], "b": [[[8]]], "c": []}`:    "task c is not in the file of challenges",
		`{"a": [[[6]], [[7],[1,2]]], "b": [[[8]]]}`:       "task a: solution of test input 2: row 2 has 2 cells",
		"{\"a\": [[[6]], [[7]]],\n\"a\": [[[6]], [[7]]]}": "s:2: task a is there twice",
		`{"a": {}}`: "no list of grids",
		`[]`:        "not a JSON object",
		``:          "not a JSON object",
		`{}`:        "holds no task",
	} {
		tasks, err := ParseChallenges("c", strings.NewReader(twoTasks))
		if err != nil {
			t.Fatal(err)
		}
		err = ParseSolutions("s", strings.NewReader(text), tasks)
		var bad *dataerror.Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestParseSolutions_refusesTwoDifferentAnswers(t *testing.T) {
	tasks, err := ParseChallenges("c", strings.NewReader(`{"a": `+oneTask+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := ParseSolutions("s", strings.NewReader(`{"a": [[[5]]]}`), tasks); err == nil || !strings.Contains(err.Error(), "another output") {
		t.Errorf("got %v", err)
	}
}

func TestParseChallenges_saysWhereItIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"{\"a\": " + oneTask + ",\n\"a\": " + oneTask + "}":            "c:2: task a is there twice: remove one",
		"{\"a\": " + oneTask + ",\n\"b\": {\"train\": 5}}":             "c:2: task b: expected {",
		"{\"a\": " + oneTask + ",\n\"b\": {":                           "c:2: task b: the JSON ends too early",
		`{"a": ` + oneTask + `} x`:                                     "something follows",
		`{"a_t0_0123456789": ` + oneTask + `}`:                         "is that of a variant",
		`{"a": ` + strings.Replace(oneTask, "[[2]]", "[[2],[3,4]]", 1): "train pair 1: output: row 2",
	} {
		_, err := ParseChallenges("c", strings.NewReader(text))
		var bad *dataerror.Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestParseGrid(t *testing.T) {
	want := Grid{2, 3, []uint8{0, 1, 2, 3, 4, 5}}
	for _, text := range []string{"012\n345", " 012 \r\n 345\n\n", "[[0,1,2],[3,4,5]]", "\n[[0, 1, 2],\n [3, 4, 5]]\n"} {
		if got, err := ParseGrid(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, reason := range map[string]string{
		"":                        "empty",
		"01\n2":                   "row 2 has 1 cells",
		"0x1":                     "row 1, column 2 is 'x'",
		"[[0,1],[2]]":             "row 2 has 1 cells",
		"[[0,1]":                  "list of rows",
		strings.Repeat("1", 31):   "more than 30",
		strings.Repeat("1\n", 31): "more than 30",
	} {
		if _, err := ParseGrid(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: got %v, want %q", text, err, reason)
		}
	}
}

func TestWriteTasks_writesWhatParseChallengesReads(t *testing.T) {
	want := []Task{example(t, "evaluation", "00576224"), example(t, "evaluation", "6ea4a07e")}
	want[1].Test[0].Output = Grid{} // an answer that nobody knows
	var b bytes.Buffer
	if err := WriteTasks(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ParseChallenges("f", &b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(x, y Task) bool {
		return x.ID == y.ID && slices.EqualFunc(x.Train, y.Train, Pair.Equal) && slices.EqualFunc(x.Test, y.Test, Pair.Equal)
	}) {
		t.Errorf("got %+v", got)
	}
}

// checked wants what is read to be what the rest of the package relies on.
func checked(t *testing.T, tasks []Task) {
	for _, task := range tasks {
		if len(task.Train) == 0 || len(task.Test) == 0 {
			t.Fatalf("a task without pairs: %+v", task)
		}
		for i, p := range task.Pairs() {
			for _, g := range []Grid{p.Input, p.Output} {
				if len(g.Cells) != g.Rows*g.Cols || g.Rows > MaxSide || g.Cols > MaxSide || len(g.Cells) > 0 && slices.Max(g.Cells) >= Colours {
					t.Fatalf("pair %d has grid %v", i, g)
				}
			}
			if !p.Input.Known() || i < len(task.Train) && !p.Output.Known() {
				t.Fatalf("pair %d lacks a grid", i)
			}
		}
	}
}

func FuzzParseTask(f *testing.F) {
	f.Add([]byte(oneTask))
	f.Add([]byte(compressed(f, oneTask)))
	f.Fuzz(func(t *testing.T, text []byte) {
		task, err := ParseTask("f", "x", bytes.NewReader(text))
		if err == nil {
			checked(t, []Task{task})
		}
	})
}

func FuzzParseCombined(f *testing.F) {
	f.Add([]byte(twoTasks), []byte(`{"b": [[[8]]], "a": [[[6]], [[7,7]]]}`))
	f.Add([]byte(twoTasks), []byte(`{"b": [[[8]]], "b": [[[8]]]}`))
	f.Fuzz(func(t *testing.T, challenges, solutions []byte) {
		tasks, err := ParseChallenges("c", bytes.NewReader(challenges))
		if err != nil {
			return
		}
		checked(t, tasks)
		if ParseSolutions("s", bytes.NewReader(solutions), tasks) == nil {
			checked(t, tasks)
		}
	})
}

func FuzzParseGrid(f *testing.F) {
	f.Add("[[1,2],[3,4]]")
	f.Add("12\n34")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGrid(text)
		if err == nil && !Crop(g.Tokens()).Equal(g) {
			t.Errorf("%q reads as %v", text, g)
		}
	})
}
