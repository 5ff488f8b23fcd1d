package kernel

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

const rmsNormFile = "rmsnorm.cu"

// rmsNormKernel is the variant of a kernel whose warps hold a position of dim numbers.
func rmsNormKernel(name string, dim int, t device.DType) string {
	for _, packs := range []int{1, 2, 4} {
		if n := pack(t); dim%n == 0 && dim <= warp*n*packs {
			return fmt.Sprintf("%s_%d", name, packs)
		}
	}
	return name + "_any"
}

func addRMSNorm(c *call) error {
	out := c.out()
	dim, positions := last(out), c.count(out)/last(out)
	of := func(v *device.Value) Int32 { return Int32(v.Elements() / dim) }
	c.launch(rmsNormFile, rmsNormKernel("add_rms_norm", dim, out.DType), out.DType, grid(positions, threads/warp), block(threads), 0,
		c.arg(0), c.arg(1), c.result(), c.aux(), Int64(positions), of(out), of(c.in(0)), of(c.in(1)), Int32(dim), Float32(c.ins.Attr.Epsilon))
	return nil
}

func addRMSNormGrad(c *call) error {
	out := c.out()
	dim, positions := last(out), c.count(out)/last(out)
	c.launch(rmsNormFile, rmsNormKernel("add_rms_norm_grad", dim, out.DType), out.DType, grid(positions, threads/warp), block(threads), 0,
		c.arg(0), c.arg(1), c.aux(), c.result(), Int64(positions), Int32(dim))
	return nil
}
