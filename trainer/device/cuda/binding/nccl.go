package binding

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Values of NCCL's enumerations.
const (
	ncclInt8    = 0
	ncclInt32   = 2
	ncclFloat32 = 7

	ncclSum = 0
	ncclMin = 3
)

// oldestNCCL is the first that came for CUDA 12.
const oldestNCCL = 21602

// UniqueIDBytes is the size of a UniqueID.
const UniqueIDBytes = 128

var ncclResults = [...]string{
	1: "ncclUnhandledCudaError", 2: "ncclSystemError", 3: "ncclInternalError", 4: "ncclInvalidArgument", 5: "ncclInvalidUsage",
	6: "ncclRemoteError", 7: "ncclInProgress",
}

type (
	// Comm is an ncclComm_t: a GPU's place among those that compute together. Zero is none.
	Comm uintptr
	// UniqueID is an ncclUniqueId, by which the members of a communicator find one another. It is a struct because that is
	// what the library takes by value.
	UniqueID struct{ internal [UniqueIDBytes]byte }
	// NCCLVersion is a version as NCCL counts since 2.9: 10000*major + 100*minor + patch.
	NCCLVersion int
)

// MakeUniqueID is the identifier that Bytes gave.
func MakeUniqueID(raw []byte) (id UniqueID, err error) {
	if copy(id.internal[:], raw) != UniqueIDBytes || len(raw) != UniqueIDBytes {
		return id, fmt.Errorf("an identifier of NCCL has %d bytes, not %d", UniqueIDBytes, len(raw))
	}
	return id, nil
}

// Bytes is the identifier as it travels to the other members.
func (id UniqueID) Bytes() []byte { return id.internal[:] }

func (v NCCLVersion) String() string { return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100) }

// NCCL is libnccl: sums between GPUs. One version serves CUDA 12, another CUDA 13, under one name.
type NCCL struct {
	// Path is where the library was found.
	Path string

	getVersion, getUniqueID, commInitRank, commAbort, commDestroy, commGetAsyncError, allReduce, allGather, groupStart, groupEnd,
	getErrorString, getLastError *function
	initRank func(comm *Comm, size int32, id UniqueID, rank int32) int32
}

// OpenNCCL finds the library for a driver.
func OpenNCCL(s Search, driver Version) (*NCCL, error) {
	major := min(driver.Major(), 13)
	remedy := fmt.Sprintf("install NCCL %s or later for CUDA %d (package libnccl2, pip install nvidia-nccl-cu%[2]d)", NCCLVersion(oldestNCCL), major)
	l, err := s.open(remedy, "libnccl.so.2")
	if err != nil {
		return nil, err
	}
	n := &NCCL{Path: l.path}
	var all []*function
	for name, f := range map[string]**function{
		"GetVersion": &n.getVersion, "GetUniqueId": &n.getUniqueID, "CommInitRank": &n.commInitRank, "CommAbort": &n.commAbort,
		"CommDestroy": &n.commDestroy, "CommGetAsyncError": &n.commGetAsyncError, "AllReduce": &n.allReduce, "AllGather": &n.allGather,
		"GroupStart": &n.groupStart, "GroupEnd": &n.groupEnd, "GetErrorString": &n.getErrorString, "GetLastError": &n.getLastError,
	} {
		*f = &function{name: "nccl" + name}
		all = append(all, *f)
	}
	if err := l.find(remedy, all...); err != nil {
		return nil, err
	}
	// A struct by value goes on the stack on amd64, and by the address of a copy on arm64: purego knows, call does not.
	purego.RegisterFunc(&n.initRank, n.commInitRank.address)
	version, err := n.Version()
	if err != nil {
		return nil, err
	}
	if version < oldestNCCL {
		return nil, &MissingError{Library: n.Path, Reason: fmt.Errorf("it is version %s", version), Remedy: remedy}
	}
	return n, nil
}

