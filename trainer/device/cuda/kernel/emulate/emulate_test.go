package emulate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

func open(t *testing.T) *Device {
	t.Helper()
	if _, err := exec.LookPath(Compiler); err != nil {
		needs.Missing(t, err)
	}
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// bench has kernels k0, k1, ... of given bodies. They have 64 threads, 1 KiB of shared memory, and buffers x and out of 64
// floats; x[i] = i+1.
type bench struct{ device *Device }

func newBench(t *testing.T, bodies ...string) bench {
	t.Helper()
	d := open(t)
	text := strings.Replace(prelude, "#pragma once\n", "", 1)
	for i, body := range bodies {
		text += fmt.Sprintf(`
KERNEL void k%d(const float *x, float *out) {
  [[maybe_unused]] float *shared = (float *)shared_memory();
  int i = threadIdx.x;
  %s
}`, i, body)
	}
	l := &library{}
	l.once.Do(func() { l.path, l.err = d.compileText("test.cu", text+"\n", nil) })
	if l.err != nil {
		t.Fatal(l.err)
	}
	d.libraries["test.cu"] = l
	return bench{d}
}

// launch runs a kernel and returns out.
func (b bench) launch(t *testing.T, number int, seed uint64) ([]float32, error) {
	t.Helper()
	x := make([]float32, 64)
	for i := range x {
		x[i] = float32(i + 1)
	}
	job := &Job{Seed: seed, Buffers: [][]byte{bytes.Clone(device.Bytes(x)), bytes.Repeat([]byte{0xff}, 256)}}
	err := b.device.Run(job, kernel.Work{Launches: []kernel.Launch{{
		File: "test.cu", Kernel: fmt.Sprintf("k%d", number), Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{64, 1, 1}, SharedBytes: 1024,
		Args: []kernel.Arg{kernel.Buffer(0), kernel.Buffer(1)},
	}}})
	if err != nil {
		return nil, err
	}
	return device.ReadFloats(device.HostArrayOver(device.Float32, job.Buffers[1]), 0, 64)
}

func TestRun_endsWithAnErrorIfAKernel(t *testing.T) {
	cases := []struct{ name, body, want string }{
		{"reads behind a buffer", "out[i] = x[i + 1];", "heap-buffer-overflow"},
		{"writes before a buffer", "out[i - 1] = x[i];", "heap-buffer-overflow"},
		{"reads behind shared memory", "out[i] = shared[193 + i];", "heap-buffer-overflow"},
		{"reads 16 bytes where 4 begin", "out[i] = ((const quad *)(x + i % 8))->x;", "misaligned address"},
		{"copies where 16 bytes don't begin", "copy_async(shared + i, x, true); copies_arrived(); out[i] = shared[i];", "not aligned"},
		{"waits in one branch only", "if (i < 3) __syncthreads(); out[i] = x[i];", "wait for each other for ever"},
		{"lets a lane stay away", "if (i != 40) __syncwarp(); out[i] = x[i];", "wait for each other for ever"},
		{"lets lanes meet elsewhere", "if (i % 2) __syncwarp(); else __shfl_sync(0xffffffffu, 1, 0); out[i] = x[i];", "different operations"},
		{"shuffles half a warp", "out[i] = __shfl_sync(0xffffu, x[i], 0);", "whole warps"},
		{"does not wait for its copies", "copy_async(shared + 4 * i % 64, x, true); out[i] = x[i];", "before its copies have arrived"},
		{"overflows an int", "int big = 0x7fffffff - 63 + i; out[i] = big + (int)x[0];", "signed integer overflow"},
	}
	var bodies []string
	for _, c := range cases {
		bodies = append(bodies, c.body)
	}
	b := newBench(t, bodies...)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := b.launch(t, i, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestRun_showsInTheResultsIfAKernel(t *testing.T) {
	const unwritten = "a NaN"
	cases := []struct{ name, body, want string }{
		{"has no barrier between a write and a read", "shared[i] = x[i]; out[i] = shared[63 - i];", "another result"},
		{"has no barrier before it writes again", "shared[i] = x[i]; __syncthreads(); float y = shared[63 - i]; shared[i] = 0; out[i] = y;", "another result"},
		{"has no __syncwarp between lanes", "shared[i] = x[i]; out[i] = shared[i ^ 1];", "another result"},
		{"reads shared memory that nobody wrote", "out[i] = shared[i];", unwritten},
		{"leaves a result out", "if (i != 5) out[i] = x[i];", unwritten},
		{"reads a copy that has not arrived", "copy_async(shared + 4 * i % 256, x, true); float y = shared[4 * i % 256]; copies_arrived(); out[i] = y;", unwritten},
	}
	var bodies []string
	for _, c := range cases {
		bodies = append(bodies, c.body)
	}
	b := newBench(t, bodies...)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var first []byte
			nan, differs := false, false
			for seed := range uint64(4) {
				out, err := b.launch(t, i, seed)
				if err != nil {
					t.Fatal(err)
				}
				nan = nan || slices.ContainsFunc(out, func(x float32) bool { return x != x })
				raw := device.Bytes(out)
				differs = differs || first != nil && !bytes.Equal(first, raw)
				first = raw
			}
			if c.want == unwritten && !nan || c.want != unwritten && !differs {
				t.Errorf("nothing shows, want %s", c.want)
			}
		})
	}
}

func TestRun_computesWithBarriersAndShuffles(t *testing.T) {
	b := newBench(t, "shared[i] = x[i]; __syncthreads(); out[i] = shared[63 - i] + __shfl_xor_sync(0xffffffffu, x[i], 1);")
	out, err := b.launch(t, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range out {
		if want := float32(64 - i + (i ^ 1) + 1); x != want {
			t.Errorf("out[%d] = %v, want %v", i, x, want)
		}
	}
}

// The tile's element (r,c) is 16r+c. PTX: lane l of matrix m gets of row l/4 the columns 2(l%4) and 2(l%4)+1.
func TestLoadMatrices_dealsAsPTXSays(t *testing.T) {
	const body = `
  bf16 *tile = (bf16 *)shared;
  if (i < 32) for (int k = 0; k < 8; k++) tile[8 * i + k].bits = 8 * i + k;
  __syncthreads();
  u32 r[4], s[4];
  load_matrices(r, tile + 8 * (i % 32));
  load_matrices_transposed(s, tile + 8 * (i % 32));
  int l = i % 32, bad = 0;
  for (int m = 0; m < 4; m++) {
    int first = 64 * m + 8 * (l / 4) + 2 * (l % 4), down = 64 * m + 8 * (2 * (l % 4)) + l / 4;
    bad += r[m] != (u32)(first | (first + 1) << 16);
    bad += s[m] != (u32)(down | (down + 8) << 16);
  }
  out[i] = bad;`
	out, err := newBench(t, body).launch(t, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out, make([]float32, 64)) {
		t.Errorf("lanes have other elements: %v", out)
	}
}

func TestPrune_removesWhatWasUsedLongAgo(t *testing.T) {
	d, now := &Device{dir: t.TempDir()}, time.Now()
	for name, age := range map[string]time.Duration{"old": keep + time.Hour, "new": time.Hour} {
		path := filepath.Join(d.dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.prune(now); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(d.dir); len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("left are %v", left)
	}
}
