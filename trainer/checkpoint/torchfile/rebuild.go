package torchfile

import (
	"fmt"
	"math"
)

// maxDimensions is PyTorch's own limit.
const maxDimensions = 64

// persistent replaces the tuple that stands for a storage: ("storage", type, key, device, elements), in old files with
// the place of a storage in another one as a sixth.
func (m *machine) persistent() error {
	id, err := popped[tuple](m, "what names a storage")
	if err != nil {
		return err
	}
	if len(id) != 5 && len(id) != 6 {
		return fmt.Errorf("%s does not name a storage", kind(id))
	}
	tag, _ := id[0].(string)
	g, isGlobal := id[1].(global)
	key, isText := id[2].(string)
	elements, isNumber := id[4].(int64)
	dtype, isStorage := storageTypes[g.name]
	if tag != "storage" || !isGlobal || !isStorage || !isText || !isNumber || elements < 0 {
		return fmt.Errorf("a storage is not described by %s, %s, %s and %s", kind(id[0]), kind(id[1]), kind(id[2]), kind(id[4]))
	}
	if elements > math.MaxInt64/int64(dtype.Size()) {
		return fmt.Errorf("a storage of %d elements is not possible", elements)
	}
	if len(id) == 6 && id[5] != nil {
		return fmt.Errorf("storage %.80q is a part of another one, as PyTorch before 0.4 wrote them; load the file and save it again with torch.save", key)
	}
	return m.push(&storage{key, dtype, elements})
}

// reduce replaces a name and its arguments by what it makes.
func (m *machine) reduce() error {
	arguments, err := popped[tuple](m, "arguments")
	if err != nil {
		return err
	}
	g, err := popped[global](m, "a name")
	if err != nil {
		return err
	}
	var made any
	switch g {
	case orderedDict:
		if len(arguments) != 0 {
			return fmt.Errorf("%s gets arguments", g)
		}
		made = &dict{}
	case rebuildTensor:
		made, err = newView(arguments)
	case rebuildParameter:
		made, err = parameter(arguments)
	default:
		err = fmt.Errorf("it calls %s, which a state dict of tensors does not need; %s", g, remedy)
	}
	if err != nil {
		return err
	}
	return m.push(made)
}

// parameter returns the tensor in the arguments of _rebuild_parameter: data, requires_grad, hooks.
func parameter(arguments tuple) (*view, error) {
	if len(arguments) != 3 {
		return nil, fmt.Errorf("a parameter is made of %d values, want 3", len(arguments))
	}
	v, ok := arguments[0].(*view)
	if !ok {
		return nil, fmt.Errorf("a parameter is made of %s, want a tensor", kind(arguments[0]))
	}
	return v, nil
}

// newView checks the arguments of _rebuild_tensor_v2: storage, offset, size, stride, requires_grad, hooks, and in newer
// files the bits of conjugated and negated tensors.
func newView(arguments tuple) (*view, error) {
	if len(arguments) != 6 && len(arguments) != 7 {
		return nil, fmt.Errorf("a tensor is made of %d values, want 6 or 7", len(arguments))
	}
	s, ok := arguments[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("a tensor is made of %s, want a storage", kind(arguments[0]))
	}
	if len(arguments) == 7 {
		if bits, ok := arguments[6].(*dict); arguments[6] != nil && (!ok || len(bits.items) > 0) {
			return nil, fmt.Errorf("a tensor is conjugated or negated: save it resolved, with tensor.resolve_neg()")
		}
	}
	offset, ok := arguments[1].(int64)
	shape, err := numbers(arguments[2], "shape")
	if err != nil {
		return nil, err
	}
	stride, err := numbers(arguments[3], "stride")
	if err != nil {
		return nil, err
	}
	if !ok || offset < 0 || len(shape) != len(stride) {
		return nil, fmt.Errorf("a tensor of shape %d has the offset %s and the stride %d", shape, kind(arguments[1]), stride)
	}
	v := &view{storage: s, offset: offset, stride: stride}
	for _, n := range shape {
		v.shape = append(v.shape, int(n))
	}
	return v, v.check()
}

// numbers reads a shape or a stride.
func numbers(v any, what string) ([]int64, error) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxDimensions {
		return nil, fmt.Errorf("a tensor's %s is %s, want at most %d whole numbers", what, kind(v), maxDimensions)
	}
	out := make([]int64, len(t))
	for i, x := range t {
		n, ok := x.(int64)
		if !ok || n < 0 {
			return nil, fmt.Errorf("a tensor's %s contains %s, want whole numbers of at least 0", what, kind(x))
		}
		out[i] = n
	}
	return out, nil
}

// check says whether all of the tensor's elements lie in its storage.
func (v *view) check() error {
	if _, err := v.size(); err != nil {
		return err
	}
	last := v.offset
	for i, d := range v.shape {
		if d == 0 {
			return nil
		}
		if v.stride[i] > 0 && int64(d-1) > (math.MaxInt64-last)/v.stride[i] {
			return v.outside()
		}
		last += int64(d-1) * v.stride[i]
	}
	if last >= v.storage.elements {
		return v.outside()
	}
	return nil
}

func (v *view) outside() error {
	return fmt.Errorf("a tensor of shape %d, stride %d and offset %d is not inside its storage of %d elements", v.shape, v.stride, v.offset, v.storage.elements)
}

// size is the number of the tensor's bytes.
func (v *view) size() (int64, error) {
	n := int64(v.storage.dtype.Size())
	for _, d := range v.shape {
		if d == 0 {
			return 0, nil
		}
	}
	for _, d := range v.shape {
		if n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("shape %d is not possible", v.shape)
		}
		n *= int64(d)
	}
	return n, nil
}

// contiguous says whether the tensor's elements lie in the storage as they are in memory, last dimension fastest.
func (v *view) contiguous() bool {
	expected := int64(1)
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.stride[i] != expected {
			return false
		}
		expected *= int64(v.shape[i])
	}
	return true
}

// gather returns the tensor's elements out of its storage's bytes, sharing its memory where they lie there in order.
func (v *view) gather(raw []byte, size int64) []byte {
	width := int64(v.storage.dtype.Size())
	if size == 0 {
		return nil
	}
	if v.contiguous() {
		from := v.offset * width
		return raw[from : from+size : from+size]
	}
	out := make([]byte, 0, size)
	index := make([]int, len(v.shape))
	at := v.offset
	for int64(len(out)) < size {
		out = append(out, raw[at*width:(at+1)*width]...)
		for i := len(index) - 1; i >= 0; i-- {
			index[i]++
			at += v.stride[i]
			if index[i] < v.shape[i] {
				break
			}
			at -= int64(index[i]) * v.stride[i]
			index[i] = 0
		}
	}
	return out
}
