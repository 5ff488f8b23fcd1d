package arc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
)

// Augmentation makes a variant of a task: every grid is moved by a symmetry of the square and gets other colours.
type Augmentation struct {
	// Dihedral is 0 to 7: identity, quarter turns counter-clockwise, mirrored left-right, mirrored up-down, transposed,
	// a quarter turn mirrored.
	Dihedral uint8
	// Colours are what each colour becomes. The background keeps its own.
	Colours [Colours]uint8
}

// Identity is the variant that is the original.
var Identity = Augmentation{Colours: [Colours]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}

// Apply returns the variant of a grid.
func (a *Augmentation) Apply(g Grid) Grid {
	var to Grid
	transform(&to, g, a.Dihedral, &a.Colours)
	return to
}

// Undo returns the grid that Apply makes g of.
func (a *Augmentation) Undo(g Grid) Grid {
	inverse := Augmentation{Dihedral: inverses[a.Dihedral]}
	for from, to := range a.Colours {
		inverse.Colours[to] = uint8(from)
	}
	return inverse.Apply(g)
}

// Name is what the variant of a task is called in identifiers.json: the task's own ID, or ID_t3_0123456789.
func (a *Augmentation) Name(id string) string {
	if *a == Identity {
		return id
	}
	digits := a.Colours
	for i := range digits {
		digits[i] += '0'
	}
	return fmt.Sprintf("%s_t%d_%s", id, a.Dihedral, digits[:])
}

var variantName = regexp.MustCompile(`^(.+)_t([0-7])_(0[1-9]{9})$`)

// ParseName is the opposite of Name.
func ParseName(name string) (id string, a Augmentation, err error) {
	m := variantName.FindStringSubmatch(name)
	if m == nil {
		return name, Identity, nil
	}
	a.Dihedral = m[2][0] - '0'
	seen := [Colours]bool{}
	for i := range a.Colours {
		colour := m[3][i] - '0'
		if seen[colour] {
			return "", a, fmt.Errorf("the variant %q has colour %d twice", name, colour)
		}
		seen[colour], a.Colours[i] = true, colour
	}
	return m[1], a, nil
}

// triesPerVariant is how often, for each variant wanted, one is drawn: tasks of few colours have fewer than 1000.
const triesPerVariant = 5

// Plan draws the variants of a task: the original and up to count others, no two with the same pairs. It depends on the
// task and the seed alone.
func Plan(t *Task, count int, seed int64) []Augmentation {
	plan := []Augmentation{Identity}
	if count == 0 {
		return plan
	}
	var h hasher
	pairs := t.Pairs()
	seen := map[[sha256.Size]byte]struct{}{h.sum(pairs, &Identity): {}}
	rng := stream(seed, forVariants, t.ID, 0)
	for try := 0; try < triesPerVariant*count && len(plan) <= count; try++ {
		a := draw(rng)
		sum := h.sum(pairs, &a)
		if _, again := seen[sum]; again {
			continue
		}
		seen[sum] = struct{}{}
		plan = append(plan, a)
	}
	return plan
}

func draw(rng *rand.Rand) Augmentation {
	a := Identity
	a.Dihedral = uint8(rng.IntN(8))
	rng.Shuffle(Colours-1, func(i, j int) { a.Colours[1+i], a.Colours[1+j] = a.Colours[1+j], a.Colours[1+i] })
	return a
}

// hasher tells variants apart; it keeps its memory from one to the next.
type hasher struct {
	grid Grid
	text []byte
	sums [][]byte
}

// sum identifies the pairs of a variant, in whatever order.
func (h *hasher) sum(pairs []Pair, a *Augmentation) [sha256.Size]byte {
	h.sums = h.sums[:0]
	for _, p := range pairs {
		h.text = h.text[:0]
		for _, g := range []Grid{p.Input, p.Output} {
			transform(&h.grid, g, a.Dihedral, &a.Colours)
			h.text = append(h.text, uint8(h.grid.Rows), uint8(h.grid.Cols))
			h.text = append(h.text, h.grid.Cells...)
		}
		sum := sha256.Sum256(h.text)
		h.sums = append(h.sums, sum[:])
	}
	slices.SortFunc(h.sums, bytes.Compare)
	return sha256.Sum256(bytes.Join(h.sums, nil))
}

// SamePairs reports whether two lists hold the same pairs, in whatever order.
func SamePairs(a, b []Pair) bool {
	var h hasher
	return h.sum(a, &Identity) == h.sum(b, &Identity)
}
