package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// ratingsField is the array of ratings, int32 [N], beside those that every dataset has. The official loader does not read it.
const ratingsField = "ratings"

// UnknownRating is the rating of an example that nobody has rated.
const UnknownRating = -1

// Rating is how hard an example is, if that is known: for a Sudoku the number of guesses that a solver needs.
func (d *Dataset) Rating(example int) (int32, bool) {
	if d.ratings == nil || d.ratings[example] == UnknownRating {
		return 0, false
	}
	return d.ratings[example], true
}

// ratings reads the array of ratings, if there is one.
func (l loader) ratings() ([]int32, error) {
	name := arrayFile(l.set, ratingsField)
	r, err := l.open(path.Join(l.split, name))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load dataset %s: %w", l.where, err)
	}
	defer r.Close()
	a, err := ReadNPY(r)
	if err != nil {
		return nil, l.bad(name, "%v", err)
	}
	v, err := l.oneAxis(ratingsField, a)
	if err != nil {
		return nil, err
	}
	for i, rating := range v {
		if rating < UnknownRating {
			return nil, l.bad(name, "example %d has the rating %d: expected 0 or more, or %d for an unknown one", i, rating, UnknownRating)
		}
	}
	return v, nil
}

// writeRatings leaves no file of a former dataset where there are no ratings.
func writeRatings(name string, ratings []int32) error {
	if ratings != nil {
		return writeVector(name, ratings)
	}
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// meanRating is the mean of the ratings that are known; nil if none is.
func meanRating(ratings []int32) *float64 {
	sum, n := 0.0, 0
	for _, r := range ratings {
		if r != UnknownRating {
			sum += float64(r)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}
