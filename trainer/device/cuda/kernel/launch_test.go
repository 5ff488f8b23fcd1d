package kernel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel/emulate"
)

// describe returns the work of a single instruction over values without contents.
func describe(rows int, values []device.Value, ins device.Instruction) (kernel.Work, error) {
	return kernel.For(&ins, values, rows)
}

func rowValue(t device.DType, shape ...int) device.Value {
	return device.Value{Role: device.Output, DType: t, Rows: true, Shape: shape}
}

// attentionOf describes attention, or its gradient, of t positions of which the first q ask.
func attentionOf(op device.Opcode, act device.DType, rows, t, q, heads, dim int) (kernel.Work, error) {
	d := heads * dim
	values := []device.Value{rowValue(act, t, 3*d), rowValue(act, q, d), rowValue(device.Float32, heads, q), rowValue(act, t, 3*d)}
	ins := device.Instruction{Op: op, In: []int{0}, Out: 1, Aux: 2, Attr: device.Attributes{Heads: heads, RoPETheta: 10000}}
	if op == device.OpAttentionGrad {
		ins.In, ins.Out = []int{0, 1, 1}, 3
	}
	return describe(rows, values, ins)
}

// Blocks times warps times 16 positions must hold every position, in all sizes near the borders, with no block to spare.
func TestFor_launchesAttentionForEveryPosition(t *testing.T) {
	for _, dim := range []int{32, 64, 128} {
		for _, positions := range []int{1, 15, 16, 17, 63, 64, 65, 82, 97, 112, 113, 128, 129, 255, 256, 257, 916} {
			for _, op := range []device.Opcode{device.OpAttention, device.OpAttentionGrad} {
				work, err := attentionOf(op, device.BFloat16, 3, positions, positions, 2, dim)
				if err != nil {
					t.Fatalf("%v of %d positions of %d: %v", op, positions, dim, err)
				}
				for _, l := range work.Launches {
					each := int(l.Block[0]) / 32 * 16
					if blocks := int(l.Grid[0]); l.Grid[1] != 6 || blocks*each < positions || (blocks-1)*each >= positions || l.Block[0] > 256 {
						t.Errorf("%s of %d positions of %d: a grid of %v blocks of %d positions", l.Kernel, positions, dim, l.Grid, each)
					}
				}
			}
		}
	}
}

func TestFor_choosesTheAttentionThatFits(t *testing.T) {
	cases := []struct {
		name           string
		op             device.Opcode
		act            device.DType
		positions, dim int
		file           string
		kernels        []string
		defines        []string
	}{
		{"Sudoku", device.OpAttentionGrad, device.BFloat16, 82, 64, "attention.cu", []string{"attention_grad"}, []string{"BFLOAT16", "DIM=64"}},
		{"Sudoku with a long prefix", device.OpAttentionGrad, device.BFloat16, 97, 64, "attention.cu", []string{"attention_grad_keys", "attention_grad_queries"}, []string{"BFLOAT16", "DIM=64"}},
		{"a maze", device.OpAttentionGrad, device.BFloat16, 916, 64, "attention.cu", []string{"attention_grad_keys", "attention_grad_queries"}, []string{"BFLOAT16", "DIM=64"}},
		{"float32", device.OpAttention, device.Float32, 82, 64, "attention_plain.cu", []string{"attention_plain"}, nil},
		{"narrow heads", device.OpAttention, device.BFloat16, 82, 16, "attention_plain.cu", []string{"attention_plain"}, []string{"BFLOAT16"}},
		{"the widest heads", device.OpAttentionGrad, device.Float32, 82, 256, "attention_plain.cu", []string{"attention_plain_grad_keys", "attention_plain_grad_queries"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			work, err := attentionOf(c.op, c.act, 1, c.positions, c.positions, 8, c.dim)
			if err != nil {
				t.Fatal(err)
			}
			var kernels []string
			for _, l := range work.Launches {
				kernels = append(kernels, l.Kernel)
				if l.File != c.file || !slices.Equal(l.Defines, c.defines) {
					t.Errorf("%s with %q, want %s with %q", l.File, l.Defines, c.file, c.defines)
				}
			}
			if !slices.Equal(kernels, c.kernels) {
				t.Errorf("kernels %q, want %q", kernels, c.kernels)
			}
		})
	}
}

// A launch of n numbers has a thread for every access, and no block without work.
func TestFor_launchesAThreadForEveryAccess(t *testing.T) {
	for act, pack := range map[device.DType]int{device.Float32: 4, device.BFloat16: 8} {
		for _, n := range []int{1, pack - 1, pack, 256*pack - 1, 256 * pack, 256*pack + 1, 1 << 20} {
			v := rowValue(act, n)
			work, err := describe(1, []device.Value{v, v, v}, device.Instruction{Op: device.OpAdd, In: []int{0, 1}, Out: 2})
			if err != nil {
				t.Fatal(err)
			}
			if blocks, per := int(work.Launches[0].Grid[0]), 256*pack; blocks*per < n || (blocks-1)*per >= n {
				t.Errorf("%d blocks for %d numbers of %v", blocks, n, act)
			}
		}
	}
}

