package collective

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// helloTime is how long a connection may take to introduce itself.
	helloTime = 10 * time.Second
	// maxStrangers bounds the connections that have not introduced themselves yet.
	maxStrangers = 64
)

// reception is rank 0's side of the rendezvous: it answers everybody who connects, also while the group works.
type reception struct {
	world    World
	timing   Timing
	listener net.Listener
	arrived  chan arrival
	// full says that the group works and has no room.
	full atomic.Bool
	ctx  context.Context
	stop context.CancelFunc
}

type arrival struct {
	rank int
	link *link
}

// host gathers the ranks as rank 0.
func host(ctx context.Context, w World, t Timing, note func(string), open opener) (Group, error) {
	listener, err := net.Listen("tcp", w.listenAddress())
	if err != nil {
		return nil, fmt.Errorf("listen for the other ranks: %w", err)
	}
	r := &reception{world: w, timing: t, listener: listener, arrived: make(chan arrival)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	go r.serve()
	links, err := r.gather(ctx, note)
	if err != nil {
		r.close()
		return nil, err
	}
	g, err := r.form(ctx, links, open)
	if err != nil {
		r.close()
	}
	return g, err
}

func (r *reception) close() {
	r.stop()
	_ = r.listener.Close()
}

// serve accepts connections until the listener is closed.
func (r *reception) serve() {
	strangers := make(chan struct{}, maxStrangers)
	for {
		conn, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, for one; that passes.
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case strangers <- struct{}{}:
			go func() { r.greet(conn); <-strangers }()
		default:
			_ = conn.Close()
		}
	}
}

// greet reads a hello and lets its sender in, or says why not. Whoever does not speak the protocol gets no answer.
func (r *reception) greet(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(helloTime))
	f, err := readFrame(conn, kindHello)
	if err != nil {
		_ = conn.Close()
		return
	}
	h, err := parseHello(f.payload)
	if err != nil {
		_ = conn.Close()
		return
	}
	no := r.world.judge(h)
	if no == nil && r.full.Load() {
		no = &refusal{Reason: "the group works without this process, which it has not missed yet"}
	}
	if no != nil {
		_, _ = conn.Write(no.frame().encode())
		_ = conn.Close()
		return
	}
	l := newLink(conn, r.timing)
	select {
	case r.arrived <- arrival{h.Rank, l}:
	case <-r.ctx.Done():
		l.leave("rank 0 stops")
	}
}

// judge says why a process does not belong to rank 0's world; nil if it does.
func (w World) judge(h hello) *refusal {
	switch {
	case h.Job != w.Job:
		return &refusal{Reason: fmt.Sprintf("this is rank 0 of job %q, not of %q", w.Job, h.Job)}
	case h.Attempt < w.Attempt:
		return &refusal{Reason: fmt.Sprintf("attempt %d is over: this is attempt %d", h.Attempt, w.Attempt), Final: true}
	case h.Attempt > w.Attempt:
		return &refusal{Reason: fmt.Sprintf("this is still attempt %d", w.Attempt)}
	case h.Size != w.Size:
		return &refusal{Reason: fmt.Sprintf("rank 0 trains with %d processes, rank %d with %d: start all with the same HRM_WORLD_SIZE", w.Size, h.Rank, h.Size), Final: true, Mismatch: true}
	case h.Rank < 1 || h.Rank >= w.Size:
		return &refusal{Reason: fmt.Sprintf("there is no room for rank %d among %d processes", h.Rank, w.Size), Final: true, Mismatch: true}
	case h.Devices != w.devices():
		return &refusal{Reason: fmt.Sprintf("rank 0 trains on %d devices, rank %d on %d: give all processes the same number of GPUs, or name as many with --device", w.devices(), h.Rank, h.Devices), Final: true, Mismatch: true}
	case h.Recipe != w.Recipe:
		return &refusal{Reason: "it was started with another model, dataset, training or evaluation than rank 0: give all processes the same job", Final: true, Mismatch: true}
	}
	return nil
}

// gather waits until every rank is connected. Ranks may go and come back meanwhile; of two that claim the same rank,
// the later one counts: the earlier one's end may not have been noticed.
func (r *reception) gather(ctx context.Context, note func(string)) (map[int]*link, error) {
	links := map[int]*link{}
	gone := make(chan arrival)
	reminder := newReminder(r.timing.Note, note)
	ticker := time.NewTicker(r.timing.Note)
	defer ticker.Stop()
	for {
		if len(links) == r.world.Size-1 {
			r.full.Store(true)
			return links, nil
		}
		reminder.say("waiting for " + missing(links, r.world.Size))
		select {
		case a := <-r.arrived:
			if old := links[a.rank]; old != nil {
				old.leave("another process has come as this rank")
			}
			links[a.rank] = a.link
			go func() {
				<-a.link.done
				select {
				case gone <- a:
				case <-r.ctx.Done():
				}
			}()
		case a := <-gone:
			if links[a.rank] == a.link {
				delete(links, a.rank)
			}
		case <-ticker.C:
		case <-ctx.Done():
			for _, l := range links {
				l.leave("asked to stop")
			}
			return nil, ctx.Err()
		}
	}
}

// missing names the ranks that are not there.
func missing(links map[int]*link, size int) string {
	var names []string
	for rank := 1; rank < size; rank++ {
		if links[rank] == nil {
			names = append(names, fmt.Sprint(rank))
		}
	}
	if len(names) == 1 {
		return "rank " + names[0]
	}
	return "ranks " + strings.Join(names, ", ")
}

// form tells all ranks to start, exchanges the transport's addresses and connects.
func (r *reception) form(ctx context.Context, links map[int]*link, open opener) (Group, error) {
	g := newGroup(0, r.world.Size, links, r)
	address, _, err := net.SplitHostPort(links[1].conn.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(err, g.Close(err))
	}
	if g.transport, err = open(address, 0, r.world.Size); err != nil {
		return nil, errors.Join(err, g.Close(err))
	}
	for _, l := range links {
		_ = l.send(frame{kind: kindStart})
	}
	table := make([][]byte, r.world.Size)
	table[0] = g.transport.addresses()
	for rank, l := range links {
		if table[rank], err = l.await(ctx, kindAddresses); err != nil {
			return nil, g.abandon(ctx, rank, err)
		}
	}
	encoded := encodeTable(table)
	for _, l := range links {
		_ = l.send(frame{kind: kindTable, payload: encoded})
	}
	return g.begin(ctx, encoded)
}
