package binding

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// DataType is a cudaDataType.
type DataType int32

// The types of matrices.
const (
	RealFloat32  DataType = 0
	RealBFloat16 DataType = 14
)

// Values of cuBLASLt's enumerations.
const (
	computeFloat32 = 68

	descTransA = 3
	descTransB = 4

	preferenceMaxWorkspace  = 1
	preferenceMinAlignmentA = 5

	// matrices is how many a product has: A, B, C and D.
	matrices = 4
)

var blasStatus = map[int32]string{
	1: "CUBLAS_STATUS_NOT_INITIALIZED", 3: "CUBLAS_STATUS_ALLOC_FAILED", 7: "CUBLAS_STATUS_INVALID_VALUE", 8: "CUBLAS_STATUS_ARCH_MISMATCH",
	11: "CUBLAS_STATUS_MAPPING_ERROR", 13: "CUBLAS_STATUS_EXECUTION_FAILED", 14: "CUBLAS_STATUS_INTERNAL_ERROR",
	15: "CUBLAS_STATUS_NOT_SUPPORTED", 16: "CUBLAS_STATUS_LICENSE_ERROR",
}

// BLAS is cuBLASLt.
type BLAS struct {
	// Path is where the library was found.
	Path string

	create, destroy, getVersion, descCreate, descSet, descDestroy, layoutCreate, layoutDestroy,
	preferenceCreate, preferenceSet, preferenceDestroy, getHeuristic, matmul *function
}

// BLASHandle is a cublasLtHandle_t.
type BLASHandle uintptr

// OpenBLAS finds the library that goes with a driver.
func OpenBLAS(s Search, driver Version) (*BLAS, error) {
	major := min(driver.Major(), 13)
	remedy := fmt.Sprintf("install cuBLAS of CUDA %d (package libcublas-%[1]d-*, pip install nvidia-cublas%s)", major, wheel(major))
	l, err := s.openVersioned("libcublasLt", remedy, driver)
	if err != nil {
		return nil, err
	}
	b := &BLAS{Path: l.path}
	var all []*function
	for name, f := range map[string]**function{
		"Create": &b.create, "Destroy": &b.destroy, "GetVersion": &b.getVersion, "MatmulDescCreate": &b.descCreate,
		"MatmulDescSetAttribute": &b.descSet, "MatmulDescDestroy": &b.descDestroy, "MatrixLayoutCreate": &b.layoutCreate,
		"MatrixLayoutDestroy": &b.layoutDestroy, "MatmulPreferenceCreate": &b.preferenceCreate,
		"MatmulPreferenceSetAttribute": &b.preferenceSet, "MatmulPreferenceDestroy": &b.preferenceDestroy,
		"MatmulAlgoGetHeuristic": &b.getHeuristic, "Matmul": &b.matmul,
	} {
		*f = &function{name: "cublasLt" + name}
		all = append(all, *f)
	}
	return b, l.find(remedy, all...)
}

func (b *BLAS) check(f *function, status int32) error {
	if status == 0 {
		return nil
	}
	name, ok := blasStatus[status]
	if !ok {
		name = fmt.Sprintf("cublasStatus_t %d", status)
	}
	return &Error{Call: f.name, Code: status, Name: name}
}

// Version is the library's own version, which is not that of CUDA: 120205 is 12.2.5.
func (b *BLAS) Version() string {
	v, _, _ := purego.SyscallN(b.getVersion.address)
	return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
}

// Create returns a handle for the current context.
func (b *BLAS) Create() (BLASHandle, error) {
	var h BLASHandle
	err := b.check(b.create, b.create.call(uintptr(unsafe.Pointer(&h))))
	return h, err
}

// Destroy frees a handle.
func (b *BLAS) Destroy(h BLASHandle) error { return b.check(b.destroy, b.destroy.call(uintptr(h))) }

// Matrix describes a matrix in column-major order, whose columns begin Rows elements apart.
type Matrix struct {
	Type       DataType
	Rows, Cols int
}

// Shape describes a product D = op(A)·op(B) + β·C, where C is D.
type Shape struct {
	TransA, TransB bool
	A, B, D        Matrix
	// Workspace is the most bytes of memory that the product may use besides, and Alignment what all addresses are multiples of.
	Workspace, Alignment int
}

// Product is a shape with the algorithm that was chosen for it.
type Product struct {
	blas      *BLAS
	handle    BLASHandle
	desc      uintptr
	a, b, d   uintptr
	algorithm heuristic
	alpha     float32
	zero, one float32
}

