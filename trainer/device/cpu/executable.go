//go:build onednn && cgo && linux

package cpu

// #include <stdlib.h>
// #include "kernels.h"
// #include "products.h"
// static void call_sum(const hrm_kernels *k, long n, int count, float **parts, long offset, float *out) {
// 	k->sum(n, count, parts, offset, out);
// }
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

type executable struct {
	device  *Device
	program *device.Program
	c       *C.hrm_program
	// The C side's views of values and instructions.
	values       []C.hrm_value
	instructions []C.hrm_instruction
	bound        []*C.char
	shadow       []C.long
	workers      []*C.hrm_worker
	// parts are the gradients of the workers but for the first, which adds to the bound arrays; value v begins at byte
	// gradients[v] of each.
	parts         []*C.float
	gradients     []int
	gradientBytes int
	scratchBytes  int
	weightCount   int
	// firstWrite and lastRead are instants of values: two per instruction, reading before writing.
	firstWrite, lastRead []int
	sliceRows            int
	plans                map[int]*plan
	owned                []unsafe.Pointer
	arenaRows            int
	shadowBytes          int

	// The run under way.
	ctx                        context.Context
	rows                       int
	arrays                     []*array
	stale                      []stalePack
	failures                   []C.int
	runTask, sumTask, packTask func(int)
}

// Run executes the program over rows examples: every worker its share, slice after slice.
func (x *executable) Run(ctx context.Context, rows int, bindings map[string]device.Array) error {
	if err := x.prepare(rows, bindings); err != nil {
		return fmt.Errorf("program %s: %w", x.program.Name, err)
	}
	x.ctx, x.rows = ctx, rows
	profile := x.device.profile
	x.c.profile = cBool(profile != nil)
	if len(x.stale) > 0 {
		profile.Time("PackWeights", "", device.Cost{}, func() { x.device.workers.do(x.packTask) })
	}
	x.device.workers.do(x.runTask)
	if profile != nil {
		x.takeTimes(profile)
	}
	if x.gradientBytes > 0 && len(x.parts) > 0 {
		profile.Time("SumGradients", "", device.Cost{}, func() { x.device.workers.do(x.sumTask) })
	}
	x.markWritten()
	runtime.KeepAlive(bindings)
	x.ctx = nil
	if err := ctx.Err(); err != nil {
		return err
	}
	return x.failure()
}

func (x *executable) prepare(rows int, bindings map[string]device.Array) error {
	if rows < 1 {
		return fmt.Errorf("run over %d rows: there must be at least one", rows)
	}
	if err := x.bind(rows, bindings); err != nil {
		return err
	}
	x.shadowOverwritten()
	x.stale = x.stale[:0]
	most := 0
	for w := range x.workers {
		first, end := share(rows, w, len(x.workers))
		for first < end {
			n := x.slice(first, end)
			if err := x.preparePlan(n); err != nil {
				return err
			}
			first, most = first+n, max(most, n)
		}
	}
	x.growArenas(most)
	return nil
}

// slice returns the size of the next slice of the rows [first, end): as equal as can be, at most sliceRows.
func (x *executable) slice(first, end int) int {
	count := (end - first + x.sliceRows - 1) / x.sliceRows
	return (end - first + count - 1) / count
}

func (x *executable) bind(rows int, bindings map[string]device.Array) error {
	for i := range x.program.Values {
		v := &x.program.Values[i]
		if v.Role == device.Temporary {
			continue
		}
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		b, ok := bindings[v.Name]
		if !ok {
			return fmt.Errorf("%s is not bound", v.Name)
		}
		a, ok := b.(*array)
		if !ok {
			return fmt.Errorf("%s is bound to an array of another device", v.Name)
		}
		if a.dtype != v.DType || a.n < n {
			return fmt.Errorf("%s is bound to %d elements of %v, want %d of %v", v.Name, a.n, a.dtype, n, v.DType)
		}
		x.arrays[i], x.bound[i] = a, (*C.char)(a.data)
	}
	return nil
}

// shadowOverwritten gives a place in the shadow to inputs that an output of the same array overwrites before their last use.
func (x *executable) shadowOverwritten() {
	need := 0
	for i := range x.program.Values {
		x.shadow[i] = -1
		if x.program.Values[i].Role == device.Input && x.overwritten(i) {
			x.shadow[i] = C.long(need)
			need += (int(x.values[i].bytes) + 63) / 64 * 64
		}
	}
	if need > x.shadowBytes {
		x.shadowBytes, x.arenaRows = need, 0
	}
}

