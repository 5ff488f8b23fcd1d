package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

func attentionCase(theta float64) func(b *builder, z sizes) {
	return func(b *builder, z sizes) {
		a := device.Attributes{Heads: z.heads, RoPETheta: theta}
		qkv, out, lse := b.in(z.t(), 3*z.d), b.out(z.t(), z.d), b.outF(z.heads, z.t())
		b.doAux(device.OpAttention, a, out, lse, qkv)
		b.doAux(device.OpAttentionGrad, a, b.out(z.t(), 3*z.d), lse, qkv, out, b.in(z.t(), z.d))
	}
}

// The first positions ask alone: one, and more than a warp has.
func firstPositions(queries int) func(b *builder, z sizes) {
	return func(b *builder, z sizes) {
		q := min(queries, z.t())
		b.doAux(device.OpAttention, device.Attributes{Heads: z.heads, RoPETheta: 10000}, b.out(q, z.d), b.outF(z.heads, q), b.in(z.t(), 3*z.d))
	}
}

func TestAttention_agreesWithTheReference(t *testing.T) {
	runCases(t, map[string]func(b *builder, z sizes){
		"Attention and its gradient":                    attentionCase(10000),
		"Attention and its gradient without rotation":   attentionCase(0),
		"Attention of which one position asks":          firstPositions(1),
		"Attention of which the first 17 positions ask": firstPositions(17),
	}, roundedTwice, []sizes{
		{rows: 1, s: 1, d: 64, heads: 1},
		{rows: 3, s: 7, d: 64, heads: 2},
		{rows: 1, prefix: 1, s: 81, d: 128, heads: 2},
		{rows: 1, prefix: 16, s: 81, d: 64, heads: 1},
		{rows: 1, s: 97, d: 32, heads: 1},
		{rows: 1, s: 130, d: 64, heads: 1},
		{rows: 1, s: 150, d: 32, heads: 1},
		{rows: 1, s: 33, d: 128, heads: 1},
		{rows: 1, s: 82, d: 128, heads: 1},
		{rows: 2, s: 19, d: 48, heads: 3},
		{rows: 1, s: 35, d: 96, heads: 1},
		{rows: 1, s: 5, d: 6, heads: 1},
	})
}

// Heads of the widths that tensor cores take, over any number of positions.
func TestAttention_ofRandomLengthsAgreesWithTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 0))
	for range 12 {
		z := sizes{rows: 1 + random.IntN(2), s: 1 + random.IntN(140), heads: 1 + random.IntN(2)}
		z.d = z.heads * []int{32, 64, 128}[random.IntN(3)]
		t.Run(z.String(), func(t *testing.T) {
			t.Parallel()
			b := newBuilder(device.BFloat16, z.rows)
			attentionCase(10000)(b, z)
			b.agree(t, roundedTwice[device.BFloat16])
		})
	}
}

// A maze has 900 cells and up to 16 positions of prefix; all stages and blocks of the gradient are in fewer.
func TestAttention_ofAMazeAgreesWithTheReference(t *testing.T) {
	b, z := newBuilder(device.BFloat16, 1), sizes{rows: 1, prefix: 16, s: 900, d: 32, heads: 1}
	firstPositions(z.t())(b, z)
	attentionCase(10000)(b, sizes{rows: 1, s: 260, d: 32, heads: 1})
	b.agree(t, roundedTwice[device.BFloat16])
}
