package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

const (
	tensorFile = "attention.cu"
	plainFile  = "attention_plain.cu"
	// maxWarps is how many warps of 16 positions a block of the tensor-core kernels has at most.
	maxWarps = 8
	// plainTile and plainWarps are TILE and WARPS of attention_plain.cu.
	plainTile, plainWarps = 32, 8
)

// heads describes the attention of an instruction.
type heads struct {
	t, queries, heads, dim int
	// tensor says that tensor cores compute it.
	tensor bool
	act    device.DType
	rope   Arg
	scale  float64
}

func newHeads(c *call) (heads, error) {
	qkv := c.in(0)
	h := heads{t: qkv.Shape[0], queries: c.out().Shape[0], heads: c.ins.Attr.Heads, act: qkv.DType, rope: Null{}}
	if h.heads < 1 || last(qkv)%(3*h.heads) != 0 {
		return h, fmt.Errorf("%d heads do not divide a hidden size of %d: choose a number that does", h.heads, last(qkv)/3)
	}
	h.dim = last(qkv) / 3 / h.heads
	h.scale = 1 / math.Sqrt(float64(h.dim))
	h.tensor = h.act == device.BFloat16 && (h.dim == 32 || h.dim == 64 || h.dim == 128)
	if theta := c.ins.Attr.RoPETheta; theta != 0 {
		if h.dim%2 != 0 {
			return h, fmt.Errorf("rotary positions need heads of an even size, not %d: choose another number of heads", h.dim)
		}
		h.rope = ropeTable(h.t, h.dim, theta)
	}
	return h, nil
}

// ropeTable is [t,2,dim/2] float32: the cosines and the sines of position*theta^(-2i/dim).
func ropeTable(t, dim int, theta float64) *Table {
	table := &Table{Key: fmt.Sprintf("rope %d %d %g", t, dim, theta)}
	for p := range t {
		for _, f := range []func(float64) float64{math.Cos, math.Sin} {
			for i := range dim / 2 {
				angle := float64(p) * math.Pow(theta, -2*float64(i)/float64(dim))
				table.Bytes = binary.LittleEndian.AppendUint32(table.Bytes, math.Float32bits(float32(f(angle))))
			}
		}
	}
	return table
}

// stride is the bytes of a row of a tile in shared memory.
func (h *heads) stride() int { return 2 * (h.dim + 8) }

// chunk is how many positions of the other side the tensor-core kernels multiply at a time.
func (h *heads) chunk() int {
	if h.dim <= 64 {
		return 32
	}
	return 16
}

// stage splits n positions evenly into stages of at most limit, each a number of whole chunks.
func (h *heads) stage(n, limit int) int {
	return ceil(ceil(n, ceil(n, limit)), h.chunk()) * h.chunk()
}

// blocks splits n positions evenly among blocks of at most maxWarps warps. Short blocks get more warps than have positions:
// they help to load.
func (h *heads) blocks(n int) (blocks, warps int) {
	groups := ceil(n, 16)
	blocks = ceil(groups, maxWarps)
	return blocks, max(4, ceil(groups, blocks))
}

// launchHeads adds a launch with so many blocks for every head of every row.
func (c *call) launchHeads(h *heads, kernel string, blocks, threads, shared int, args ...Arg) {
	file := plainFile
	if h.tensor {
		file = tensorFile
	}
	c.launch(file, kernel, h.act, [3]uint32{uint32(blocks), uint32(c.rows * h.heads), 1}, block(threads), shared, args...)
	if h.tensor {
		l := &c.work.Launches[len(c.work.Launches)-1]
		l.Defines = append(l.Defines, fmt.Sprintf("DIM=%d", h.dim))
		slices.Sort(l.Defines)
	}
}

func attention(c *call) error {
	h, err := newHeads(c)
	if err != nil {
		return err
	}
	if !h.tensor {
		return plainAttention(c, &h)
	}
	limit := 128
	if h.dim > 64 {
		limit = 64
	}
	blocks, warps := h.blocks(h.queries)
	stage := h.stage(h.t, limit)
	c.launchHeads(&h, "attention", blocks, warps*warp, (16*warps+2*stage)*h.stride(),
		c.arg(0), h.rope, c.result(), c.aux(), Int32(h.t), Int32(h.queries), Int32(h.heads), Int32(stage), Float32(h.scale))
	return nil
}

func attentionGrad(c *call) error {
	h, err := newHeads(c)
	if err != nil {
		return err
	}
	if h.queries != h.t {
		return fmt.Errorf("the result has %d positions, want %d", h.queries, h.t)
	}
	args := []Arg{c.arg(0), h.rope, c.arg(1), c.arg(2), c.aux(), c.result(), Int32(h.t), Int32(h.heads)}
	if !h.tensor {
		return plainAttentionGrad(c, &h, args)
	}
	// n positions in one block: a whole number of chunks.
	n := ceil(h.t, h.chunk()) * h.chunk()
	if shared := 4*n*h.stride() + 2*n*(n+8) + 8*n; n <= 16*maxWarps && shared <= maxShared {
		c.launchHeads(&h, "attention_grad", 1, n/16*warp, shared, append(args, Float32(h.scale))...)
		return nil
	}
	limit := 64
	if h.dim > 64 {
		limit = 32
	}
	blocks, warps := h.blocks(h.t)
	stage := h.stage(h.t, limit)
	args = append(args, Int32(stage), Float32(h.scale))
	tiles := (2*16*warps + 2*stage) * h.stride()
	c.launchHeads(&h, "attention_grad_keys", blocks, warps*warp, tiles+8*stage, args...)
	c.launchHeads(&h, "attention_grad_queries", blocks, warps*warp, tiles+8*16*warps, args...)
	return nil
}

// plainEach is how many positions each warp of the plain kernels owns: fewer of wide heads, for the sake of shared memory.
func (h *heads) plainEach() int {
	switch {
	case h.dim <= 64:
		return 4
	case h.dim <= 128:
		return 2
	}
	return 1
}

// plainTiles is the numbers in shared memory of two tiles of the other side and of the warps' weights.
func (h *heads) plainTiles() int { return 2*plainTile*(h.dim+1) + plainWarps*plainTile }

func plainAttention(c *call, h *heads) error {
	own := plainWarps * h.plainEach()
	shared := 4 * (2*own*h.dim + 2*own + h.plainTiles())
	c.launchHeads(h, "attention_plain", ceil(h.queries, own), plainWarps*warp, shared,
		c.arg(0), h.rope, c.result(), c.aux(), Int32(h.t), Int32(h.queries), Int32(h.heads), Int32(h.dim), Int32(h.plainEach()), Float32(h.scale))
	return nil
}

func plainAttentionGrad(c *call, h *heads, args []Arg) error {
	own := plainWarps * h.plainEach()
	tiles := h.plainTiles()
	args = append(args, Int32(h.dim), Int32(h.plainEach()), Float32(h.scale))
	c.launchHeads(h, "attention_plain_grad_keys", ceil(h.t, own), plainWarps*warp, 4*(4*own*h.dim+tiles+plainTile), args...)
	c.launchHeads(h, "attention_plain_grad_queries", ceil(h.t, own), plainWarps*warp, 4*(3*own*h.dim+own+tiles), args...)
	return nil
}