// heuristic is a cublasLtMatmulHeuristicResult_t; it begins with the algorithm.
type heuristic struct {
	algorithm [8]uint64
	workspace uint64
	state     int32
	waves     float32
	reserved  [4]int32
}

// NewProduct asks the library for its best algorithm.
func (b *BLAS) NewProduct(h BLASHandle, s Shape) (p *Product, err error) {
	p = &Product{blas: b, handle: h, alpha: 1, one: 1}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Destroy())
			p = nil
		}
	}()
	if err := b.check(b.descCreate, b.descCreate.call(uintptr(unsafe.Pointer(&p.desc)), computeFloat32, uintptr(RealFloat32))); err != nil {
		return p, err
	}
	for attribute, transposed := range map[uintptr]bool{descTransA: s.TransA, descTransB: s.TransB} {
		if !transposed {
			continue
		}
		value := int32(1)
		if err := b.check(b.descSet, b.descSet.call(p.desc, attribute, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value))); err != nil {
			return p, err
		}
	}
	for _, l := range []struct {
		layout *uintptr
		m      Matrix
	}{{&p.a, s.A}, {&p.b, s.B}, {&p.d, s.D}} {
		if err := b.check(b.layoutCreate, b.layoutCreate.call(uintptr(unsafe.Pointer(l.layout)),
			uintptr(l.m.Type), uintptr(l.m.Rows), uintptr(l.m.Cols), uintptr(l.m.Rows))); err != nil {
			return p, err
		}
	}
	return p, p.choose(s)
}

// choose keeps the algorithm that the library thinks the fastest.
func (p *Product) choose(s Shape) (err error) {
	b := p.blas
	var preference uintptr
	if err := b.check(b.preferenceCreate, b.preferenceCreate.call(uintptr(unsafe.Pointer(&preference)))); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, b.check(b.preferenceDestroy, b.preferenceDestroy.call(preference)))
	}()
	workspace, alignment := uint64(s.Workspace), uint32(s.Alignment)
	if err := b.check(b.preferenceSet, b.preferenceSet.call(preference, preferenceMaxWorkspace,
		uintptr(unsafe.Pointer(&workspace)), unsafe.Sizeof(workspace))); err != nil {
		return err
	}
	for i := range uintptr(matrices) {
		if err := b.check(b.preferenceSet, b.preferenceSet.call(preference, preferenceMinAlignmentA+i,
			uintptr(unsafe.Pointer(&alignment)), unsafe.Sizeof(alignment))); err != nil {
			return err
		}
	}
	var found int32
	if err := b.check(b.getHeuristic, b.getHeuristic.call(uintptr(p.handle), p.desc, p.a, p.b, p.d, p.d, preference,
		1, uintptr(unsafe.Pointer(&p.algorithm)), uintptr(unsafe.Pointer(&found)))); err != nil {
		return err
	}
	if found < 1 {
		return &Error{Call: b.getHeuristic.name, Code: 15, Name: blasStatus[15], Text: "no algorithm"}
	}
	if err := b.check(b.getHeuristic, p.algorithm.state); err != nil {
		return err
	}
	return nil
}

// Run adds the product to the stream; with accumulate it is added to what D holds.
func (p *Product) Run(a, b, d Pointer, accumulate bool, workspace Pointer, s Stream) error {
	beta := &p.zero
	if accumulate {
		beta = &p.one
	}
	f := p.blas.matmul
	return p.blas.check(f, f.call(uintptr(p.handle), p.desc, uintptr(unsafe.Pointer(&p.alpha)), uintptr(a), p.a, uintptr(b), p.b,
		uintptr(unsafe.Pointer(beta)), uintptr(d), p.d, uintptr(d), p.d, uintptr(unsafe.Pointer(&p.algorithm)),
		uintptr(workspace), uintptr(p.algorithm.workspace), uintptr(s)))
}

// Destroy frees the product's descriptions.
func (p *Product) Destroy() error {
	var all []error
	for _, layout := range []*uintptr{&p.a, &p.b, &p.d} {
		if *layout != 0 {
			all = append(all, p.blas.check(p.blas.layoutDestroy, p.blas.layoutDestroy.call(*layout)))
			*layout = 0
		}
	}
	if p.desc != 0 {
		all = append(all, p.blas.check(p.blas.descDestroy, p.blas.descDestroy.call(p.desc)))
		p.desc = 0
	}
	return errors.Join(all...)
}
