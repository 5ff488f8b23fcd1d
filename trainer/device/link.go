package device

import "context"

// Linker is a [Device] that can exchange arrays with others of its kind directly, in this process and in others, without
// their passing through the host's memory. Devices need not be linkers.
type Linker interface {
	// LinkKind names what links the device, version included, such as "nccl 2.23.4": devices can be linked if they have the
	// same. The error says what is missing.
	LinkKind() (string, error)
	// NewLinkID returns what the devices of a new link find one another by. One of them asks for it, and all are told.
	NewLinkID() ([]byte, error)
	// Link makes the device a rank of size devices that were given the same id. It returns when all of them have called it,
	// or with the cause of ctx when that ends before; what was waiting then stays behind until the process ends.
	Link(ctx context.Context, id []byte, rank, size int) (Link, error)
}

// Link is a device's connection to the others. All of them must make the same calls in the same order, with arrays of the
// same types and lengths. AllReduce and AllGather are part of the device's own work: what the device is told to do after
// them sees their results, while they may return before these are there. A link is used from the device's goroutine, but
// for Abort and Err, which may be called from any.
type Link interface {
	// AllReduce replaces each Float32 array by its sum over all ranks, and each Int32 array by its minimum, element by
	// element. No array may be given twice. All ranks get the same bits; the order of the additions depends on the devices and how they are connected.
	AllReduce(arrays []Array) error
	// AllGather puts the elements of every rank's own array into all, by rank: all has size times the elements of own.
	AllGather(own, all Array) error
	// Abort ends, for the reason given, what the device does or waits for with the others, now or later; results that were
	// not there yet are garbage then. Without it a device waits for ever for one that is gone, and with it all who wait for
	// the device. Of several calls the first counts.
	Abort(reason error)
	// Err is why the link is broken: the reason of Abort, or what the device itself has noticed. It is nil as long as
	// results can be relied on; a rank that has read results asks for it before it tells anybody of them.
	Err() error
	// Close waits for the device's work and gives the link up. Executables that were captured with calls of the link must be
	// closed before. After Abort it does not wait.
	Close() error
}
