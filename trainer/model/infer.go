package model

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// publishedExpansion is taken where several expansions give the same width.
const publishedExpansion = 4

// maxExpansion is the largest that a spec may ask for.
const maxExpansion = 16

// Infer derives a model's sizes from the shapes of its tensors, which have the names of [Parameter]. What no tensor shows
// (heads, cycles, loss, ACT) stays as spec has it; where spec says something else than the tensors, that is an error, and
// so is a tensor that is missing, or that such a model does not have. The length of the examples shows only in learned
// positions: with others Shape.SeqLen is 0.
func Infer(tensors map[string][]int, spec v1alpha1.ModelSpec) (v1alpha1.ModelSpec, Shape, error) {
	i := inference{tensors: tensors, spec: spec}
	shape := i.sizes()
	if i.err == nil {
		i.err = i.compare(shape)
	}
	return i.spec, shape, i.err
}

// inference is a spec in the making. The first error stays.
type inference struct {
	tensors map[string][]int
	spec    v1alpha1.ModelSpec
	err     error
}

func (i *inference) fail(format string, args ...any) {
	if i.err == nil {
		i.err = fmt.Errorf(format, args...)
	}
}

// matrix returns the sizes of a tensor of two dimensions.
func (i *inference) matrix(name string) (rows, columns int) {
	s, ok := i.tensors[name]
	if !ok {
		i.fail("tensor %s is missing: these are not the weights of an HRM", name)
		return 0, 0
	}
	if len(s) != 2 || s[0] < 1 || s[1] < 1 {
		i.fail("tensor %s has the shape %d, want two dimensions", name, s)
		return 0, 0
	}
	return s[0], s[1]
}

// settle sets a field of the spec, or compares it.
func settle[T comparable](i *inference, field *T, name string, found T) {
	var unset T
	if *field != unset && *field != found {
		i.fail("model.%s is %v, but the tensors are those of %v", name, *field, found)
	}
	*field = found
}

func (i *inference) sizes() Shape {
	s := &i.spec
	settle(i, &s.Architecture, "architecture", v1alpha1.ArchitectureHRM)
	vocabulary, hidden := i.matrix("embed_tokens.embedding_weight")
	settle(i, &s.HiddenSize, "hiddenSize", int32(hidden))
	settle(i, &s.HLayers, "hLayers", i.layers("H"))
	settle(i, &s.LLayers, "lLayers", i.layers("L"))
	rows, _ := i.matrix("H_level.layers.0.mlp.gate_up_proj.weight")
	if i.err != nil {
		return Shape{}
	}
	settle(i, &s.Expansion, "expansion", i.expansion(hidden, rows))
	shape := Shape{VocabSize: vocabulary}
	width := 0
	if _, ok := i.tensors[PuzzleTable]; ok {
		shape.NumPuzzleIdentifiers, width = i.matrix(PuzzleTable)
	}
	i.puzzles(int32(width))
	encoding := v1alpha1.PositionEncodingRoPE
	if _, ok := i.tensors[positionTable]; ok {
		encoding = v1alpha1.PositionEncodingLearned
		positions, _ := i.matrix(positionTable)
		shape.SeqLen = positions - (&Model{Spec: *s}).Prefix()
		if shape.SeqLen < 1 {
			i.fail("tensor %s has %d positions, which is not more than those of the puzzle embedding", positionTable, positions)
		}
	}
	settle(i, &s.PositionEncoding, "positionEncoding", encoding)
	return shape
}

// layers counts the blocks of a module.
func (i *inference) layers(module string) int32 {
	n := int32(0)
	for {
		if _, ok := i.tensors[fmt.Sprintf("%s_level.layers.%d.mlp.down_proj.weight", module, n)]; !ok {
			break
		}
		n++
	}
	if n == 0 {
		i.fail("there is no %s_level.layers.0: these are weights of another architecture; HRM has an H_level and an L_level", module)
	}
	return n
}

// expansion finds one that gives the width of gate and up projection together.
func (i *inference) expansion(hidden, rows int) int32 {
	candidates := []int32{cmp.Or(i.spec.Expansion, publishedExpansion)}
	for e := int32(1); e <= maxExpansion; e++ {
		candidates = append(candidates, e)
	}
	for _, e := range candidates {
		if 2*swiGLUWidth(hidden, int(e)) == rows {
			return e
		}
	}
	i.fail("H_level.layers.0.mlp.gate_up_proj.weight has %d rows, which no expansion from 1 to %d gives", rows, maxExpansion)
	return 0
}

// puzzles sets the width of the puzzle table, 0 if there is none.
func (i *inference) puzzles(width int32) {
	s := &i.spec
	if s.PuzzleEmbeddingSize != nil && *s.PuzzleEmbeddingSize != width {
		i.fail("model.puzzleEmbeddingSize is %d, but the tensors are those of %d", *s.PuzzleEmbeddingSize, width)
	}
	s.PuzzleEmbeddingSize = &width
	if width == s.HiddenSize {
		s.PuzzleEmbeddingSize = nil
	}
}

// compare names the tensors that are not what a model of these sizes has.
func (i *inference) compare(shape Shape) error {
	var missing, misshapen []string
	unknown := maps.Clone(i.tensors)
	for _, p := range hrmParameters(&Model{Spec: i.spec, Shape: shape}) {
		have, ok := i.tensors[p.Name]
		delete(unknown, p.Name)
		switch {
		case !ok:
			missing = append(missing, p.Name)
		case !slices.Equal(have, p.Shape):
			misshapen = append(misshapen, fmt.Sprintf("%s has %d, want %d", p.Name, have, p.Shape))
		}
	}
	return errors.Join(
		listed("tensors are missing", missing),
		listed("tensors have another shape", misshapen),
		listed("tensors belong to no HRM of these sizes", slices.Sorted(maps.Keys(unknown))),
	)
}

// listed is an error about some names, nil if there are none.
func listed(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	const most = 10
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return fmt.Errorf("%s: %.2000s%s", what, strings.Join(names, ", "), more)
}
