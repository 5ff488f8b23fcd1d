package sudoku

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
)

func ignore(int) {}

// withKin are different puzzles, disguises of a third of them, and for a tenth of them other clues of the same answer.
func withKin(t *testing.T) []Puzzle {
	puzzles := solved(t, 300)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, p := range puzzles[:100] {
		puzzles = append(puzzles, disguised(&p, rng))
	}
	for _, p := range puzzles[270:300] {
		other := carved(p.Answer, rng)
		puzzles = append(puzzles, disguised(&other, rng))
	}
	return puzzles
}

// divided are puzzles with 90 of them held out.
func divided(t *testing.T, puzzles []Puzzle, seed int64) (train, test []Puzzle) {
	t.Helper()
	train, test, err := Split(t.Context(), puzzles, 90, seed, ignore)
	if err != nil {
		t.Fatal(err)
	}
	return train, test
}

func TestSplit_separatesFamilies(t *testing.T) {
	puzzles := withKin(t)
	train, test := divided(t, puzzles, 1)
	if len(test) != 90 || len(train) != 340 {
		t.Errorf("%d + %d puzzles, want 340 + 90", len(train), len(test))
	}
	held, answers := map[Board]bool{}, map[Board]bool{}
	for _, p := range test {
		held[p.Canonical()], answers[p.Answer.Canonical()] = true, true
	}
	for _, p := range train {
		if held[p.Canonical()] {
			t.Errorf("%s is a test puzzle in disguise", p.Question)
		}
		if answers[p.Answer.Canonical()] {
			t.Errorf("%s has the answer of a test puzzle in disguise", p.Question)
		}
	}
}

func TestSplit_dependsOnTheSeedAlone(t *testing.T) {
	puzzles := withKin(t)
	train, _ := divided(t, puzzles, 1)
	again, _ := divided(t, puzzles, 1)
	other, _ := divided(t, puzzles, 2)
	if !slices.Equal(train, again) || slices.Equal(train, other) {
		t.Error("the split must depend on the seed, and on nothing else")
	}
}

func TestDropKin_dropsFamiliesOfTestPuzzles(t *testing.T) {
	puzzles := withKin(t)
	train, test := divided(t, puzzles, 1)
	drop := func(held []Puzzle) []Puzzle {
		left, err := DropKin(t.Context(), slices.Clone(train), held, ignore)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if left := drop(test); len(left) != len(train) {
		t.Errorf("%d training puzzles are kin to a test puzzle", len(train)-len(left))
	}
	kin := disguised(&train[0], rand.New(rand.NewPCG(1, 1)))
	if left := drop([]Puzzle{kin}); len(left) == len(train) || slices.Contains(left, train[0]) {
		t.Error("a puzzle is not kin to its disguise")
	}
}

func TestDistinct_keepsTheFirstOfEveryClass(t *testing.T) {
	distinct := func(puzzles []Puzzle) []Puzzle {
		got, err := Distinct(t.Context(), slices.Clone(puzzles), ignore)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	puzzles := withKin(t)
	originals, disguises, others := puzzles[:300], puzzles[300:400], puzzles[400:]
	want := distinct(originals)
	if got := distinct(append(slices.Clone(originals), disguises...)); !slices.Equal(got, want) {
		t.Errorf("%d puzzles, want %d: disguises are not new", len(got), len(want))
	}
	if got := distinct(append(slices.Clone(originals), others...)); len(got) <= len(want) {
		t.Error("other clues of the same answer are another puzzle")
	}
}

func TestDisguise_keepsTheClassAndDependsOnTheSeed(t *testing.T) {
	originals := solved(t, 20)
	disguise := func(seed int64) []Puzzle {
		puzzles := slices.Clone(originals)
		Disguise(puzzles, seed)
		return puzzles
	}
	first := disguise(1)
	for i, p := range first {
		if !p.Answer.IsSolutionOf(p.Question) || p.Canonical() != originals[i].Canonical() || p.Question == originals[i].Question {
			t.Errorf("puzzle %d became %s", i, p.Question)
		}
	}
	if !slices.Equal(first, disguise(1)) || slices.Equal(first, disguise(2)) {
		t.Error("the disguise must depend on the seed, and on nothing else")
	}
}

func TestForms_stopWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	puzzles := solved(t, 3)
	if _, err := Distinct(ctx, puzzles, ignore); err == nil {
		t.Error("Distinct goes on")
	}
	if _, _, err := Split(ctx, puzzles, 1, 0, ignore); err == nil {
		t.Error("Split goes on")
	}
	if _, err := DropKin(ctx, puzzles, nil, ignore); err == nil {
		t.Error("DropKin goes on")
	}
}
