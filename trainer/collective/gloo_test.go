//go:build gloo && cgo && linux

package collective

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// quick is a timing for tests that let a peer fall silent.
var quick = Timing{Heartbeat: 50 * time.Millisecond, Silence: 2 * time.Second, Note: time.Minute}

// freeAddress is a place on this machine that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// world is rank's view of a job of size processes that meet at an address.
func world(address string, rank, size int) World {
	return World{Job: "test/job", Attempt: 1, Rank: rank, Size: size, Recipe: "r", Rendezvous: address, Listen: address}
}

// together joins size ranks and lets each do something, side by side. It returns the errors by rank.
func together(t *testing.T, size int, do func(g Group) error) []error {
	t.Helper()
	address, errs := freeAddress(t), make([]error, size)
	done := make(chan int)
	for rank := range size {
		go func() {
			defer func() { done <- rank }()
			g, err := Join(t.Context(), world(address, rank, size), quick, func(string) {})
			if err != nil {
				errs[rank] = fmt.Errorf("join: %w", err)
				return
			}
			errs[rank] = do(g)
			_ = g.Close(errs[rank])
		}()
	}
	for range size {
		<-done
	}
	return errs
}

func noErrors(t *testing.T, errs []error) {
	t.Helper()
	for rank, err := range errs {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
}

func array(t *testing.T, x []float32) device.Array {
	t.Helper()
	a, err := reference.New().NewArray(device.Float32, len(x))
	if err == nil {
		err = device.WriteFloats(a, 0, x)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestGloo_sumsOverAllRanksToTheSameBitsEveryTime(t *testing.T) {
	for _, size := range []int{2, 3, 4} {
		t.Run(fmt.Sprintf("%d ranks", size), func(t *testing.T) {
			var first []float32
			for round := range 3 {
				sums := make([][]float32, size)
				noErrors(t, together(t, size, func(g Group) error {
					random := rand.New(rand.NewPCG(uint64(g.Rank()), 7))
					lists := [][]float32{make([]float32, 3), make([]float32, 100_003)}
					var arrays []device.Array
					for _, x := range lists {
						for i := range x {
							x[i] = random.Float32() - 0.5
						}
						arrays = append(arrays, array(t, x))
					}
					if err := g.AllReduce(t.Context(), arrays); err != nil {
						return err
					}
					for _, a := range arrays {
						x, err := device.ReadFloats(a, 0, a.Len())
						if err != nil {
							return err
						}
						sums[g.Rank()] = append(sums[g.Rank()], x...)
					}
					return nil
				}))
				if round == 0 {
					first = sums[0]
				}
				for rank, x := range sums {
					if !slices.Equal(x, first) {
						t.Fatalf("round %d: rank %d has other bits than rank 0 in round 0", round, rank)
					}
				}
			}
			want := float32(0)
			for rank := range size {
				want += rand.New(rand.NewPCG(uint64(rank), 7)).Float32() - 0.5
			}
			if d := first[0] - want; d > 1e-5 || d < -1e-5 {
				t.Errorf("sum is %v, want %v", first[0], want)
			}
		})
	}
}

func TestGloo_gathersBroadcastsAndWaits(t *testing.T) {
	noErrors(t, together(t, 3, func(g Group) error {
		for round := range 20 {
			own := bytes.Repeat([]byte{byte('a' + g.Rank())}, (g.Rank()*7+round)%5)
			all, err := g.AllGather(t.Context(), own)
			if err != nil {
				return err
			}
			for rank, got := range all {
				if want := bytes.Repeat([]byte{byte('a' + rank)}, (rank*7+round)%5); !bytes.Equal(got, want) {
					return fmt.Errorf("round %d: gathered %q of rank %d, want %q", round, got, rank, want)
				}
			}
			said, err := g.Broadcast(t.Context(), fmt.Appendf(nil, "rank %d in round %d", g.Rank(), round))
			if err != nil {
				return err
			}
			if want := fmt.Sprintf("rank 0 in round %d", round); string(said) != want {
				return fmt.Errorf("broadcast is %q, want %q", said, want)
			}
			if err := g.Barrier(t.Context()); err != nil {
				return err
			}
		}
		empty, err := g.Broadcast(t.Context(), nil)
		if len(empty) != 0 {
			return fmt.Errorf("broadcast of nothing is %q", empty)
		}
		return err
	}))
}

// A rank that leaves with an error ends a call in which the others wait, and they learn why.
func TestGloo_aRankThatStopsEndsTheWaitingOfAll(t *testing.T) {
	reason := errors.New("out of memory")
	errs := together(t, 3, func(g Group) error {
		if g.Rank() == 2 {
			return reason
		}
		return g.Barrier(t.Context())
	})
	for rank := range 2 {
		var lost *PeerLostError
		if !errors.As(errs[rank], &lost) || lost.Rank != 2 {
			t.Errorf("rank %d: got %v, want to hear that rank 2 is lost", rank, errs[rank])
		}
	}
}

// A process that is asked to stop does not wait for its peers.
func TestGloo_aCallEndsWithItsContext(t *testing.T) {
	errs := together(t, 2, func(g Group) error {
		if g.Rank() == 0 {
			<-g.Context().Done()
			return context.Cause(g.Context())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return g.Barrier(ctx)
	})
	var lost *PeerLostError
	if !errors.Is(errs[1], context.DeadlineExceeded) || !errors.As(errs[0], &lost) {
		t.Errorf("got %v, want the context's error at rank 1 and its loss at rank 0", errs)
	}
}

// Gloo writes from threads of its own, where the signal of a broken pipe would end the process without a word.
func TestGroup_outlivesABrokenPipe(t *testing.T) {
	errs := together(t, 2, func(g Group) error {
		if err := g.Barrier(t.Context()); err != nil {
			return err
		}
		threads, err := os.ReadDir("/proc/self/task")
		for _, thread := range threads {
			if id, bad := strconv.Atoi(thread.Name()); bad == nil && err == nil {
				err = ignoreGone(unix.Tgkill(os.Getpid(), id, unix.SIGPIPE))
			}
		}
		return errors.Join(err, g.Barrier(t.Context()))
	})
	noErrors(t, errs)
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
