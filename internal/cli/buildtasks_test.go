package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBuildMazeAndCustom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	mazes := write("mazes.csv", "source,question,answer,rating\na,S  #  # G,Soo# o# G,5\nb,S G   ## ,,1\n")
	wrong := write("wrong.csv", "source,question,answer,rating\na,S  #  # G,S  # o# G,5\n")
	pairs := write("pairs.jsonl", "{\"input\": [1,2], \"output\": [2,1]}\n{\"input\": [3], \"output\": [3], \"id\": 1}\n")
	out := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"mazes read", []string{"maze", "--source", mazes, "--out", out("a")}, 0, "2 mazes read, 0 of them twice, 0 left out that are images of a test maze; 1 mazes and 1 examples to train on, 1 held out"},
		{"mazes generated", []string{"maze", "--generate", "20", "--size", "6", "--min-path", "6", "--augment", "--out", out("b")}, 0, "random grids; 18 mazes and 144 examples to train on, 2 held out"},
		{"a wrong answer", []string{"maze", "--source", wrong, "--out", out("c")}, exitData, "wrong.csv:2: answer: the path has a gap after row 1 column 1"},
		{"a path that cannot be", []string{"maze", "--generate", "2", "--size", "5", "--min-path", "30", "--out", out("c")}, exitData, "lower it, or raise dataset.maze.size"},
		{"no source", []string{"maze", "--out", out("c")}, exitUsage, "either --source or --generate is needed"},
		{"two sources", []string{"maze", "--source", mazes, "--generate", "9", "--out", out("c")}, exitUsage, "either --source or --generate is needed"},
		{"no place", []string{"maze", "--source", mazes}, exitUsage, "--out is missing"},
		{"a size too large", []string{"maze", "--generate", "9", "--size", "65", "--out", out("c")}, exitUsage, "--size must be from 5 to 64, not 65"},
		{"pairs", []string{"custom", "--source", pairs, "--out", out("d")}, 0, "2 examples read, 0 of them twice, 0 left out that ask what a test example asks; 1 puzzles and 1 examples to train on, 1 held out"},
		{"arrays", []string{"custom", "--source", out("a"), "--out", out("e")}, 0, "1 puzzles and 1 examples to train on, 1 held out"},
		{"no pairs", []string{"custom", "--source", mazes, "--out", out("f")}, exitData, "mazes.csv:1: not a JSON object"},
		{"no source of pairs", []string{"custom", "--out", out("f")}, exitUsage, "--source is required"},
		{"no mazes to train on", []string{"maze", "--source", mazes, "--subsample", "-3", "--out", out("c")}, exitUsage, "--subsample must be at least 1"},
		{"all held out", []string{"custom", "--source", pairs, "--test-fraction", "1.00", "--out", out("f")}, exitUsage, "--test-fraction must be a decimal number from 0 to below 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said bytes.Buffer
			code := run(t.Context(), append([]string{"hrm", "data", "build"}, c.args...), "test", strings.NewReader(""), &said, &said)
			if code != c.code || !strings.Contains(said.String(), c.want) {
				t.Errorf("exit code %d, want %d, and %q in\n%s", code, c.code, c.want, said.String())
			}
		})
	}
}

func TestSeldom_passesOnWhatComesAfterAWhile(t *testing.T) {
	now := time.Unix(0, 0)
	var said []string
	show := seldom(10*time.Second, func() time.Time { return now }, func(text string) { said = append(said, text) })
	for second := range 25 {
		now = time.Unix(int64(second), 0)
		show("count", second, 25)
	}
	if want := []string{"count: 10 of 25", "count: 20 of 25"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}
