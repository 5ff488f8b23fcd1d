package custom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Pad is the token of cells outside a grid; a value is the token one above it.
const Pad = 0

// Shape is what takes in all grids of a dataset, each in its top left corner: the largest height and width.
type Shape struct {
	Height, Width int
	// VocabSize counts Pad and the values up to the largest.
	VocabSize int
}

// Cells is the length of every example.
func (s Shape) Cells() int { return s.Height * s.Width }

// Extend makes room for examples.
func (s *Shape) Extend(examples []Example) {
	for i := range examples {
		for _, g := range []*Grid{&examples[i].Input, &examples[i].Output} {
			s.Height, s.Width = max(s.Height, g.Height), max(s.Width, g.Width)
			for _, v := range g.Values {
				s.VocabSize = max(s.VocabSize, int(v)+2)
			}
		}
	}
}

// Encode writes the tokens of a grid to out, [Height*Width] of zeros.
func Encode[T uint8 | int32](s Shape, g Grid, out []T) {
	for r := range g.Height {
		for c, v := range g.Values[r*g.Width : (r+1)*g.Width] {
			out[r*s.Width+c] = T(v) + 1
		}
	}
}

// ParseText reads a grid as people write it, as JSON, or a whole line of a source, of which the input is taken.
func (s Shape) ParseText(text string) ([]int32, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var line struct{ Input json.RawMessage }
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Input == nil {
			return nil, errors.New(`expected a grid, or a line with one under "input"`)
		}
		text = string(line.Input)
	}
	g, err := ParseGrid([]byte(text))
	if err != nil {
		return nil, err
	}
	if g.Height > s.Height || g.Width > s.Width {
		return nil, fmt.Errorf("is %dx%d: the model knows grids up to %dx%d", g.Height, g.Width, s.Height, s.Width)
	}
	for i, v := range g.Values {
		if int(v)+1 >= s.VocabSize {
			return nil, fmt.Errorf("row %d column %d is %d: the model knows values up to %d", i/g.Width+1, i%g.Width+1, v, s.VocabSize-2)
		}
	}
	tokens := make([]int32, s.Cells())
	Encode(s, g, tokens)
	return tokens, nil
}

// Draw is the values of tokens, a line for each row, with a point for padding.
func (s Shape) Draw(tokens []int32) string {
	digits := len(strconv.Itoa(max(0, s.VocabSize-2)))
	var out strings.Builder
	for r := range s.Height {
		for c, token := range tokens[r*s.Width : (r+1)*s.Width] {
			text := "."
			if token != Pad {
				text = strconv.Itoa(int(token) - 1)
			}
			if c > 0 {
				out.WriteByte(' ')
			}
			fmt.Fprintf(&out, "%*s", digits, text)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
