package sudoku

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

const (
	easy         = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
	easySolution = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"
	// Norvig: no solution, but 24 minutes to find out by a search of singles alone
	impossible = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
)

func board(t testing.TB, text string) Board {
	t.Helper()
	b, err := ParseBoard(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func load(t testing.TB, name string) []Puzzle {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	puzzles, err := Parse(context.Background(), name, f)
	if err != nil {
		t.Fatal(err)
	}
	return puzzles
}

// easyPuzzles are most of the tests' puzzles.
const easyPuzzles = "norvig_sudoku10k.csv.gz"

func solved(t testing.TB, n int) []Puzzle {
	t.Helper()
	puzzles := load(t, easyPuzzles)
	puzzles = puzzles[:min(n, len(puzzles))]
	if err := Check(context.Background(), easyPuzzles, puzzles, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return puzzles
}

func TestSolve(t *testing.T) {
	transposedSwap := strings.Replace(easySolution, "4839", "....", 1)
	for _, c := range []struct {
		name, puzzle string
		want         Verdict
		solution     string
	}{
		{"an easy puzzle", easy, Unique, easySolution},
		{"a full board", easySolution, Unique, easySolution},
		{"a full board with four blanks in a row", transposedSwap, Unique, easySolution},
		{"an empty board", strings.Repeat(".", 81), SeveralSolutions, ""},
		{"one clue", "5" + strings.Repeat("0", 80), SeveralSolutions, ""},
		{"a digit twice in a row", "55" + strings.Repeat(".", 79), NoSolution, ""},
		{"a board without room for a digit", "12345678." + strings.Repeat(".", 8) + "9" + strings.Repeat(".", 63), NoSolution, ""},
		{"a contradiction that only a long search finds", impossible, NoSolution, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			solution, got := Solve(board(t, c.puzzle))
			if got != c.want {
				t.Fatalf("verdict %d, want %d", got, c.want)
			}
			if c.solution != "" && solution.String() != c.solution {
				t.Errorf("solution %s, want %s", solution, c.solution)
			}
		})
	}
}

func TestSolve_givesUp(t *testing.T) {
	b := board(t, impossible)
	if s, verdict := solve(&b, 1000); verdict != Undecided || s.guesses != 1000 {
		t.Errorf("verdict %d after %d guesses, want to give up after 1000", verdict, s.guesses)
	}
}

func TestSolve_findsTheOneSolutionOfTheHardestPuzzles(t *testing.T) {
	for _, p := range load(t, "norvig_hardest.csv.gz") {
		solution, verdict := Solve(p.Question)
		if verdict != Unique || !solution.IsSolutionOf(p.Question) {
			t.Errorf("line %d: verdict %d, solution %s", p.Line, verdict, solution)
		}
	}
}

// Removing a clue of a puzzle that has no clue to spare must leave several solutions: the solver may not stop at one.
func TestSolve_seesTheSecondSolution(t *testing.T) {
	p := board(t, easySolution)
	// The rectangle of two digits in two rows and one band: both ways of filling it are right.
	found := false
	for c1 := range 9 {
		for c2 := c1 + 1; c2 < 9; c2++ {
			for r1 := range 9 {
				for r2 := r1 + 1; r2 < 9; r2++ {
					a, b, c, d := 9*r1+c1, 9*r1+c2, 9*r2+c1, 9*r2+c2
					if p[a] == p[d] && p[b] == p[c] && (r1/3 == r2/3) != (c1/3 == c2/3) {
						q := p
						q[a], q[b], q[c], q[d] = 0, 0, 0, 0
						if _, v := Solve(q); v != SeveralSolutions {
							t.Errorf("rectangle %d %d %d %d: verdict %d", a, b, c, d, v)
						}
						found = true
					}
				}
			}
		}
	}
	if !found {
		t.Skip("this board has no such rectangle")
	}
}

func TestParse_forms(t *testing.T) {
	csv := "source,question,answer,rating\nx," + easy + "," + easySolution + ",3\n"
	for _, c := range []struct {
		name, text string
		lines      []int
		answered   bool
	}{
		{"the columns of Sudoku-Extreme", csv, []int{2}, true},
		{"the same without header", "x," + easy + "," + easySolution + ",3\n", []int{1}, true},
		{"the same with a quoted source", strings.Replace(csv, "x,", `"x, ""y""",`, 1), []int{2}, true},
		{"columns in another order", "answer,question\n" + easySolution + "," + easy, []int{2}, true},
		{"an empty answer", "source,question,answer,rating\nx," + easy + ",,3\n", []int{2}, false},
		{"puzzle and rating", "puzzle,rating\n" + easy + ",0\n", []int{2}, false},
		{"bare lines", easy + "\n" + easy + "\n", []int{1, 2}, false},
		{"zeros for blanks, no newline at the end", strings.ReplaceAll(easy, ".", "0"), []int{1}, false},
		{"Windows line ends and a byte order mark", "\xef\xbb\xbfpuzzle,rating\r\n" + easy + ",0\r\n", []int{2}, false},
		{"comments and empty lines", "# mine\n\n" + easy + "\n\n", []int{3}, false},
		{"gzip", gzipped(t, csv), []int{2}, true},
		{"two gzip members", gzipped(t, csv) + gzipped(t, "y,"+easy+",,0\n"), []int{2, 3}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			puzzles, err := Parse(context.Background(), "f.csv", strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(puzzles) != len(c.lines) {
				t.Fatalf("%d puzzles, want %d", len(puzzles), len(c.lines))
			}
			for i, p := range puzzles {
				if p.Line != c.lines[i] || p.Question.String() != easy {
					t.Errorf("puzzle %d: line %d %s", i, p.Line, p.Question)
				}
			}
			if got := puzzles[0].Answer.Blanks() == 0; got != c.answered {
				t.Errorf("answered: %v", got)
			}
		})
	}
}

func TestParse_ratings(t *testing.T) {
	for text, want := range map[string]int{"7": 7, " 7 ": 7, "0": 0, "2147483647": 2147483647, "": NoRating, "-3": NoRating, "hard": NoRating, "2147483648": NoRating} {
		puzzles, err := Parse(t.Context(), "f.csv", strings.NewReader("puzzle,rating\n"+easy+","+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if puzzles[0].Rating != want {
			t.Errorf("%q is read as %d, want %d", text, puzzles[0].Rating, want)
		}
	}
}

func TestParse_saysWhatIsWrongAndWhere(t *testing.T) {
	packed := gzipped(t, strings.Repeat(easy+"\n", 500))
	for _, c := range []struct {
		name, text string
		line       int
		reason     string
	}{
		{"nothing", "", 0, "holds no puzzle"},
		{"a header only", "puzzle,rating\n", 0, "holds no puzzle"},
		{"something else", "PK\x03\x04 a zip file\n", 1, "neither a header"},
		{"a short board", "puzzle,rating\n" + easy[:80] + ",0\n", 2, "this one has 80"},
		{"a board cut short at the end", easy + "\n" + easy[:40], 2, "this one has 40"},
		{"a letter", "puzzle\n" + easy[:80] + "x\n", 2, `cell 81 is 'x'`},
		{"a missing column", "source,question,answer\nx," + easy + "\n", 2, "has 2 columns"},
		{"a wrong answer", "question,answer\n" + easy + "," + strings.Repeat("1", 81), 2, "does not solve"},
		{"an answer with a blank", "question,answer\n" + easy + "," + easySolution[:80] + ".", 2, "does not solve"},
		{"an endless line", easy + "\n" + strings.Repeat("1", 1<<20), 2, "longer than"},
		{"an open quote", "source,question\n\"x," + easy + "\n", 2, "not a line of CSV"},
		{"truncated gzip", packed[:len(packed)-20], 0, "ends too early"},
		{"a gzip header only", packed[:5], 0, "ends too early"},
		{"damaged gzip", packed[:30] + "xxxxxxxx" + packed[38:], 0, "damaged"},
		{"a wrong checksum", packed[:len(packed)-8] + "abcd" + packed[len(packed)-4:], 0, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(context.Background(), "f.csv", strings.NewReader(c.text))
			var bad *dataerror.Error
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a data error", err)
			}
			if bad.Source != "f.csv" || (c.line != 0 && bad.Line != c.line) || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("got %v, want line %d and %q", err, c.line, c.reason)
			}
		})
	}
}

// A small file that unpacks to much ends early, whether its lines are puzzles or not.
func TestParse_refusesWhatUnpacksToTooMuch(t *testing.T) {
	for name, text := range map[string]string{
		"empty lines": strings.Repeat("\n", 1<<20),
		"comments":    strings.Repeat("#\n", 1<<20),
		"puzzles":     strings.Repeat(easy+"\n", 1<<14),
	} {
		for form, text := range map[string]string{"plain": text, "gzip": gzipped(t, text)} {
			t.Run(name+", "+form, func(t *testing.T) {
				_, err := parse(context.Background(), "f.csv", strings.NewReader(text), 1<<19)
				var bad *dataerror.Error
				if !errors.As(err, &bad) || bad.Line == 0 || !strings.Contains(bad.Reason, "more than 524288 bytes (unpacked): take a part") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestParse_aBrokenConnectionIsNotBadData(t *testing.T) {
	_, err := Parse(context.Background(), "f.csv", brokenReader{})
	var bad *dataerror.Error
	if err == nil || errors.As(err, &bad) || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("got %v", err)
	}
}

func TestCheck_rejectsImproperPuzzles(t *testing.T) {
	twoSolutions := board(t, easySolution)
	twoSolutions = Reveal(&Board{}, &twoSolutions, 81-20, rand.New(rand.NewPCG(1, 1))) // 20 random clues
	for _, c := range []struct{ name, puzzle, reason string }{
		{"several", twoSolutions.String(), "several solutions"},
		{"too few clues", "123456789" + strings.Repeat(".", 72), "several solutions"},
		{"two equal digits in a row", "11" + easy[2:], "no solution: row 1 holds the digit 1 twice"},
		{"none", "4" + easy[1:8] + "4" + easy[9:], "no solution"},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, bad := Puzzle{Question: board(t, easy), Line: 7}, Puzzle{Question: board(t, c.puzzle), Line: 8}
			err := Check(context.Background(), "f.csv", []Puzzle{good, bad}, func(int) {})
			if err == nil || !strings.Contains(err.Error(), "f.csv:8: the puzzle has "+c.reason) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCheck_namesTheFirstBadLineWhateverCoreFoundIt(t *testing.T) {
	puzzles := make([]Puzzle, 3000)
	for i := range puzzles {
		puzzles[i] = Puzzle{Question: board(t, easy), Line: i + 1}
		if i > 100 && i%97 == 0 {
			puzzles[i].Question = Board{}
		}
	}
	for range 10 {
		err := Check(context.Background(), "f", puzzles, func(int) {})
		if err == nil || !strings.HasPrefix(err.Error(), "f:195:") {
			t.Fatalf("got %v, want line 195", err)
		}
	}
}

func TestCheck_stopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Check(ctx, "f", make([]Puzzle, 10), func(int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSymmetry_keepsPuzzlesProper(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, p := range solved(t, 50) {
		for range 5 {
			s := RandomSymmetry(rng)
			question, answer := s.Apply(&p.Question), s.Apply(&p.Answer)
			got, verdict := Solve(question)
			if verdict != Unique || got != answer {
				t.Fatalf("line %d: the transformed puzzle has verdict %d", p.Line, verdict)
			}
		}
	}
}

func TestReveal(t *testing.T) {
	question, answer := board(t, easy), board(t, easySolution)
	for _, n := range []int{0, 20, 30, question.Blanks(), AnyBlanks} {
		got := Reveal(&question, &answer, n, rand.New(rand.NewPCG(1, 2)))
		if want := min(n, question.Blanks()); got.Blanks() != want {
			t.Errorf("%d blanks, want %d", got.Blanks(), want)
		}
		for i, d := range got {
			if d != answer[i] && (d != 0 || question[i] != 0) {
				t.Errorf("cell %d became %d", i, d)
			}
		}
	}
}

func TestDeduplicate_keepsTheFirst(t *testing.T) {
	a, b := Puzzle{Question: board(t, easy), Line: 1}, Puzzle{Question: board(t, impossible), Line: 2}
	got := Deduplicate([]Puzzle{a, b, {Question: a.Question, Line: 3}})
	if !slices.Equal(got, []Puzzle{a, b}) {
		t.Errorf("got %v", got)
	}
}

func TestExpand(t *testing.T) {
	originals := solved(t, 300)
	e := Expansion{Variants: 21, MaxBlanks: 40, Seed: 9}
	expand := func() (inputs, labels []byte) {
		inputs, labels = make([]byte, 300*21*Cells), make([]byte, 300*21*Cells)
		if err := e.Expand(context.Background(), originals, inputs, labels, func(int) {}); err != nil {
			t.Fatal(err)
		}
		return inputs, labels
	}
	inputs, labels := expand()

	seen := map[Board]bool{}
	for i := range 300 * 21 {
		question, answer := FromTokens(inputs[i*Cells:(i+1)*Cells]), FromTokens(labels[i*Cells:(i+1)*Cells])
		original := originals[i/21]
		if seen[question] {
			t.Fatalf("example %d is there twice", i)
		}
		seen[question] = true
		if !answer.IsSolutionOf(question) || question.Blanks() != min(40, original.Question.Blanks()) {
			t.Fatalf("example %d: %s is not solved by %s", i, question, answer)
		}
		if answer.Canonical() != original.Answer.Canonical() || (i%21 == 0 && answer != original.Answer) {
			t.Fatalf("example %d does not come from original %d", i, i/21)
		}
	}

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	again, _ := expand()
	if !bytes.Equal(inputs, again) {
		t.Error("one core makes other variants than several")
	}
}

func TestDraw(t *testing.T) {
	got := board(t, easy).Draw()
	if lines := strings.Split(got, "\n"); len(lines) != 14 || lines[1] != "| . . 3 | . 2 . | 6 . . |" {
		t.Errorf("got\n%s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("source,question,answer,rating\nx," + easy + "," + easySolution + ",3\n")
	f.Add(easy + "\n" + impossible)
	f.Add(gzipped(f, "puzzle,rating\n"+easy+",1\n"))
	f.Add("\x1f\x8b\x08")
	f.Add("\"a\nb\",question")
	f.Add(gzipped(f, strings.Repeat("\n", 1<<20)))
	f.Add("question,answer,rating\r\n" + easy + ",\"" + easySolution + "\",99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		puzzles, err := parse(context.Background(), "f", strings.NewReader(text), 1<<19)
		var bad *dataerror.Error
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is not a data error", err)
		}
		if err != nil && strings.Contains(err.Error(), "<nil>") {
			t.Fatalf("%v does not say what is wrong", err)
		}
		for _, p := range puzzles {
			if p.Answer != (Board{}) && !p.Answer.IsSolutionOf(p.Question) {
				t.Fatalf("line %d: a wrong answer got through", p.Line)
			}
			if p.Rating < NoRating || p.Rating > math.MaxInt32 {
				t.Fatalf("line %d: the rating %d does not fit", p.Line, p.Rating)
			}
		}
	})
}

func FuzzSolve(f *testing.F) {
	f.Add([]byte(easy))
	f.Add([]byte(easySolution))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseBoard(text)
		if err != nil || p.Blanks() > Cells-MinClues {
			t.Skip()
		}
		solution, verdict := Solve(p)
		if (verdict == Unique || verdict == SeveralSolutions) && !solution.IsSolutionOf(p) {
			t.Fatalf("%s does not solve %s", solution, p)
		}
		if verdict != Unique {
			return
		}
		form := (&Puzzle{Question: p, Answer: solution}).Canonical()
		if answer, verdict := Solve(form); verdict != Unique || answer != solution.Canonical() {
			t.Fatalf("%s does not solve the canonical form %s", solution.Canonical(), form)
		}
	})
}

func BenchmarkSolve(b *testing.B) {
	puzzles := load(b, "norvig_sudoku10k.csv.gz")
	for i := 0; b.Loop(); i++ {
		Solve(puzzles[i%len(puzzles)].Question)
	}
}

func BenchmarkExpand1000(b *testing.B) {
	originals := solved(b, 1)
	inputs, labels := make([]byte, 1001*Cells), make([]byte, 1001*Cells)
	for b.Loop() {
		e := Expansion{Variants: 1001, MaxBlanks: AnyBlanks}
		if err := e.Expand(context.Background(), originals, inputs, labels, func(int) {}); err != nil {
			b.Fatal(err)
		}
	}
}
