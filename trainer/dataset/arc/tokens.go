package arc

// What the model sees: 30x30 tokens, 0 for padding, 1 for what ends a row or a column, 2 to 11 for the colours.
const (
	TokenPad    = 0
	TokenEnd    = 1
	firstColour = 2
	VocabSize   = firstColour + Colours
	SeqLen      = MaxSide * MaxSide
)

// Encoder writes the pairs of a task's variants as tokens. It is for one goroutine.
type Encoder struct {
	Task *Task
	Seed int64
	in   Grid
	out  Grid
}

// Train writes the training pairs of one variant: inputs and labels are [len(pairs), SeqLen]. All but one of them, drawn
// at random, are moved by a random offset that input and output share.
func (e *Encoder) Train(pairs []Pair, variant int, a *Augmentation, inputs, labels []uint8) {
	rng := stream(e.Seed, forOffsets, e.Task.ID, variant)
	still := rng.IntN(len(pairs))
	for i, p := range pairs {
		e.transform(p, a)
		row, col := 0, 0
		if i != still {
			row = rng.IntN(MaxSide - max(e.in.Rows, e.out.Rows) + 1)
			col = rng.IntN(MaxSide - max(e.in.Cols, e.out.Cols) + 1)
		}
		e.place(i, row, col, inputs, labels)
	}
}

// Test writes the test pairs of one variant, all in the top left corner. An unknown output becomes padding.
func (e *Encoder) Test(pairs []Pair, a *Augmentation, inputs, labels []uint8) {
	for i, p := range pairs {
		e.transform(p, a)
		e.place(i, 0, 0, inputs, labels)
	}
}

func (e *Encoder) transform(p Pair, a *Augmentation) {
	transform(&e.in, p.Input, a.Dihedral, &a.Colours)
	transform(&e.out, p.Output, a.Dihedral, &a.Colours)
}

func (e *Encoder) place(i, row, col int, inputs, labels []uint8) {
	place(e.in, row, col, inputs[i*SeqLen:(i+1)*SeqLen])
	place(e.out, row, col, labels[i*SeqLen:(i+1)*SeqLen])
}

// place writes a grid with its upper left cell at (row, col), followed by an end in every row and column that has room for it.
func place[T uint8 | int32](g Grid, row, col int, tokens []T) {
	clear(tokens)
	for r := range g.Rows {
		line := tokens[(row+r)*MaxSide+col : (row+r+1)*MaxSide]
		for c := range g.Cols {
			line[c] = T(g.Cells[r*g.Cols+c]) + firstColour
		}
		if g.Cols < len(line) {
			line[g.Cols] = TokenEnd
		}
	}
	if end := row + g.Rows; end < MaxSide {
		for c := range g.Cols {
			tokens[end*MaxSide+col+c] = TokenEnd
		}
	}
}

// Tokens are those of a grid in the top left corner.
func (g Grid) Tokens() []int32 {
	tokens := make([]int32, SeqLen)
	place(g, 0, 0, tokens)
	return tokens
}

// Crop reads an answer: the largest rectangle of colours in the top left corner, of equal ones that with the fewest rows.
// It is empty if the corner is no colour. Tokens may be any [SeqLen] numbers.
func Crop(tokens []int32) Grid { return cropFrom(tokens, 0, 0) }

// cropFrom looks for the rectangle right and below of (row, col).
func cropFrom(tokens []int32, row, col int) Grid {
	var best Grid
	width := MaxSide - col
	for r := row; r < MaxSide && width > 0; r++ {
		for c := range width {
			if !isColour(tokens[r*MaxSide+col+c]) {
				width = c
				break
			}
		}
		if rows := r - row + 1; rows*width > best.Rows*best.Cols {
			best.Rows, best.Cols = rows, width
		}
	}
	best.Cells = make([]uint8, 0, best.Rows*best.Cols)
	for r := range best.Rows {
		for c := range best.Cols {
			best.Cells = append(best.Cells, uint8(tokens[(row+r)*MaxSide+col+c]-firstColour))
		}
	}
	return best
}

func isColour(token int32) bool { return token >= firstColour && token < VocabSize }
