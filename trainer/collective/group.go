package collective

import (
	"context"
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Group is a process's view of the processes that train together. All of them must make the same calls in the same
// order. A call that fails leaves the group broken: every later one fails too. A group is used from one goroutine.
type Group interface {
	Rank() int
	Size() int
	// Context ends when a peer is lost; its cause is the [PeerLostError].
	Context() context.Context
	// AllReduce replaces each float32 array by its sum over all ranks. The order of the additions depends on nothing but
	// the size of the group and what it consists of, and all ranks get the same bits.
	AllReduce(ctx context.Context, arrays []device.Array) error
	// AllGather returns what each rank has given, by rank. Lengths may differ.
	AllGather(ctx context.Context, own []byte) ([][]byte, error)
	// Broadcast returns what rank 0 has given.
	Broadcast(ctx context.Context, data []byte) ([]byte, error)
	// Barrier returns when all ranks have called it.
	Barrier(ctx context.Context) error
	// Silence is how long the quietest of the peers that this process watches has given no sign of life. It may be called
	// from any goroutine.
	Silence() time.Duration
	// Close leaves the group. Peers that still wait for this one are told the reason; nil is the regular end.
	Close(reason error) error
}

// PeerLostError says that another process of the group has gone, so that this one cannot go on.
type PeerLostError struct {
	// Rank is that of the process that is lost, -1 if that is not known.
	Rank   int
	Reason string
}

func (e *PeerLostError) Error() string {
	who := "a peer"
	if e.Rank >= 0 {
		who = fmt.Sprintf("rank %d", e.Rank)
	}
	return fmt.Sprintf("%s is lost: %s; start all processes again to go on from the last checkpoint", who, e.Reason)
}

// Share returns the rows [from, to) of total that belong to a rank of a group of size.
func Share(total, rank, size int) (from, to int) {
	return rank * total / size, (rank + 1) * total / size
}

// Single is the group of a process that trains alone.
type Single struct{}

var _ Group = Single{}

// Rank is 0.
func (Single) Rank() int { return 0 }

// Size is 1.
func (Single) Size() int { return 1 }

// Context never ends.
func (Single) Context() context.Context { return context.Background() }

// AllReduce leaves the arrays as they are: they are the sums already.
func (Single) AllReduce(context.Context, []device.Array) error { return nil }

// AllGather returns own.
func (Single) AllGather(_ context.Context, own []byte) ([][]byte, error) { return [][]byte{own}, nil }

// Broadcast returns data.
func (Single) Broadcast(_ context.Context, data []byte) ([]byte, error) { return data, nil }

// Barrier returns at once.
func (Single) Barrier(context.Context) error { return nil }

// Silence is 0: nobody is watched.
func (Single) Silence() time.Duration { return 0 }

// Close does nothing.
func (Single) Close(error) error { return nil }
