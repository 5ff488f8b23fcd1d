package maze

import (
	"bytes"
	"crypto/sha256"
)

// Symmetries is the number of ways in which a square can be turned and mirrored.
const Symmetries = 8

// Apply writes the image of g under a symmetry to out, [Size*Size]: 0 changes nothing, 1 to 3 are that many quarter turns
// counter-clockwise, 4 mirrors left and right, 5 up and down, 6 transposes, 7 is the mirror image, left and right, of 1.
func (g Grid) Apply(symmetry int, out []byte) {
	last := g.Size - 1
	for r := range g.Size {
		for c := range g.Size {
			fromRow, fromColumn := r, c
			switch symmetry {
			case 1:
				fromRow, fromColumn = c, last-r
			case 2:
				fromRow, fromColumn = last-r, last-c
			case 3:
				fromRow, fromColumn = last-c, r
			case 4:
				fromColumn = last - c
			case 5:
				fromRow = last - r
			case 6:
				fromRow, fromColumn = c, r
			case 7:
				fromRow, fromColumn = last-c, last-r
			}
			out[r*g.Size+c] = g.Cells[fromRow*g.Size+fromColumn]
		}
	}
}

// Kin is what a maze shares with its images under all symmetries, start and goal exchanged or not, and with no other maze.
type Kin [16]byte

// Kin returns the maze's.
func (g Grid) Kin() Kin {
	var least []byte
	image := make([]byte, len(g.Cells))
	for _, way := range []Grid{g, g.reversed()} {
		for s := range Symmetries {
			way.Apply(s, image)
			if least == nil || bytes.Compare(image, least) < 0 {
				least = append(least[:0], image...)
			}
		}
	}
	sum := sha256.Sum256(least)
	return Kin(sum[:16])
}

// reversed is the maze with start and goal exchanged.
func (g Grid) reversed() Grid {
	cells := bytes.Clone(g.Cells)
	for i, c := range cells {
		switch c {
		case Start:
			cells[i] = Goal
		case Goal:
			cells[i] = Start
		}
	}
	return Grid{g.Size, cells}
}
