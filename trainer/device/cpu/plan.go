//go:build onednn && cgo && linux

package cpu

// #include "kernels.h"
// #include "products.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// plan is what is prepared for slices of one size: products, and the packed weights that they take.
type plan struct {
	c *C.hrm_plan
	// products by what they compute; instructions of the same shapes share one.
	products map[productKey]*C.hrm_product
	uses     []weightUse
	weights  []unsafe.Pointer
}

type productKey struct {
	kind, in, out, rows int
	bf, accumulate      bool
}

// weightUse is a product's need of a parameter in packed form; pack was made for array from.
type weightUse struct {
	value   int
	kind    C.int
	product *C.hrm_product
	from    *array
	pack    *pack
}

// stalePack is a packed weight to make anew before a run.
type stalePack struct {
	pack *pack
	from *array
}

func (p *plan) free() {
	for _, c := range p.products {
		C.hrm_product_free(c)
	}
}

// preparePlan makes the plan for slices of n rows if there is none, and finds its weights.
func (x *executable) preparePlan(n int) error {
	p := x.plans[n]
	if p == nil {
		p = &plan{products: map[productKey]*C.hrm_product{}}
		if err := x.makeProducts(p, n); err != nil {
			p.free()
			return err
		}
		x.plans[n] = p
	}
	for i := range p.uses {
		u := &p.uses[i]
		if err := x.findPack(u); err != nil {
			return err
		}
		p.weights[i] = C.hrm_pack_memory(u.pack.c)
	}
	return nil
}

func (x *executable) makeProducts(p *plan, n int) error {
	products := unsafe.Slice((**C.hrm_product)(x.allocate(8*len(x.instructions))), len(x.instructions))
	p.weights = unsafe.Slice((*unsafe.Pointer)(x.allocate(8*x.weightCount)), x.weightCount)
	p.c = (*C.hrm_plan)(x.allocate(int(unsafe.Sizeof(C.hrm_plan{}))))
	p.c.products, p.c.weights = unsafe.SliceData(products), unsafe.SliceData(p.weights)
	for i := range x.program.Instructions {
		ins := &x.program.Instructions[i]
		if !ins.Op.IsProduct() {
			continue
		}
		c, err := p.product(x.productKey(ins, n), len(x.workers))
		if err != nil {
			return fmt.Errorf("instruction %d (%v): %w", i, ins.Op, err)
		}
		products[i] = c
		if weighs(ins.Op) {
			p.uses = append(p.uses, weightUse{value: ins.In[1], kind: C.int(kindOf(ins.Op)), product: c})
		}
	}
	return nil
}

func kindOf(o device.Opcode) int {
	switch o {
	case device.OpLinear:
		return C.HRM_FORWARD
	case device.OpLinearGradInput:
		return C.HRM_GRAD_INPUT
	}
	return C.HRM_GRAD_WEIGHT
}

func (x *executable) productKey(ins *device.Instruction, n int) productKey {
	a := &x.program.Values[ins.In[0]]
	weight := &x.program.Values[ins.Out]
	if weighs(ins.Op) {
		weight = &x.program.Values[ins.In[1]]
	}
	rows := a.Elements() / a.Last()
	if a.Rows {
		rows *= n
	}
	in := weight.Last()
	return productKey{kind: kindOf(ins.Op), in: in, out: weight.Elements() / in, rows: rows,
		bf: a.DType == device.BFloat16, accumulate: ins.Attr.Accumulate}
}

func (p *plan) product(k productKey, workers int) (*C.hrm_product, error) {
	if c := p.products[k]; c != nil {
		return c, nil
	}
	var status C.int
	c := C.hrm_product_new(C.int(k.kind), C.long(k.rows), C.long(k.in), C.long(k.out), cBool(k.bf), cBool(k.accumulate), C.int(workers), &status)
	if c == nil && status == C.HRM_UNIMPLEMENTED && k.bf {
		return nil, fmt.Errorf("%s multiplies no bfloat16 on this processor (it wants AVX-512): choose float32", C.GoString(C.hrm_products_version()))
	}
	if c == nil {
		return nil, fmt.Errorf("prepare a product of %d rows, %d to %d features: oneDNN status %d", k.rows, k.in, k.out, status)
	}
	p.products[k] = c
	return c, nil
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// findPack finds or makes the bound array's packed form for a use, and notes it if it is stale.
func (x *executable) findPack(u *weightUse) error {
	a := x.arrays[u.value]
	if u.from != a {
		u.from, u.pack = a, nil
		for _, k := range a.packs {
			if k.kind == u.kind && C.hrm_product_takes(u.product, k.c) != 0 {
				u.pack = k
				break
			}
		}
	}
	if u.pack == nil {
		var status C.int
		c := C.hrm_pack_new(u.product, a.floats(), &status)
		if c == nil {
			return fmt.Errorf("pack %s: oneDNN status %d", x.program.Values[u.value].Name, status)
		}
		u.pack = &pack{kind: u.kind, c: c}
		a.packs = append(a.packs, u.pack)
	}
	if u.pack.version != a.version {
		u.pack.version = a.version
		x.stale = append(x.stale, stalePack{u.pack, a})
	}
	return nil
}

// packShare packs a worker's part of the stale weights.
func (x *executable) packShare(w int) {
	for i := w; i < len(x.stale); i += len(x.workers) {
		C.hrm_pack_update(x.stale[i].pack.c)
	}
}
