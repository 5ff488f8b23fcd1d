// Package report makes pictures of puzzles and of what a model says of them: in the terminal, as PNG, and as
// self-contained HTML. What a token looks like is a [Palette]; a row of tokens arranged on the plane is a [Board].
package report
