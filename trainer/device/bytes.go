//go:build !mips && !mips64 && !ppc64 && !s390x

package device

import "unsafe"

// Bytes returns the memory of x as raw elements, to be read from an [Array] or written to one without a copy.
//
// The elements of arrays are little-endian, and so are those of x: the ports of Go that are not are excluded above, so
// that this package does not build there rather than read wrong numbers.
func Bytes[T int32 | float32 | uint16](x []T) []byte {
	var element T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(element)))
}
