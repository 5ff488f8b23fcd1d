package maze

import (
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
)

// Maze is a maze with its answer.
type Maze struct {
	Question, Answer Grid
	// Line is where it was read; 0 if it was generated.
	Line int
}

// Deduplicate keeps the first of several equal mazes.
func Deduplicate(mazes []Maze) []Maze {
	seen := make(map[string]struct{}, len(mazes))
	return slices.DeleteFunc(mazes, func(m Maze) bool {
		_, again := seen[string(m.Question.Cells)]
		seen[string(m.Question.Cells)] = struct{}{}
		return again
	})
}

// Split divides mazes into training and test mazes: testSize of them for the test, or fewer if whole families of images of
// each other don't add up to it. No test maze is an image of a training maze. Both come in random order.
func Split(mazes []Maze, testSize int, seed int64) (train, test []Maze) {
	families := make(map[Kin]int, len(mazes))
	kin := make([]Kin, len(mazes))
	for i := range mazes {
		kin[i] = mazes[i].Question.Kin()
		families[kin[i]]++
	}
	inTest := make(map[Kin]bool, len(families))
	room := testSize
	for _, i := range seeded.Stream(seed, forSplit, 0).Perm(len(mazes)) {
		k := kin[i]
		if _, decided := inTest[k]; !decided {
			inTest[k] = families[k] <= room
			if inTest[k] {
				room -= families[k]
			}
		}
		if inTest[k] {
			test = append(test, mazes[i])
		} else {
			train = append(train, mazes[i])
		}
	}
	return train, test
}

// DropKin removes from train every maze that is an image of a test maze: what Split sees to, for sources that come already
// split.
func DropKin(train, test []Maze) []Maze {
	kin := make(map[Kin]struct{}, len(test))
	for i := range test {
		kin[test[i].Question.Kin()] = struct{}{}
	}
	return slices.DeleteFunc(train, func(m Maze) bool {
		_, related := kin[m.Question.Kin()]
		return related
	})
}

// Subsample draws n mazes at random, or returns all if there are no more than that.
func Subsample(mazes []Maze, n int, seed int64) []Maze {
	return seeded.Subsample(mazes, n, seed, forSubsample)
}
