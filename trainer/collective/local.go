package collective

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Local returns the n members that this process has in the group of all members of all processes, each of which has n. The
// members of process p are the ranks p*n to p*n+n-1, by their place in the list, and each is used from a goroutine of its own.
//
// What the members of a process give is put together here, and nodes, the group of the processes, puts that together: nodes
// is used by nobody else until all members are closed, and is closed afterwards by whoever made it. The order of the
// additions of AllReduce depends on the number of processes and on n. What AllGather and Broadcast return is shared by the
// members and only to be read.
//
// A member whose call fails, or that is closed with a reason, ends all others of its process with a PeerLostError; those of
// other processes hear of it when nodes is closed.
func Local(nodes Group, n int) []Group {
	t := &team{nodes: nodes, n: n, left: make([]bool, n), flats: make([][]float32, n)}
	t.ctx, t.cancel = context.WithCancelCause(nodes.Context())
	t.next = t.newRound()
	members := make([]Group, n)
	for i := range members {
		members[i] = &member{team: t, place: i}
	}
	return members
}

// team is what the members of a process share.
type team struct {
	nodes Group
	n     int
	// ctx ends when a member or a process is lost.
	ctx    context.Context
	cancel context.CancelCauseFunc

	mutex sync.Mutex
	// next is the call that members come to next; left are those that will come to none.
	next *round
	left []bool

	// flats are what each member sums, read and written by it until it comes to the call; sum is what that has come to.
	flats [][]float32
	sum   []float32
}

// round is a call that all members make.
type round struct {
	what    string
	parts   [][]byte
	arrived int
	// done is closed when result and err are there.
	done   chan struct{}
	result [][]byte
	err    error
}

func (t *team) newRound() *round {
	return &round{parts: make([][]byte, t.n), done: make(chan struct{})}
}

// member is a [Group] of a goroutine.
type member struct {
	team  *team
	place int
}

var _ Group = (*member)(nil)

// Rank implements [Group].
func (m *member) Rank() int { return m.team.nodes.Rank()*m.team.n + m.place }

// Size implements [Group].
func (m *member) Size() int { return m.team.nodes.Size() * m.team.n }

// Context implements [Group].
func (m *member) Context() context.Context { return m.team.ctx }

// Silence implements [Group]: members of one process are not watched.
func (m *member) Silence() time.Duration { return m.team.nodes.Silence() }

// meet gives this member's part of a call and returns what the call has come to for all. The last member to come makes the
// call with the parts of all, by place.
func (m *member) meet(ctx context.Context, what string, part []byte, call func(ctx context.Context, parts [][]byte) ([][]byte, error)) ([][]byte, error) {
	t := m.team
	if t.ctx.Err() == nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r, last, err := t.arrive(m.place, what, part)
	if err != nil {
		return nil, err
	}
	stopped := false
	if last {
		stopped = t.conclude(ctx, m.place, r, call)
	} else {
		stopped = t.await(ctx, m.place, r)
	}
	switch {
	case t.complete(r) && r.err == nil:
		return r.result, nil
	case stopped:
		return nil, ctx.Err()
	}
	return nil, context.Cause(t.ctx)
}

// arrive takes a member's part in the next round, and says whether it was the last. A member that has left, or makes another
// call, breaks the team.
func (t *team) arrive(place int, what string, part []byte) (r *round, last bool, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.ctx.Err() == nil {
		if gone := slices.Index(t.left, true); gone >= 0 {
			t.lose(gone, "has left")
		} else if t.next.arrived > 0 && t.next.what != what {
			t.lose(place, fmt.Sprintf("was to %s where others %s", what, t.next.what))
		}
	}
	if t.ctx.Err() != nil {
		return nil, false, context.Cause(t.ctx)
	}
	r = t.next
	r.what, r.parts[place] = what, part
	if r.arrived++; r.arrived == t.n {
		t.next = t.newRound()
		return r, true, nil
	}
	return r, false, nil
}

// conclude makes the call of a round to which all have come, the member at place last. It ends when that one's ctx or the
// team's does, and says whether that member's has ended the team.
func (t *team) conclude(ctx context.Context, place int, r *round, call func(context.Context, [][]byte) ([][]byte, error)) (stopped bool) {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(t.ctx, func() { stop(context.Cause(t.ctx)) })()
	r.result, r.err = call(work, r.parts)
	var lost *PeerLostError
	switch {
	case r.err == nil:
	case ctx.Err() != nil:
		stopped = t.lose(place, "was asked to stop")
	case errors.As(r.err, &lost):
		t.cancel(lost)
	default:
		t.cancel(&PeerLostError{Rank: -1, Reason: r.err.Error()})
	}
	close(r.done)
	return stopped
}

