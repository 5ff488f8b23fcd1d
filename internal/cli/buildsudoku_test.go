package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	oneEasy = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
	oneHard = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
)

// hrm runs a command with text on its standard input.
func hrm(t *testing.T, in string, args ...string) (status int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), append([]string{"hrm"}, args...), "test", strings.NewReader(in), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func textFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRate_writesPuzzlesAndRatings(t *testing.T) {
	want := "puzzle,rating\n" + oneEasy + ",0\n"
	for name, in := range map[string]string{
		"bare lines":                   oneEasy + "\n",
		"zeros for blanks":             strings.ReplaceAll(oneEasy, ".", "0"),
		"puzzle and rating":            "puzzle,rating\n" + oneEasy + ",99\n",
		"the columns of a publication": "source,question,answer,rating\nx," + oneEasy + ",,99\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := textFile(t, t.TempDir(), "puzzles", in)
			for _, args := range [][]string{{"data", "rate"}, {"data", "rate", "-"}, {"data", "rate", file}} {
				if status, out, errOut := hrm(t, in, args...); status != exitDone || out != want {
					t.Errorf("%v ends with %d: %s%s", args, status, out, errOut)
				}
			}
		})
	}
}

func TestRate_keepsTheOrderAndTellsHardFromEasy(t *testing.T) {
	_, out, _ := hrm(t, oneHard+"\n"+oneEasy+"\n"+oneHard+"\n", "data", "rate")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || lines[1] != lines[3] || !strings.HasPrefix(lines[1], oneHard) || strings.HasSuffix(lines[1], ",0") || lines[2] != oneEasy+",0" {
		t.Errorf("got\n%s", out)
	}
}

func TestRate_saysWhichLineIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
		args     []string
		status   int
	}{
		"no board":           {oneEasy + "\nhello\n", "standard input:2: puzzle: a board has 81 cells", nil, exitData},
		"several solutions":  {oneEasy + "\n" + strings.Repeat(".", 81) + "\n", "standard input:2: the puzzle has several solutions", nil, exitData},
		"no solution":        {"55" + oneEasy[2:] + "\n", "standard input:1: the puzzle has no solution", nil, exitData},
		"nothing":            {"", "standard input: holds no puzzle", nil, exitData},
		"a file that is not": {"", "no such file", []string{"/none"}, exitUsage},
		"two files":          {"", "accepts at most 1", []string{"a", "b"}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errOut := hrm(t, c.in, append([]string{"data", "rate"}, c.args...)...)
			if status != c.status || !strings.Contains(errOut, c.want) || out != "" {
				t.Errorf("ends with %d: %s%s, want %d and %q", status, out, errOut, c.status, c.want)
			}
		})
	}
}

func TestBuildSudokuHard_saysWhatItMade(t *testing.T) {
	folder, out := t.TempDir(), t.TempDir()
	sample := filepath.Join(folder, "17_clue.csv")
	if status, _, errOut := hrm(t, "", "data", "sample", "--out", sample, "--puzzles", "40", "--blanks", "40"); status != exitDone {
		t.Fatal(errOut)
	}
	hard := filepath.Join(folder, "forum_hardest_1905_11plus.csv")
	if status, _, errOut := hrm(t, "", "data", "sample", "--out", hard, "--puzzles", "70", "--blanks", "40", "--seed", "1"); status != exitDone {
		t.Fatal(errOut)
	}
	status, said, errOut := hrm(t, "", "data", "build", "sudoku-hard", "--source", folder, "--out", out, "--subsample", "50", "--augmentations", "3")
	if status != exitDone {
		t.Fatal(errOut)
	}
	for _, want := range []string{
		": 110 puzzles read, 0 of them twice; 50 originals and 200 examples to train on, ",
		"forum_hardest_1905_11plus      70 puzzles,     32 originals to train on,",
		"17_clue                        40 puzzles,     18 originals to train on,",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in\n%s", want, said)
		}
	}
}

func TestBuildSudoku_refusesFlagsThatMakeNoSense(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no source":           {[]string{"--out", "x"}, "--source is required"},
		"no originals":        {[]string{"--source", "x", "--out", "x", "--subsample", "0"}, "--subsample must be at least 1"},
		"bounds that cross":   {[]string{"--source", "x", "--out", "x", "--min-rating", "5", "--max-rating", "4"}, "--max-rating is below --min-rating"},
		"a rating below zero": {[]string{"--source", "x", "--out", "x", "--max-rating", "-1"}, "--max-rating must be at least 0"},
		"no variants":         {[]string{"--source", "x", "--out", "x", "--augmentations", "-1"}, "--augmentations must be from 0 to 100000, not -1"},
	} {
		for _, command := range []string{"sudoku", "sudoku-hard"} {
			t.Run(command+", "+name, func(t *testing.T) {
				status, _, errOut := hrm(t, "", append([]string{"data", "build", command}, c.args...)...)
				if status != exitUsage || !strings.Contains(errOut, c.want) {
					t.Errorf("ends with %d: %s", status, errOut)
				}
			})
		}
	}
}
