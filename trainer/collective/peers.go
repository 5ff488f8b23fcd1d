package collective

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// group is a [Group] of several processes.
type group struct {
	rank, size int
	transport  transport
	// links go to rank 0, or from rank 0 to all others.
	links     map[int]*link
	reception *reception

	ctx    context.Context
	cancel context.CancelCauseFunc
	// calling is held while the transport works.
	calling sync.Mutex
	flat    []float32
	closed  bool
	// left is closed, by rank, when the other side has come to its regular end.
	left map[int]chan struct{}
}

var _ Group = (*group)(nil)

func newGroup(rank, size int, links map[int]*link, r *reception) *group {
	g := &group{rank: rank, size: size, links: links, reception: r, left: map[int]chan struct{}{}}
	for peer := range links {
		g.left[peer] = make(chan struct{})
	}
	g.ctx, g.cancel = context.WithCancelCause(context.Background())
	return g
}

// abandon ends a group that could not be formed, because of a rank or because ctx has ended.
func (g *group) abandon(ctx context.Context, rank int, reason error) error {
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), g.Close(errors.New("asked to stop")))
	}
	lost := &PeerLostError{Rank: rank, Reason: reason.Error()}
	return errors.Join(lost, g.Close(lost))
}

// begin connects the transport and watches the peers from then on.
func (g *group) begin(ctx context.Context, table []byte) (Group, error) {
	addresses, err := decodeTable(table, g.size)
	if err != nil {
		return nil, g.abandon(ctx, 0, err)
	}
	for rank, l := range g.links {
		go g.watch(rank, l)
	}
	context.AfterFunc(g.ctx, g.transport.abort)
	if err := g.call(ctx, "connect to the other ranks", func() error { return g.transport.connect(addresses) }); err != nil {
		return nil, errors.Join(err, g.Close(err))
	}
	return g, nil
}

// watch ends the group when a link does, or when the other side says so. A regular end is none: data may still be on
// its way.
func (g *group) watch(rank int, l *link) {
	lost := &PeerLostError{Rank: rank}
	f, ok := <-l.frames
	if ok && f.kind == kindBye && len(f.payload) == 0 {
		close(g.left[rank])
		f, ok = <-l.frames
	}
	switch {
	case !ok:
		<-l.done
		lost.Reason = l.err.Error()
	case f.kind == kindLost && decodeJSON(f.payload, lost):
	case f.kind == kindBye:
		lost.Reason = "it has stopped: " + string(f.payload)
	default:
		lost.Reason = fmt.Sprintf("it said something unexpected (kind %d)", f.kind)
	}
	g.lose(lost)
}

// lose ends the group; rank 0 tells the others.
func (g *group) lose(lost *PeerLostError) {
	g.cancel(lost)
	if g.rank != 0 {
		return
	}
	var first *PeerLostError
	if !errors.As(context.Cause(g.ctx), &first) || first != lost {
		return
	}
	for rank, l := range g.links {
		if rank != lost.Rank {
			go func() { _ = l.send(jsonFrame(kindLost, PeerLostError{lost.Rank, clip(lost.Reason)}, "")) }()
		}
	}
}

// Rank implements [Group].
func (g *group) Rank() int { return g.rank }

// Size implements [Group].
func (g *group) Size() int { return g.size }

// Context implements [Group].
func (g *group) Context() context.Context { return g.ctx }

// Silence implements [Group].
func (g *group) Silence() time.Duration {
	longest := time.Duration(0)
	for _, l := range g.links {
		longest = max(longest, time.Since(time.Unix(0, l.heard.Load())))
	}
	return longest
}

// AllReduce implements [Group]: the arrays travel as one, through host memory.
func (g *group) AllReduce(ctx context.Context, arrays []device.Array) (err error) {
	if g.flat, err = readFlat(g.flat, arrays); err != nil {
		return err
	}
	if err := g.call(ctx, "sum over all ranks", func() error { return g.transport.allReduce(device.Bytes(g.flat)) }); err != nil {
		return err
	}
	return writeFlat(g.flat, arrays)
}

