package sudoku

import "testing"

func TestGenerate_makesPuzzlesWithOneSolution(t *testing.T) {
	seen := map[Board]bool{}
	kin := map[Board]bool{}
	for number := range 50 {
		puzzle := Generate(7, number, 30)
		if puzzle.Blanks() != 30 {
			t.Errorf("puzzle %d has %d blanks, want 30", number, puzzle.Blanks())
		}
		answer, verdict := Solve(puzzle)
		if verdict != Unique {
			t.Errorf("puzzle %d: verdict %d\n%s", number, verdict, puzzle.Draw())
		}
		seen[puzzle], kin[answer.Canonical()] = true, true
	}
	if len(seen) != 50 || len(kin) != 50 {
		t.Errorf("50 puzzles are %d different ones, of %d kinds", len(seen), len(kin))
	}
}

func TestGenerate_dependsOnSeedAndNumberAlone(t *testing.T) {
	first := Generate(1, 3, 20)
	if again := Generate(1, 3, 20); again != first {
		t.Error("the same seed and number give two puzzles")
	}
	if first == Generate(2, 3, 20) {
		t.Error("two seeds give the same puzzle")
	}
}
