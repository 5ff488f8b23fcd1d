package device

import "fmt"

// HostArray is an [Array] in ordinary Go memory.
type HostArray struct {
	dtype DType
	raw   []byte
}

// NewHostArray returns n zeroed elements.
func NewHostArray(t DType, n int) *HostArray {
	return &HostArray{dtype: t, raw: make([]byte, n*t.Size())}
}

// HostArrayOver returns an array whose memory is raw; a part of an element at its end is not seen.
func HostArrayOver(t DType, raw []byte) *HostArray {
	return &HostArray{dtype: t, raw: raw[:len(raw)/t.Size()*t.Size()]}
}

// DType returns the type of the elements.
func (a *HostArray) DType() DType { return a.dtype }

// Len returns the number of elements.
func (a *HostArray) Len() int { return len(a.raw) / a.dtype.Size() }

// Bytes returns the array's own memory, little-endian.
func (a *HostArray) Bytes() []byte { return a.raw }

// Read copies raw little-endian elements into dst, starting at element offset.
func (a *HostArray) Read(offset int, dst []byte) error {
	if err := a.inside("read", offset, len(dst)); err != nil {
		return err
	}
	copy(dst, a.raw[offset*a.dtype.Size():])
	return nil
}

// Write copies raw little-endian elements from src, starting at element offset.
func (a *HostArray) Write(offset int, src []byte) error {
	if err := a.inside("write", offset, len(src)); err != nil {
		return err
	}
	copy(a.raw[offset*a.dtype.Size():], src)
	return nil
}

func (a *HostArray) inside(what string, offset, bytes int) error {
	if bytes%a.dtype.Size() != 0 {
		return fmt.Errorf("%s of %d bytes: elements of %v have %d", what, bytes, a.dtype, a.dtype.Size())
	}
	if n := bytes / a.dtype.Size(); offset < 0 || offset > a.Len()-n {
		return fmt.Errorf("%s of elements %d to %d: the array has %d", what, offset, offset+n, a.Len())
	}
	return nil
}
