package sudoku

import "math/rand/v2"

// Symmetry is one of the 2 · 6⁴ · 6⁴ · 9! transformations that turn every valid board into a valid board.
type Symmetry struct {
	// From says from which cell each cell is taken.
	From [Cells]uint8
	// Digit says what each digit becomes; Digit[0] is 0, a blank stays one.
	Digit [10]byte
}

// Identity changes nothing.
func Identity() Symmetry {
	var s Symmetry
	for i := range s.From {
		s.From[i] = uint8(i)
	}
	for d := range s.Digit {
		s.Digit[d] = byte(d)
	}
	return s
}

// RandomSymmetry draws one uniformly: a permutation of the digits, of the bands and the rows in each, of the stacks and
// the columns in each, and a transposition half of the time.
func RandomSymmetry(rng *rand.Rand) Symmetry {
	s := Identity()
	shuffle(rng, s.Digit[1:])
	rows, columns := randomLines(rng), randomLines(rng)
	transpose := rng.Uint64()&1 == 1
	for r, fromRow := range rows {
		for c, fromColumn := range columns {
			if transpose {
				s.From[9*r+c] = 9*fromColumn + fromRow
			} else {
				s.From[9*r+c] = 9*fromRow + fromColumn
			}
		}
	}
	return s
}

// Apply transforms a board.
func (s *Symmetry) Apply(b *Board) Board {
	var out Board
	for i, from := range s.From {
		out[i] = s.Digit[b[from]]
	}
	return out
}

// randomLines permutes the three bands, and the three lines in each.
func randomLines(rng *rand.Rand) [9]uint8 {
	bands := [3]uint8{0, 1, 2}
	shuffle(rng, bands[:])
	var lines [9]uint8
	for i, band := range bands {
		for j := range 3 {
			lines[3*i+j] = 3*band + uint8(j)
		}
		shuffle(rng, lines[3*i:3*i+3])
	}
	return lines
}

func shuffle(rng *rand.Rand, s []uint8) {
	for i := len(s) - 1; i > 0; i-- {
		j := rng.IntN(i + 1)
		s[i], s[j] = s[j], s[i]
	}
}