// await waits until a round is done or the team has ended, and says whether the ctx of the member at place has ended it.
func (t *team) await(ctx context.Context, place int, r *round) (stopped bool) {
	select {
	case <-r.done:
		return false
	case <-t.ctx.Done():
		return false
	case <-ctx.Done():
	}
	select {
	case <-r.done:
		return false
	default:
		return t.lose(place, "was asked to stop")
	}
}

// complete says whether all have come to a round. If so it waits until the call has ended, which reads the parts of all.
func (t *team) complete(r *round) bool {
	t.mutex.Lock()
	all := r.arrived == t.n
	t.mutex.Unlock()
	if all {
		<-r.done
	}
	return all
}

// lose ends the team because of a member, and says whether nothing has ended it before.
func (t *team) lose(place int, reason string) bool {
	lost := &PeerLostError{Rank: t.nodes.Rank(), Reason: fmt.Sprintf("its device %d %s", place, reason)}
	t.cancel(lost)
	return errors.Is(context.Cause(t.ctx), lost)
}

// AllReduce implements [Group]: the sums of this process, by place, travel as one, through host memory.
func (m *member) AllReduce(ctx context.Context, arrays []device.Array) error {
	t := m.team
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	flat, err := readFlat(t.flats[m.place], arrays)
	if err != nil {
		return err
	}
	t.flats[m.place] = flat
	_, err = m.meet(ctx, "sum over all ranks", nil, func(ctx context.Context, _ [][]byte) ([][]byte, error) {
		if err := t.addUp(); err != nil {
			return nil, err
		}
		return nil, t.nodes.AllReduce(ctx, []device.Array{device.HostArrayOver(device.Float32, device.Bytes(t.sum))})
	})
	if err != nil {
		return err
	}
	return writeFlat(t.sum, arrays)
}

// addUp sums what the members have read, by place. That all have come says that none still reads the sum before.
func (t *team) addUp() error {
	t.sum = append(t.sum[:0], t.flats[0]...)
	for _, flat := range t.flats[1:] {
		if len(flat) != len(t.sum) {
			return fmt.Errorf("the devices of a process are to sum %d and %d numbers", len(t.sum), len(flat))
		}
		for i, x := range flat {
			t.sum[i] += x
		}
	}
	return nil
}

// AllGather implements [Group].
func (m *member) AllGather(ctx context.Context, own []byte) ([][]byte, error) {
	return m.meet(ctx, "gather from all ranks", own, func(ctx context.Context, parts [][]byte) ([][]byte, error) {
		tables, err := m.team.nodes.AllGather(ctx, encodeTable(parts))
		if err != nil {
			return nil, err
		}
		var all [][]byte
		for p, table := range tables {
			list, err := decodeTable(table, m.team.n)
			if err != nil {
				return nil, fmt.Errorf("process %d: %w", p, err)
			}
			all = append(all, list...)
		}
		return all, nil
	})
}

// Broadcast implements [Group].
func (m *member) Broadcast(ctx context.Context, data []byte) ([]byte, error) {
	if m.place != 0 {
		data = nil
	}
	said, err := m.meet(ctx, "broadcast from rank 0", data, func(ctx context.Context, parts [][]byte) ([][]byte, error) {
		said, err := m.team.nodes.Broadcast(ctx, parts[0])
		return [][]byte{said}, err
	})
	if err != nil {
		return nil, err
	}
	return said[0], nil
}

// Barrier implements [Group].
func (m *member) Barrier(ctx context.Context) error {
	_, err := m.meet(ctx, "wait for all ranks", nil, func(ctx context.Context, _ [][]byte) ([][]byte, error) {
		return nil, m.team.nodes.Barrier(ctx)
	})
	return err
}

// Close implements [Group]. It waits for nobody.
func (m *member) Close(reason error) error {
	t := m.team
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if reason != nil {
		t.lose(m.place, "has stopped: "+reason.Error())
	}
	t.left[m.place] = true
	if r := t.next; r.arrived > 0 {
		// Others have come to a call that this member will not come to.
		t.lose(m.place, "has left")
	}
	return nil
}