func (x *executable) overwritten(input int) bool {
	for o := range x.program.Values {
		if x.program.Values[o].Role == device.Output && x.arrays[o] == x.arrays[input] && x.firstWrite[o] < x.lastRead[input] {
			return true
		}
	}
	return false
}

// growArenas makes the workers' temporaries large enough for slices of n rows.
func (x *executable) growArenas(n int) {
	if n <= x.arenaRows {
		return
	}
	for _, w := range x.workers {
		C.free(unsafe.Pointer(w.arena))
		C.free(unsafe.Pointer(w.shadow))
		w.arena = (*C.char)(alignedZeros(n * x.program.ArenaBytes))
		w.shadow = (*C.char)(alignedZeros(n * x.shadowBytes))
	}
	x.arenaRows = n
}

// runShare is a worker's part of a run.
func (x *executable) runShare(w int) {
	c := x.workers[w]
	x.failures[w], c.slices = 0, 0
	x.clearGradients(w)
	first, end := share(x.rows, w, len(x.workers))
	for first < end && x.failures[w] == 0 && x.ctx.Err() == nil {
		n := x.slice(first, end)
		x.failures[w] = C.hrm_run_slice(x.c, c, x.plans[n].c, C.long(first), C.int(n))
		first += n
	}
}

// clearGradients prepares a worker's sums.
func (x *executable) clearGradients(w int) {
	if w > 0 {
		clear(unsafe.Slice((*byte)(unsafe.Pointer(x.parts[w-1])), x.gradientBytes))
		return
	}
	at := unsafe.Slice(x.workers[0].gradients, len(x.values))
	for v := range x.program.Values {
		if x.program.Values[v].Role == device.Gradient {
			at[v] = x.bound[v]
			clear(x.arrays[v].bytes())
		}
	}
}

// sumShare adds the workers' gradients for a worker's part of every gradient.
func (x *executable) sumShare(w int) {
	for v := range x.program.Values {
		if x.program.Values[v].Role != device.Gradient {
			continue
		}
		n := int(x.values[v].elements)
		first, end := share(n, w, len(x.workers))
		if first == end {
			continue
		}
		out := (*C.float)(unsafe.Add(x.arrays[v].data, 4*first))
		C.call_sum(x.device.kernels, C.long(end-first), C.int(len(x.parts)), unsafe.SliceData(x.parts), C.long(x.gradients[v]/4+first), out)
	}
}

// markWritten tells the arrays that were written that packed copies of them are stale.
func (x *executable) markWritten() {
	for i := range x.program.Values {
		if r := x.program.Values[i].Role; r == device.Output || r == device.Gradient {
			x.arrays[i].version++
		}
	}
}

func (x *executable) failure() error {
	for _, f := range x.failures {
		if f == 0 {
			continue
		}
		i, reason := int(f)/C.HRM_REASONS, f%C.HRM_REASONS
		what := "the product failed"
		switch reason {
		case C.HRM_BAD_TOKEN:
			what = "a token is outside of the vocabulary"
		case C.HRM_BAD_LABEL:
			what = "a label is outside of the vocabulary"
		}
		return fmt.Errorf("program %s: instruction %d (%v): %s", x.program.Name, i, x.program.Instructions[i].Op, what)
	}
	return nil
}

// takeTimes counts what the workers have noted of a run.
func (x *executable) takeTimes(profile *device.Profile) {
	n := len(x.program.Instructions)
	for i := range x.program.Instructions {
		ins := &x.program.Instructions[i]
		m := device.Measurement{Operation: ins.Op.String(), Shape: ins.Shape(x.program.Values), Cost: ins.Cost(x.program.Values, x.rows)}
		for _, w := range x.workers {
			seconds := unsafe.Slice((*float64)(unsafe.Pointer(w.seconds)), n)
			m.Seconds += seconds[i] / float64(len(x.workers))
			m.Launches += int(w.slices)
			seconds[i] = 0
		}
		profile.Add(m)
	}
}

// Close frees the executable's memory.
func (x *executable) Close() error {
	for _, p := range x.plans {
		p.free()
	}
	for _, w := range x.workers {
		C.free(unsafe.Pointer(w.arena))
		C.free(unsafe.Pointer(w.shadow))
	}
	for _, p := range x.owned {
		C.free(p)
	}
	x.plans, x.workers, x.owned, x.arrays = nil, nil, nil, nil
	return nil
}
