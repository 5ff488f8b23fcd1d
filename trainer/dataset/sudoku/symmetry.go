package sudoku

import (
	"math/rand/v2"
	"slices"
)

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

// Kin is a number that a full board shares with every board that a Symmetry turns it into. Boards that are not related
// share it only by rare coincidence. The split keeps puzzles with the same Kin on one side, so the coincidence costs nothing.
//
// Two rows are compared by the permutation that takes one to the other, column by column: its cycle lengths don't change
// when digits are renamed or columns moved. Those of all pairs of rows, sorted within rows, bands and board so that their
// order does not matter either, and the same of the transposed board, make up the number.
func (b Board) Kin() uint64 {
	var transposed Board
	for i, d := range b {
		transposed[i%9*9+i/9] = d
	}
	x, y := b.rowKin(), transposed.rowKin()
	return scramble(min(x, y)) + 3*scramble(max(x, y))
}

func (b Board) rowKin() uint64 {
	var rows [9]uint64
	for i := range 9 {
		var near, far uint64
		for j := range 9 {
			if i == j {
				continue
			}
			cycles := scramble(b.cycles(i, j))
			if i/3 == j/3 {
				near += cycles
			} else {
				far += cycles
			}
		}
		rows[i] = scramble(near ^ scramble(far))
	}
	// A second round tells rows apart by what the rows are like that they stand in each relation to.
	var refined [9]uint64
	for i := range 9 {
		refined[i] = scramble(rows[i])
		for j := range 9 {
			if i != j {
				near := uint64(0)
				if i/3 == j/3 {
					near = 1
				}
				refined[i] += scramble(rows[j] ^ scramble(b.cycles(i, j)<<1|near))
			}
		}
	}
	var bands [3]uint64
	for i, r := range refined {
		bands[i/3] += scramble(r)
	}
	slices.Sort(bands[:])
	return scramble(bands[0]) + 3*scramble(bands[1]) + 5*scramble(bands[2])
}

// cycles counts the cycles of each length of the permutation from row i to row j, four bits for each length.
func (b Board) cycles(i, j int) uint64 {
	var next [10]byte
	for c := range 9 {
		next[b[9*i+c]] = b[9*j+c]
	}
	var counts uint64
	var seen uint16
	for d := byte(1); d <= 9; d++ {
		length := 0
		for at := d; seen&(1<<at) == 0; at = next[at] {
			seen |= 1 << at
			length++
		}
		if length > 0 {
			counts += 1 << (4 * length)
		}
	}
	return counts
}