// AllGather implements [Group].
func (g *group) AllGather(ctx context.Context, own []byte) (out [][]byte, err error) {
	err = g.call(ctx, "gather from all ranks", func() error {
		sizes, err := g.sizes(len(own))
		if err != nil {
			return err
		}
		all, err := g.transport.allGather(own, sizes)
		if err != nil {
			return err
		}
		for _, n := range sizes {
			out, all = append(out, all[:n:n]), all[n:]
		}
		return nil
	})
	return out, err
}

// sizes gathers one number of every rank.
func (g *group) sizes(own int) ([]int, error) {
	eights := make([]int, g.size)
	for i := range eights {
		eights[i] = 8
	}
	raw, err := g.transport.allGather(binary.LittleEndian.AppendUint64(nil, uint64(own)), eights)
	if err != nil {
		return nil, err
	}
	out := make([]int, g.size)
	for i := range out {
		out[i] = int(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out, nil
}

// Broadcast implements [Group].
func (g *group) Broadcast(ctx context.Context, data []byte) ([]byte, error) {
	err := g.call(ctx, "broadcast from rank 0", func() error {
		size := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
		if err := g.transport.broadcast(size); err != nil {
			return err
		}
		if g.rank != 0 {
			data = make([]byte, binary.LittleEndian.Uint64(size))
		}
		if len(data) == 0 {
			return nil
		}
		return g.transport.broadcast(data)
	})
	return data, err
}

// Barrier implements [Group].
func (g *group) Barrier(ctx context.Context) error {
	return g.call(ctx, "wait for all ranks", g.transport.barrier)
}

// verdictTime is how long a broken call waits for the heartbeat to say who is to blame.
const verdictTime = 2 * time.Second

// call does something with the transport. An error of it is a lost peer, for nothing else can happen to it; a ctx that
// ends meanwhile breaks the group.
func (g *group) call(ctx context.Context, what string, do func() error) error {
	g.calling.Lock()
	defer g.calling.Unlock()
	if g.ctx.Err() != nil {
		return context.Cause(g.ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	unlink := context.AfterFunc(ctx, g.transport.abort)
	err := do()
	unlink()
	switch {
	case err == nil:
		return nil
	case g.ctx.Err() != nil:
		return context.Cause(g.ctx)
	case ctx.Err() != nil:
		g.lose(&PeerLostError{Rank: g.rank, Reason: "it was asked to stop"})
		return ctx.Err()
	}
	select {
	case <-g.ctx.Done():
	case <-time.After(verdictTime):
		g.lose(&PeerLostError{Rank: -1, Reason: fmt.Sprintf("%s: %v", what, err)})
	}
	return context.Cause(g.ctx)
}

// partingTime bounds how long a process that is done waits for the others to be done too.
const partingTime = 5 * time.Second

// Close implements [Group]. At the regular end no process cuts its connections before all have left: what one of them
// still waits for may be on its way.
func (g *group) Close(reason error) error {
	if g.closed {
		return nil
	}
	g.closed = true
	if reason == nil {
		g.part()
	}
	for _, l := range g.links {
		if reason != nil {
			l.leave(reason.Error())
		}
		l.end(errors.New("closed"))
	}
	if g.reception != nil {
		g.reception.close()
	}
	g.cancel(errors.New("the group is closed"))
	if g.transport != nil {
		g.transport.abort()
		g.calling.Lock()
		defer g.calling.Unlock()
		g.transport.close()
	}
	return nil
}

// part says goodbye: the other ranks to rank 0, and rank 0 to all when all have.
func (g *group) part() {
	bye := func() {
		for _, l := range g.links {
			_ = l.send(frame{kind: kindBye})
		}
	}
	if g.rank != 0 {
		bye()
	} else {
		defer bye()
	}
	patience := time.After(partingTime)
	for _, left := range g.left {
		select {
		case <-left:
		case <-g.ctx.Done():
		case <-patience:
			return
		}
	}
}
