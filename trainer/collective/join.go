package collective

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// World says which process this is, and of what.
type World struct {
	// Job and Attempt tell processes of other jobs and of earlier attempts apart.
	Job     string
	Attempt int
	Rank    int
	Size    int
	// Devices is how many devices each process trains on; 0 is 1.
	Devices int
	// Recipe is a hash of all that decides what is computed: it must be the same everywhere.
	Recipe string
	// Rendezvous is the host of rank 0, or host:port if it does not listen on the usual port. Rank 0 listens on the port
	// at all addresses, or at the one that it is given with --rendezvous-listen.
	Rendezvous string
	// Listen is where rank 0 listens; empty is the rendezvous' port at all addresses.
	Listen string
}

// Timing of the rendezvous and of heartbeats. The zero value is for production.
type Timing struct {
	// Heartbeat is the distance of signs of life, Silence how long a peer may give none.
	Heartbeat, Silence time.Duration
	// Note is the distance of notes about who is missing.
	Note time.Duration
}

func (t Timing) withDefaults() Timing {
	t.Heartbeat = cmp.Or(t.Heartbeat, 2*time.Second)
	t.Silence = cmp.Or(t.Silence, 20*time.Second)
	t.Note = cmp.Or(t.Note, 30*time.Second)
	return t
}

// RefusedError says that rank 0 does not want this process.
type RefusedError struct {
	Reason string
	// Mismatch says that the processes were started with different jobs, which only a human can mend.
	Mismatch bool
}

func (e *RefusedError) Error() string { return "rank 0 refuses this process: " + e.Reason }

// Join returns the group of the world's processes once all of them are there, however long that takes: ctx ends the
// waiting. note tells who is missing. Without a transport in this program it returns an error that says how to get one.
func Join(ctx context.Context, w World, t Timing, note func(string)) (Group, error) {
	if w.Size == 1 {
		return Single{}, nil
	}
	if err := Available(); err != nil {
		return nil, err
	}
	if w.Rank < 0 || w.Rank >= w.Size {
		return nil, fmt.Errorf("rank %d does not exist among %d processes", w.Rank, w.Size)
	}
	t = t.withDefaults()
	if w.Rank == 0 {
		return host(ctx, w, t, note, openTransport)
	}
	return dial(ctx, w, t, note, openTransport)
}

// transport moves the data of a group of processes. Gloo is one.
type transport interface {
	// addresses is what the other ranks must know to connect to this one.
	addresses() []byte
	// connect connects to all, given the addresses of every rank.
	connect(table [][]byte) error
	// allReduce sums float32 numbers, given as the bytes of this machine's order.
	allReduce(raw []byte) error
	// allGather gathers blocks of known sizes.
	allGather(own []byte, sizes []int) ([]byte, error)
	broadcast(data []byte) error
	barrier() error
	// abort makes calls that wait return with an error. It may be called at any time, from any goroutine, before close.
	abort()
	close()
}

// opener makes the transport of a rank, listening at the given address of this machine.
type opener func(address string, rank, size int) (transport, error)

// hostPort completes an address with the usual port.
func hostPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(address, strconv.Itoa(progress.RendezvousPort))
}

func (w World) listenAddress() string {
	if w.Listen != "" {
		return w.Listen
	}
	_, port, err := net.SplitHostPort(hostPort(w.Rendezvous))
	if err != nil {
		port = strconv.Itoa(progress.RendezvousPort)
	}
	return ":" + port
}

func (w World) devices() int { return max(1, w.Devices) }

func (w World) hello() hello {
	return hello{Job: w.Job, Attempt: w.Attempt, Size: w.Size, Rank: w.Rank, Devices: w.devices(), Recipe: w.Recipe}
}

// dial joins as a rank other than 0: it asks rank 0 until all are there.
func dial(ctx context.Context, w World, t Timing, note func(string), open opener) (Group, error) {
	address := hostPort(w.Rendezvous)
	reminder := newReminder(t.Note, note)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		l, err := introduce(ctx, address, w, t, reminder)
		if err == nil {
			return enter(ctx, w, l, open)
		}
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		reminder.say(fmt.Sprintf("waiting for rank 0 at %s: %v", address, err))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// introduce connects to rank 0 and waits until it says that all are there. An error that is not a RefusedError is
// worth another try.
func introduce(ctx context.Context, address string, w World, t Timing, reminder *reminder) (*link, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := newLink(conn, t)
	if err := l.send(w.hello().frame()); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(t.Note)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			l.leave("asked to stop")
			return nil, ctx.Err()
		case <-ticker.C:
			reminder.say("connected to rank 0, which waits for other ranks")
		case f, ok := <-l.frames:
			switch {
			case !ok:
				<-l.done
				return nil, fmt.Errorf("the connection ended: %w", l.err)
			case f.kind == kindStart:
				return l, nil
			}
			l.end(errors.New("closed"))
			return nil, notWanted(f)
		}
	}
}

// notWanted is the error of an answer that is not "start".
func notWanted(f frame) error {
	if f.kind == kindBye {
		return fmt.Errorf("rank 0 has left: %s", f.payload)
	}
	var r refusal
	if f.kind != kindRefused || !decodeJSON(f.payload, &r) {
		return fmt.Errorf("%w: kind %d in place of an answer", errNotFrame, f.kind)
	}
	if r.Final {
		return &RefusedError{Reason: r.Reason, Mismatch: r.Mismatch}
	}
	return errors.New(r.Reason)
}

// enter connects the transport of a rank that rank 0 has let in.
func enter(ctx context.Context, w World, l *link, open opener) (Group, error) {
	address, _, err := net.SplitHostPort(l.conn.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	g := newGroup(w.Rank, w.Size, map[int]*link{0: l}, nil)
	if g.transport, err = open(address, w.Rank, w.Size); err != nil {
		return nil, errors.Join(err, g.Close(err))
	}
	_ = l.send(frame{kind: kindAddresses, payload: g.transport.addresses()})
	table, err := l.await(ctx, kindTable)
	if err != nil {
		return nil, g.abandon(ctx, 0, err)
	}
	return g.begin(ctx, table)
}

// await waits for a frame of a kind.
func (l *link) await(ctx context.Context, want kind) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case f, ok := <-l.frames:
		switch {
		case !ok:
			<-l.done
			return nil, l.err
		case f.kind == want:
			return f.payload, nil
		case f.kind == kindBye, f.kind == kindLost:
			return nil, fmt.Errorf("it has left: %s", f.payload)
		}
		return nil, fmt.Errorf("%w: kind %d in place of %d", errNotFrame, f.kind, want)
	}
}

// reminder says something at most once per interval.
type reminder struct {
	every time.Duration
	note  func(string)
	last  time.Time
}

func newReminder(every time.Duration, note func(string)) *reminder {
	return &reminder{every: every, note: note}
}

func (r *reminder) say(text string) {
	if now := time.Now(); now.Sub(r.last) >= r.every {
		r.last = now
		r.note(text)
	}
}
