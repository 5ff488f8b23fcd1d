package sudoku

import (
	"math/rand/v2"
	"testing"
)

// mostSymmetric is the smallest of all full boards; 648 symmetries turn it into itself, which is the most there is.
const mostSymmetric = "123456789456789123789123456231564897564897231897231564312645978645978312978312645"

// disguised is a puzzle under a random symmetry.
func disguised(p *Puzzle, rng *rand.Rand) Puzzle {
	s := RandomSymmetry(rng)
	return Puzzle{Question: s.Apply(&p.Question), Answer: s.Apply(&p.Answer)}
}

// carved is a puzzle with a given answer, from which random clues were taken as long as it has no other.
func carved(answer Board, rng *rand.Rand) Puzzle {
	question := answer
	for _, cell := range rng.Perm(Cells) {
		digit := question[cell]
		question[cell] = 0
		if _, verdict := Solve(question); verdict != Unique {
			question[cell] = digit
		}
	}
	return Puzzle{Question: question, Answer: answer}
}

// bruteForce is the smallest image of a board, full or not, under the whole group: all 2 · 6⁴ · 6⁴ arrangements of its lines, of
// which each has one best renaming of the digits, by their first appearance.
func bruteForce(b *Board) Board {
	var arrangements [][9]uint8
	orders := [6][3]uint8{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for k := range 6 * 6 * 6 * 6 {
		var lines [9]uint8
		for i := range 9 {
			lines[i] = 3*orders[k%6][i/3] + orders[k/[3]int{6, 36, 216}[i/3]%6][i%3]
		}
		arrangements = append(arrangements, lines)
	}
	var transposed Board
	for i, d := range b {
		transposed[i%9*9+i/9] = d
	}
	best := Board{255}
	for _, from := range []*Board{b, &transposed} {
		for i := range arrangements {
			for j := range arrangements {
				lower(&best, from, &arrangements[i], &arrangements[j])
			}
		}
	}
	return best
}

// lower replaces best by the image of b under an arrangement of rows and columns, if that is smaller.
func lower(best, b *Board, rows, columns *[9]uint8) {
	var digit [10]byte
	var image Board
	next := byte(1)
	smaller := false
	for i := range Cells {
		d := b[9*rows[i/9]+columns[i%9]]
		if d != 0 && digit[d] == 0 {
			digit[d] = next
			next++
		}
		image[i] = digit[d]
		if !smaller && image[i] != best[i] {
			if image[i] > best[i] {
				return
			}
			smaller = true
		}
	}
	*best = image
}

func TestCanonical_ofAnAnswerIsTheSmallestOfAllImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	answers := []Board{board(t, mostSymmetric), board(t, easySolution)}
	for _, p := range solved(t, 3) {
		answers = append(answers, p.Answer)
	}
	for _, answer := range answers {
		p := disguised(&Puzzle{Answer: answer}, rng)
		if got, want := p.Answer.Canonical(), bruteForce(&answer); got != want {
			t.Errorf("%s has the canonical form\n%s, want\n%s", answer, got, want)
		}
	}
}

// The question's canonical form need not be the smallest image, but it must tell the same puzzles apart.
func TestCanonical_tellsApartWhatBruteForceDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var puzzles []Puzzle
	for range 6 { // the symmetries of this answer make many of its puzzles equal
		puzzles = append(puzzles, carved(board(t, mostSymmetric), rng))
	}
	for range 3 {
		puzzles = append(puzzles, carved(board(t, easySolution), rng), disguised(&puzzles[rng.IntN(len(puzzles))], rng))
	}
	forms, images := make([]Board, len(puzzles)), make([]Board, len(puzzles))
	for i := range puzzles {
		forms[i], images[i] = puzzles[i].Canonical(), bruteForce(&puzzles[i].Question)
		for j := range i {
			if (forms[i] == forms[j]) != (images[i] == images[j]) {
				t.Errorf("puzzles %d and %d: equal forms %v, related by brute force %v", i, j, forms[i] == forms[j], images[i] == images[j])
			}
		}
	}
}

func TestCanonical_isSharedByAllDisguises(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	puzzles := solved(t, 300)
	for range 30 {
		puzzles = append(puzzles, carved(board(t, mostSymmetric), rng))
	}
	seen := map[Board]int{}
	for i, p := range puzzles {
		form, answer := p.Canonical(), p.Answer.Canonical()
		if got, verdict := Solve(form); verdict != Unique || got != answer {
			t.Fatalf("puzzle %d: the canonical form is not solved by the answer's", i)
		}
		for range 10 {
			other := disguised(&p, rng)
			if other.Canonical() != form || other.Answer.Canonical() != answer {
				t.Fatalf("puzzle %d: a disguise has another canonical form", i)
			}
		}
		if j, again := seen[form]; again && bruteForce(&p.Question) != bruteForce(&puzzles[j].Question) {
			t.Errorf("puzzles %d and %d are different, but have the same canonical form", j, i)
		}
		seen[form] = i
	}
}

func TestCanonical_dependsOnEveryClue(t *testing.T) {
	p := solved(t, 1)[0]
	form := p.Canonical()
	for cell, d := range p.Question {
		more := p
		if d == 0 {
			more.Question[cell] = p.Answer[cell]
		} else {
			more.Question[cell] = 0
		}
		if more.Canonical() == form {
			t.Errorf("cell %d makes no difference", cell)
		}
	}
}

func TestSmallest_findsEverySymmetryOfTheBoard(t *testing.T) {
	for text, want := range map[string]int{mostSymmetric: 648, easySolution: 1} {
		b := board(t, text)
		m := smallest(&b)
		if len(m.by) != want {
			t.Errorf("%d symmetries, want %d, of %s", len(m.by), want, text)
		}
		for _, s := range m.by {
			if s.Apply(&b) != m.board {
				t.Fatal("a symmetry does not lead to the smallest image")
			}
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	puzzles := solved(b, 1000)
	for i := 0; b.Loop(); i++ {
		puzzles[i%len(puzzles)].Canonical()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puzzles/s")
}
