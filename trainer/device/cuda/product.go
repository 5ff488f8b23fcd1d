package cuda

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// isProduct says whether cuBLASLt computes an opcode.
func isProduct(o device.Opcode) bool { return weighs(o) || o == device.OpLinearGradWeight }

// weighs says whether an opcode multiplies by a parameter.
func weighs(o device.Opcode) bool { return o == device.OpLinear || o == device.OpLinearGradInput }

// dataType is a type as CUDA calls it.
func dataType(t device.DType) binding.DataType {
	if t == device.BFloat16 {
		return binding.RealBFloat16
	}
	return binding.RealFloat32
}

// productShape describes an instruction over rows examples to cuBLASLt, and says which of the operands are its A and B.
//
// cuBLASLt's matrices are in column-major order, so that it sees ours transposed: x [n,in] as in x n, W [out,in] as in x out,
// and it is asked for the transposed result.
func productShape(ins *device.Instruction, values []device.Value, rows int) (s binding.Shape, a, b int) {
	first, second, out := &values[ins.In[0]], &values[ins.In[1]], &values[ins.Out]
	n := rows * first.Elements() / last(first)
	act := dataType(first.DType)
	s.Workspace, s.Alignment = workspaceBytes, alignment
	if ins.Op == device.OpLinearGradWeight {
		// dWᵀ [in,out] = xᵀ·dOut
		s.A, s.B = binding.Matrix{Type: act, Rows: last(second), Cols: n}, binding.Matrix{Type: act, Rows: last(first), Cols: n}
		s.TransB = true
		s.D = binding.Matrix{Type: binding.RealFloat32, Rows: last(second), Cols: last(first)}
		return s, ins.In[1], ins.In[0]
	}
	// yᵀ [out,n] = W·xᵀ, or dxᵀ [in,n] = Wᵀ·dOutᵀ
	s.A = binding.Matrix{Type: act, Rows: second.Shape[1], Cols: second.Shape[0]}
	s.B = binding.Matrix{Type: act, Rows: last(first), Cols: n}
	s.TransA = ins.Op == device.OpLinear
	s.D = binding.Matrix{Type: dataType(out.DType), Rows: last(out), Cols: n}
	return s, ins.In[1], ins.In[0]
}

// product returns the product of a shape, whose algorithm is chosen once, on the thread.
func (d *Device) product(s binding.Shape) (*binding.Product, error) {
	if p, ok := d.products[s]; ok {
		return p, nil
	}
	p, err := d.blas.NewProduct(d.blasHandle, s)
	if err != nil {
		return nil, fmt.Errorf("product %+v: %w", s, err)
	}
	d.products[s] = p
	return p, nil
}

// last is the innermost dimension of a value, 1 of a scalar.
func last(v *device.Value) int {
	if len(v.Shape) == 0 {
		return 1
	}
	return v.Shape[len(v.Shape)-1]
}
