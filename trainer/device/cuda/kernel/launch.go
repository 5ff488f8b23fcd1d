package kernel

import (
	"fmt"
	"math"
)

// Launch is one kernel to run. The host compiles Source(File) with Defines, finds Kernel in it, and passes Args in order.
type Launch struct {
	// File is the name that Source takes, such as "attention.cu". Launches with the same File and Defines share a module.
	File string
	// Kernel is the entry point's name.
	Kernel string
	// Defines are macros "NAME" or "NAME=VALUE", sorted.
	Defines []string
	Grid    [3]uint32
	Block   [3]uint32
	// SharedBytes is the dynamic shared memory of a block. Beyond 48 KiB a function must be told to allow it
	// (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES).
	SharedBytes int
	Args        []Arg
}

// Work is what computes one instruction: launches in order, and bytes of scratch memory that only they use. Scratch begins at
// a multiple of 16 and need not be initialised; the next instruction may use the same memory.
type Work struct {
	Launches []Launch
	Scratch  int
}

// Arg is an argument of a kernel: [Buffer], [Scratch], [Fault], [Null], *[Table], [Int32], [Int64], [Uint64], [Float32] or [Float64].
type Arg interface{ arg() }

type (
	// Buffer is the address of a buffer: for an instruction the index of a value, elsewhere as documented there.
	Buffer int
	// Scratch is the address of a byte of the work's scratch memory.
	Scratch int
	// Fault is the address of the word in which kernels report bad input. It is zero before a program runs; see FaultError.
	Fault struct{}
	// Null is no buffer.
	Null struct{}
	// Int32 is a C int.
	Int32 int32
	// Int64 is a C long long.
	Int64 int64
	// Uint64 is a C unsigned long long.
	Uint64 uint64
	// Float32 is a C float.
	Float32 float32
	// Float64 is a C double.
	Float64 float64
	// Table is the address of constant memory. The host uploads Bytes once per Key, to a multiple of 16.
	Table struct {
		Key   string
		Bytes []byte
		// Pointers are places in Bytes where the host writes the 8-byte address of a buffer.
		Pointers []Pointer
	}
	// Pointer says that the address of Buffer stands at byte At.
	Pointer struct{ At, Buffer int }
)

func (Buffer) arg()  {}
func (Scratch) arg() {}
func (Fault) arg()   {}
func (Null) arg()    {}
func (Int32) arg()   {}
func (Int64) arg()   {}
func (Uint64) arg()  {}
func (Float32) arg() {}
func (Float64) arg() {}
func (*Table) arg()  {}

// Bits of the fault word, as common.cuh has them.
const (
	badToken = 1 << iota
	badLabel
	badRow
)

// FaultError says what the bits of the fault word mean; nil if there are none.
func FaultError(bits uint32) error {
	switch {
	case bits == 0:
		return nil
	case bits&badToken != 0:
		return fmt.Errorf("a token is outside of the vocabulary: the dataset is not the one that the model was built for")
	case bits&badLabel != 0:
		return fmt.Errorf("a label is outside of the vocabulary: the dataset is not the one that the model was built for")
	case bits&badRow != 0:
		return fmt.Errorf("a puzzle identifier is outside of the puzzle table: the dataset is not the one that the model was built for")
	}
	return fmt.Errorf("the fault word is %#x, which no kernel of this version writes", bits)
}

const (
	// threads is the size of most blocks.
	threads = 256
	warp    = 32
	// maxShared is the shared memory that a block may have on every card from compute capability 8.0 on.
	maxShared = 99 << 10
	// maxGridY is the limit of CUDA for the second and third dimension of a grid.
	maxGridY = 65535
)

// ceil returns how many parts of size b hold a things.
func ceil(a, b int) int { return (a + b - 1) / b }

// grid returns a one-dimensional grid with a block for every per of n things.
func grid(n, per int) [3]uint32 { return [3]uint32{uint32(ceil(n, per)), 1, 1} }

func block(n int) [3]uint32 { return [3]uint32{uint32(n), 1, 1} }

// check reports what CUDA would refuse.
func (l *Launch) check() error {
	blocks := uint64(l.Grid[0])
	switch {
	case l.Grid[0] == 0 || l.Grid[1] == 0 || l.Grid[2] == 0:
		return fmt.Errorf("kernel %s: a grid of %v has no block: the shapes are empty", l.Kernel, l.Grid)
	case blocks > math.MaxInt32 || l.Grid[1] > maxGridY || l.Grid[2] > maxGridY:
		return fmt.Errorf("kernel %s: a grid of %v is too large: use a smaller batch per GPU", l.Kernel, l.Grid)
	case l.SharedBytes > maxShared:
		return fmt.Errorf("kernel %s: %d bytes of shared memory per block, a GPU has %d: use narrower heads or a smaller vocabulary", l.Kernel, l.SharedBytes, maxShared)
	}
	return nil
}
