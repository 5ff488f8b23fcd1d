package arc

// dihedrals are the eight symmetries of a square, in the order of their identifiers. Each says where in a grid of rows x
// cols the cell (r, c) of the result comes from.
var dihedrals = [8]struct {
	// turned is true where rows and columns change places.
	turned bool
	from   func(r, c, rows, cols int) (int, int)
}{
	0: {false, func(r, c, _, _ int) (int, int) { return r, c }},                             // identity
	1: {true, func(r, c, _, cols int) (int, int) { return c, cols - 1 - r }},                // a quarter, counter-clockwise
	2: {false, func(r, c, rows, cols int) (int, int) { return rows - 1 - r, cols - 1 - c }}, // a half
	3: {true, func(r, c, rows, _ int) (int, int) { return rows - 1 - c, r }},                // three quarters
	4: {false, func(r, c, _, cols int) (int, int) { return r, cols - 1 - c }},               // mirrored left-right
	5: {false, func(r, c, rows, _ int) (int, int) { return rows - 1 - r, c }},               // mirrored up-down
	6: {true, func(r, c, _, _ int) (int, int) { return c, r }},                              // transposed
	7: {true, func(r, c, rows, cols int) (int, int) { return rows - 1 - c, cols - 1 - r }},  // a quarter, then left-right
}

// inverses are the symmetries that undo the others.
var inverses = [8]uint8{0, 3, 2, 1, 4, 5, 6, 7}

// transform writes colours of g, moved by a symmetry, to the memory of to.
func transform(to *Grid, g Grid, dihedral uint8, colours *[Colours]uint8) {
	d := &dihedrals[dihedral]
	to.Rows, to.Cols = g.Rows, g.Cols
	if d.turned {
		to.Rows, to.Cols = g.Cols, g.Rows
	}
	to.Cells = to.Cells[:0]
	for r := range to.Rows {
		for c := range to.Cols {
			i, j := d.from(r, c, g.Rows, g.Cols)
			to.Cells = append(to.Cells, colours[g.Cells[i*g.Cols+j]])
		}
	}
}