func (n *NCCL) check(f *function, status int32) error {
	if status == 0 {
		return nil
	}
	e := &Error{Call: f.name, Code: status, Name: fmt.Sprintf("ncclResult_t %d", status)}
	if status > 0 && int(status) < len(ncclResults) {
		e.Name = ncclResults[status]
	}
	description, _, _ := purego.SyscallN(n.getErrorString.address, uintptr(status))
	last, _, _ := purego.SyscallN(n.getLastError.address, 0)
	e.Text = text(description)
	if why := text(last); why != "" {
		e.Text += ": " + why
	}
	return e
}

// Version returns the library's version.
func (n *NCCL) Version() (NCCLVersion, error) {
	var v int32
	err := n.check(n.getVersion, n.getVersion.call(uintptr(unsafe.Pointer(&v))))
	return NCCLVersion(v), err
}

// GetUniqueID returns an identifier for a new communicator. The process that asks for it is the one that the others look for.
func (n *NCCL) GetUniqueID() (UniqueID, error) {
	var id UniqueID
	err := n.check(n.getUniqueID, n.getUniqueID.call(uintptr(unsafe.Pointer(&id))))
	return id, err
}

// CommInitRank makes the current GPU a rank of the communicator of size ranks that goes by an identifier. It returns when all
// have called it, and waits for ever for one that does not.
func (n *NCCL) CommInitRank(size int, id UniqueID, rank int) (Comm, error) {
	var c Comm
	err := n.check(n.commInitRank, n.initRank(&c, int32(size), id, int32(rank)))
	return c, err
}

// CommDestroy frees a communicator. It waits until no graph uses it.
func (n *NCCL) CommDestroy(c Comm) error {
	return n.check(n.commDestroy, n.commDestroy.call(uintptr(c)))
}

// CommAbort ends what the communicator does on the GPU, wherever it waits, and frees it as CommDestroy does.
func (n *NCCL) CommAbort(c Comm) error { return n.check(n.commAbort, n.commAbort.call(uintptr(c))) }

// CommGetAsyncError returns what has failed in the background, such as a connection.
func (n *NCCL) CommGetAsyncError(c Comm) error {
	var status int32
	if err := n.check(n.commGetAsyncError, n.commGetAsyncError.call(uintptr(c), uintptr(unsafe.Pointer(&status)))); err != nil {
		return err
	}
	return n.check(n.commGetAsyncError, status)
}

// Group calls f, whose calls of the library become one. It is for one thread.
func (n *NCCL) Group(f func() error) error {
	if err := n.check(n.groupStart, n.groupStart.call()); err != nil {
		return err
	}
	err := f()
	// A group must end, whatever it has come to.
	if ended := n.check(n.groupEnd, n.groupEnd.call()); err == nil {
		err = ended
	}
	return err
}

// SumFloat32 adds to the stream that n floats become their sums over all ranks, in place.
func (n *NCCL) SumFloat32(at Pointer, count int, c Comm, s Stream) error {
	return n.check(n.allReduce, n.allReduce.call(uintptr(at), uintptr(at), uintptr(count), ncclFloat32, ncclSum, uintptr(c), uintptr(s)))
}

// MinInt32 adds to the stream that n integers become the least of all ranks, in place.
func (n *NCCL) MinInt32(at Pointer, count int, c Comm, s Stream) error {
	return n.check(n.allReduce, n.allReduce.call(uintptr(at), uintptr(at), uintptr(count), ncclInt32, ncclMin, uintptr(c), uintptr(s)))
}

// AllGather adds to the stream that the bytes of all ranks come to lie one behind the other, by rank.
func (n *NCCL) AllGather(own, all Pointer, bytes int, c Comm, s Stream) error {
	return n.check(n.allGather, n.allGather.call(uintptr(own), uintptr(all), uintptr(bytes), ncclInt8, uintptr(c), uintptr(s)))
}