func TestFor_refusesWithARemedy(t *testing.T) {
	act, f32 := device.BFloat16, device.Float32
	cases := []struct {
		name string
		do   func() (kernel.Work, error)
		want string
	}{
		{"a product", func() (kernel.Work, error) {
			return describe(1, nil, device.Instruction{Op: device.OpLinear})
		}, "computed by cuBLASLt"},
		{"heads that do not divide the width", func() (kernel.Work, error) {
			return describe(1, []device.Value{rowValue(act, 2, 30), rowValue(act, 2, 10)}, device.Instruction{Op: device.OpAttention, In: []int{0}, Out: 1, Attr: device.Attributes{Heads: 3}})
		}, "choose a number that does"},
		{"rotation of odd heads", func() (kernel.Work, error) { return attentionOf(device.OpAttention, act, 1, 2, 2, 1, 5) }, "another number of heads"},
		{"heads too wide for shared memory", func() (kernel.Work, error) { return attentionOf(device.OpAttentionGrad, f32, 1, 2, 2, 1, 512) }, "use narrower heads"},
		{"more rows than a grid has", func() (kernel.Work, error) {
			v := rowValue(act, 2, 8)
			return describe(65536, []device.Value{v, v}, device.Instruction{Op: device.OpDropPrefix, In: []int{0}, Out: 1})
		}, "use a smaller batch"},
		{"no positions", func() (kernel.Work, error) {
			v := rowValue(act, 0, 8)
			return describe(1, []device.Value{v, v}, device.Instruction{Op: device.OpSwiGLU, In: []int{0}, Out: 1})
		}, "shapes are empty"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// Tables are uploaded once per key, so a key must stand for its contents.
func TestFor_namesTablesByTheirContents(t *testing.T) {
	seen := map[string]string{}
	for _, positions := range []int{7, 8} {
		for _, dim := range []int{16, 32} {
			work, err := attentionOf(device.OpAttention, device.BFloat16, 1, positions, positions, 1, dim)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range work.Launches[0].Args {
				if table, ok := a.(*kernel.Table); ok {
					if len(table.Bytes) != 4*positions*dim {
						t.Errorf("%s has %d bytes", table.Key, len(table.Bytes))
					}
					if other, ok := seen[table.Key]; ok && other != string(table.Bytes) {
						t.Errorf("two tables are called %s", table.Key)
					}
					seen[table.Key] = string(table.Bytes)
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d tables, want 4", len(seen))
	}
}

func TestSource_isOneTextWithItsHeaders(t *testing.T) {
	for _, file := range kernel.Files() {
		text, err := kernel.Source(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "#include") || strings.Contains(text, "#pragma once") {
			t.Errorf("%s still includes something", file)
		}
		if len(kernel.Kernels(text)) == 0 || strings.Count(text, "KERNEL void") != len(kernel.Kernels(text)) {
			t.Errorf("%s: of %d kernels %q are found", file, strings.Count(text, "KERNEL void"), kernel.Kernels(text))
		}
	}
	if _, err := kernel.Source("absent.cu"); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// Bad input leaves the kernels inside of their buffers, and is told by the fault word.
func TestKernels_reportTokensAndLabelsOutsideOfTheVocabulary(t *testing.T) {
	for _, bad := range []int{-1, 3, 1 << 30} {
		for name, build := range map[string]func(b *builder){
			"token is outside": func(b *builder) {
				b.do(device.OpEmbed, device.Attributes{Scale: 1}, b.out(2, 8), b.constant(bad, 2), b.param(3, 8))
			},
			"label is outside": func(b *builder) {
				b.do(device.OpLMLoss, device.Attributes{}, b.outF(), b.in(2, 3), b.constant(bad, 2))
			},
			"token is outside ": func(b *builder) {
				b.do(device.OpEmbedGradWeight, device.Attributes{Scale: 1}, b.gradient(3, 8), b.constant(bad, 2), b.in(2, 8))
			},
		} {
			t.Run(fmt.Sprintf("%s %d", name, bad), func(t *testing.T) {
				b := newBuilder(device.BFloat16, 2)
				build(b)
				work, err := kernel.For(&b.list[0], b.values, b.rows)
				if err != nil {
					t.Fatal(err)
				}
				job := &emulate.Job{Buffers: clone(b.contents)}
				if err := emulated(t).Run(job, work); err != nil {
					t.Fatal(err)
				}
				if err := kernel.FaultError(job.Fault); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
					t.Errorf("error %v, want one with %q", err, name)
				}
			})
		}
	}
}

// constant is an Int32 input whose elements are all the same.
func (b *builder) constant(x int, shape ...int) int {
	return b.value(device.Input, device.Int32, true, func() float64 { return float64(x) }, shape...)
}

func TestRound_writesBFloat16(t *testing.T) {
	for _, n := range []int{1, 8, 2049} {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i)*1.0001 - 3
		}
		work, err := kernel.Round(0, 1, n)
		if err != nil {
			t.Fatal(err)
		}
		got := run(t, [][]byte{raw(x...), make([]byte, 2*n)}, work)
		want := make([]uint16, n)
		for i := range x {
			want[i] = device.RoundBFloat16(x[i])
		}
		if string(got[1]) != string(raw(want...)) {
			t.Errorf("%d numbers are rounded otherwise", n)
		}
	}
}
