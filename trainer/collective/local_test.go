package collective

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// sideBySide lets each member do something, in a goroutine of its own, and returns their errors.
func sideBySide(members []Group, do func(g Group) error) []error {
	errs := make([]error, len(members))
	var wait sync.WaitGroup
	for i, g := range members {
		wait.Go(func() {
			errs[i] = do(g)
			errs[i] = errors.Join(errs[i], g.Close(errs[i]))
		})
	}
	wait.Wait()
	return errs
}

func allWell(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("member %d: %v", i, err)
		}
	}
}

// exercise makes every call of a group and compares what it comes to.
func exercise(ctx context.Context, g Group) error {
	for round := range 20 {
		own := bytes.Repeat([]byte{byte('a' + g.Rank())}, (g.Rank()*7+round)%5)
		all, err := g.AllGather(ctx, own)
		if err != nil {
			return err
		}
		if len(all) != g.Size() {
			return fmt.Errorf("%d parts of %d were gathered", len(all), g.Size())
		}
		for rank, got := range all {
			if want := bytes.Repeat([]byte{byte('a' + rank)}, (rank*7+round)%5); !bytes.Equal(got, want) {
				return fmt.Errorf("round %d: gathered %q of rank %d, want %q", round, got, rank, want)
			}
		}
		said, err := g.Broadcast(ctx, fmt.Appendf(nil, "rank %d in round %d", g.Rank(), round))
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("rank 0 in round %d", round); string(said) != want {
			return fmt.Errorf("broadcast is %q, want %q", said, want)
		}
		if err := g.Barrier(ctx); err != nil {
			return err
		}
		if err := sumsUp(ctx, g, reference.New(), round); err != nil {
			return err
		}
	}
	return nil
}

// sumsUp has a group sum arrays of integers, whose sums are exact in any order.
func sumsUp(ctx context.Context, g Group, d device.Device, round int) error {
	var arrays []device.Array
	for _, n := range []int{3, 0, 1000} {
		a, err := d.NewArray(device.Float32, n)
		if err != nil {
			return err
		}
		if err := device.WriteFloats(a, 0, slices.Repeat([]float32{float32(g.Rank() + round)}, n)); err != nil {
			return err
		}
		arrays = append(arrays, a)
	}
	if err := g.AllReduce(ctx, arrays); err != nil {
		return err
	}
	want := float32(0)
	for rank := range g.Size() {
		want += float32(rank + round)
	}
	for _, a := range arrays {
		x, err := device.ReadFloats(a, 0, a.Len())
		if err != nil {
			return err
		}
		if !slices.Equal(x, slices.Repeat([]float32{want}, a.Len())) {
			return fmt.Errorf("round %d: rank %d has other sums than %v", round, g.Rank(), want)
		}
	}
	return nil
}

func TestLocal_doesWhatAGroupDoes(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			members := Local(Single{}, n)
			for i, g := range members {
				if g.Rank() != i || g.Size() != n {
					t.Errorf("member %d is rank %d of %d", i, g.Rank(), g.Size())
				}
			}
			allWell(t, sideBySide(members, func(g Group) error { return exercise(t.Context(), g) }))
		})
	}
}

// Whatever ends one member ends the others, who say why, wherever they wait.
func TestLocal_endsAllWhenOneEnds(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		name string
		// last is what the last of three members does while the others wait at a barrier.
		last func(g Group) error
		want string
	}{
		{"a failure", func(Group) error { return errors.New("out of memory") }, "device 2 has stopped: out of memory"},
		{"an early end", func(Group) error { return nil }, "device 2 has left"},
		{"another call", func(g Group) error { _, err := g.Broadcast(t.Context(), nil); return err }, "was to"},
		{"arrays of other lengths", func(g Group) error {
			return g.AllReduce(t.Context(), []device.Array{device.NewHostArray(device.Float32, 2)})
		}, "are to sum"},
		{"a signal", func(g Group) error { return g.Barrier(stopped) }, "device 2 has stopped: context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs := sideBySide(Local(Single{}, 3), func(g Group) error {
				if g.Rank() == 2 {
					return c.last(g)
				}
				if c.name == "arrays of other lengths" {
					return g.AllReduce(t.Context(), []device.Array{device.NewHostArray(device.Float32, 1)})
				}
				return g.Barrier(t.Context())
			})
			for i, err := range errs[:2] {
				var lost *PeerLostError
				if !errors.As(err, &lost) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("member %d ends with %v, want %q", i, err, c.want)
				}
			}
		})
	}
}

// A member whose context ends while it waits leaves, and later calls of all fail.
func TestLocal_breaksWhenOneWaitsNoLonger(t *testing.T) {
	members := Local(Single{}, 2)
	ctx, stop := context.WithCancel(t.Context())
	context.AfterFunc(members[1].Context(), stop)
	ended := make(chan error)
	go func() { ended <- members[0].Barrier(ctx) }()
	waiting := members[0].(*member).team
	for arrived := 0; arrived == 0; {
		waiting.mutex.Lock()
		arrived = waiting.next.arrived
		waiting.mutex.Unlock()
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waits no longer ends with %v", err)
	}
	var lost *PeerLostError
	if err := members[1].Barrier(t.Context()); !errors.As(err, &lost) || !strings.Contains(err.Error(), "device 0 was asked to stop") {
		t.Errorf("the other ends with %v", err)
	}
	if !errors.As(context.Cause(members[1].Context()), &lost) {
		t.Errorf("the cause is %v", context.Cause(members[1].Context()))
	}
}

// Who leaves at the regular end keeps nobody from it.
func TestLocal_letsMembersLeaveOneAfterTheOther(t *testing.T) {
	members := Local(Single{}, 3)
	allWell(t, sideBySide(members, func(g Group) error { return g.Barrier(t.Context()) }))
	if err := members[0].Context().Err(); err != nil {
		t.Errorf("the group is broken: %v", context.Cause(members[0].Context()))
	}
}
