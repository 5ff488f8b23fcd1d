package collective

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The rendezvous is tested with a transport that moves nothing: its barrier waits until it is aborted.
type idle struct{ aborted chan struct{} }

func openIdle(string, int, int) (transport, error) { return &idle{make(chan struct{})}, nil }

func (*idle) addresses() []byte      { return []byte("here") }
func (*idle) connect([][]byte) error { return nil }
func (*idle) allReduce([]byte) error { return nil }
func (*idle) broadcast([]byte) error { return nil }
func (*idle) close()                 {}
func (i *idle) barrier() error       { <-i.aborted; return errors.New("aborted") }
func (i *idle) abort()               { abortOnce(i.aborted) }
func (*idle) allGather(own []byte, sizes []int) ([]byte, error) {
	return bytes.Repeat(own, len(sizes)), nil
}

var aborting sync.Mutex

func abortOnce(c chan struct{}) {
	aborting.Lock()
	defer aborting.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

// brisk is a timing for tests that let a peer fall silent.
var brisk = Timing{Heartbeat: 50 * time.Millisecond, Silence: time.Second, Note: 10 * time.Millisecond}

// meeting is where a test's ranks meet.
type meeting struct {
	t       *testing.T
	address string
	size    int
}

func newMeeting(t *testing.T, size int) meeting {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return meeting{t, l.Addr().String(), size}
}

func (m meeting) world(rank int) World {
	return World{Job: "ns/job", Attempt: 2, Rank: rank, Size: m.size, Recipe: "r", Rendezvous: m.address, Listen: m.address}
}

// result is what a rank's joining came to.
type result struct {
	group Group
	err   error
}

// join starts a rank; change, if not nil, alters what it says of itself.
func (m meeting) join(ctx context.Context, rank int, note func(string), change func(*World)) chan result {
	w, out := m.world(rank), make(chan result, 1)
	if change != nil {
		change(&w)
	}
	enter := dial
	if rank == 0 {
		enter = host
	}
	go func() {
		g, err := enter(ctx, w, brisk.withDefaults(), note, openIdle)
		out <- result{g, err}
	}()
	return out
}

// all joins every rank and returns their groups.
func (m meeting) all() []Group {
	m.t.Helper()
	var waiting []chan result
	for rank := range m.size {
		waiting = append(waiting, m.join(m.t.Context(), rank, quiet, nil))
	}
	groups := make([]Group, m.size)
	for rank, c := range waiting {
		r := <-c
		if r.err != nil {
			m.t.Fatalf("rank %d: %v", rank, r.err)
		}
		groups[rank] = r.group
		m.t.Cleanup(func() { _ = r.group.Close(errors.New("the test is over")) })
	}
	return groups
}

func quiet(string) {}

func TestRendezvous_refusesWhoDoesNotBelong(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*World)
		want     string
		mismatch bool
	}{
		{"an earlier attempt", func(w *World) { w.Attempt = 1 }, "attempt 1 is over: this is attempt 2", false},
		{"another number of processes", func(w *World) { w.Size = 3 }, "trains with 2 processes", true},
		{"another number of devices", func(w *World) { w.Devices = 4 }, "rank 0 trains on 1 devices, rank 1 on 4", true},
		{"another recipe", func(w *World) { w.Recipe = "other" }, "give all processes the same job", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			m := newMeeting(t, 2)
			zero := m.join(ctx, 0, quiet, nil)
			var refused *RefusedError
			r := <-m.join(ctx, 1, quiet, c.change)
			if !errors.As(r.err, &refused) || !strings.Contains(r.err.Error(), c.want) || refused.Mismatch != c.mismatch {
				t.Errorf("got %v, want %q", r.err, c.want)
			}
			stop()
			if r := <-zero; !errors.Is(r.err, context.Canceled) {
				t.Errorf("rank 0 ends with %v", r.err)
			}
		})
	}
}

// Who comes from another job, or too early, asks again: the name may lead elsewhere in a moment.
func TestRendezvous_asksAgainUntilItsOwnRankZeroIsThere(t *testing.T) {
	for name, change := range map[string]func(*World){
		"another job":     func(w *World) { w.Job = "ns/other" },
		"a later attempt": func(w *World) { w.Attempt = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMeeting(t, 2)
			first, stop := context.WithCancel(t.Context())
			before := m.join(first, 0, quiet, nil)
			heard := make(chan string, 1000)
			late := m.join(t.Context(), 1, func(s string) { heard <- s }, change)
			for s := range heard {
				if strings.Contains(s, "this is") {
					break
				}
			}
			stop()
			<-before
			right := m.join(t.Context(), 0, quiet, change)
			for _, r := range []result{<-right, <-late} {
				if r.err != nil {
					t.Fatal(r.err)
				}
				defer r.group.Close(errors.New("over"))
			}
		})
	}
}

func TestRendezvous_namesWhoIsMissing(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	m, heard := newMeeting(t, 4), make(chan string, 1000)
	zero := m.join(ctx, 0, func(s string) { heard <- s }, nil)
	two := m.join(ctx, 2, quiet, nil)
	for s := range heard {
		if s == "waiting for ranks 1, 3" {
			break
		}
	}
	stop()
	for _, c := range []chan result{zero, two} {
		if r := <-c; !errors.Is(r.err, context.Canceled) {
			t.Errorf("ends with %v", r.err)
		}
	}
}

// Of two processes that claim one rank the later counts: the earlier one's end may not have been noticed.
func TestRendezvous_takesALaterProcessInPlaceOfAnEarlierOne(t *testing.T) {
	m := newMeeting(t, 3)
	zero := m.join(t.Context(), 0, quiet, nil)
	earlier := knock(t, m.address)
	defer earlier.Close()
	if _, err := earlier.Write(m.world(1).hello().frame().encode()); err != nil {
		t.Fatal(err)
	}
	later := m.join(t.Context(), 1, quiet, nil)
	for f := (frame{kind: kindAlive}); f.kind != kindBye; {
		var err error
		if f, err = readFrame(earlier, kindAlive, kindBye); err != nil {
			t.Fatalf("the earlier one is not told: %v", err)
		}
	}
	two := m.join(t.Context(), 2, quiet, nil)
	for _, c := range []chan result{zero, later, two} {
		r := <-c
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.group.Close(errors.New("over"))
	}
}

// Strangers get no answer and do no harm.
func TestRendezvous_outlivesGarbage(t *testing.T) {
	m := newMeeting(t, 2)
	zero := m.join(t.Context(), 0, quiet, nil)
	hugeHello := append([]byte{byte(kindHello)}, 0xff, 0xff, 0xff, 0xff)
	for _, garbage := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), {0}, hugeHello, frame{kind: kindTable, payload: []byte("x")}.encode(),
		frame{kind: kindHello, payload: []byte("no magic")}.encode(), frame{kind: kindHello, payload: []byte(magic + "{")}.encode(), nil,
	} {
		conn := knock(t, m.address)
		if _, err := conn.Write(garbage); err != nil {
			t.Fatal(err)
		}
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("%q is answered with %q", garbage, answer)
		}
		_ = conn.Close()
	}
	one := m.join(t.Context(), 1, quiet, nil)
	for _, c := range []chan result{zero, one} {
		r := <-c
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.group.Close(errors.New("over"))
	}
}

// knock connects to an address as soon as somebody listens there.
func knock(t *testing.T, address string) net.Conn {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A connection that stays open and says nothing more is a lost peer; all the others hear which one it is.
func TestGroup_missesAPeerThatFallsSilent(t *testing.T) {
	m := newMeeting(t, 3)
	groups := m.all()
	silent := groups[2].(*group)
	// No more heartbeats, no end of the connection: as if the cable had been cut.
	silent.links[0].writing.Lock()
	defer silent.links[0].writing.Unlock()
	for rank := range 2 {
		var lost *PeerLostError
		if err := groups[rank].Barrier(t.Context()); !errors.As(err, &lost) || lost.Rank != 2 || !strings.Contains(lost.Reason, "no sign of life") {
			t.Errorf("rank %d: got %v, want rank 2 to be missed", rank, err)
		}
	}
}

// However long the reason is for which a rank stops, the others hear which one it was.
func TestGroup_tellsOfALossWithALongReason(t *testing.T) {
	groups := newMeeting(t, 3).all()
	if err := groups[2].Close(errors.New(strings.Repeat("\x01", 10_000))); err != nil {
		t.Fatal(err)
	}
	var lost *PeerLostError
	if err := groups[1].Barrier(t.Context()); !errors.As(err, &lost) || lost.Rank != 2 {
		t.Errorf("got %v, want the loss of rank 2", err)
	}
}

func TestGroup_missesRankZero(t *testing.T) {
	groups := newMeeting(t, 2).all()
	if err := groups[0].Close(errors.New("out of memory")); err != nil {
		t.Fatal(err)
	}
	var lost *PeerLostError
	if err := groups[1].Barrier(t.Context()); !errors.As(err, &lost) || lost.Rank != 0 || !strings.Contains(lost.Reason, "out of memory") {
		t.Errorf("got %v, want the reason of rank 0", err)
	}
}

// A group that works turns away who comes late; there is no room until it has noticed who is missing.
func TestGroup_turnsAwayWhoComesLate(t *testing.T) {
	m := newMeeting(t, 2)
	m.all()
	ctx, stop := context.WithCancel(t.Context())
	heard := make(chan string, 1000)
	late := m.join(ctx, 1, func(s string) { heard <- s }, nil)
	for s := range heard {
		if strings.Contains(s, "which it has not missed yet") {
			break
		}
	}
	stop()
	if r := <-late; !errors.Is(r.err, context.Canceled) {
		t.Errorf("ends with %v", r.err)
	}
}

func TestShare_coversEveryRowOnce(t *testing.T) {
	for _, c := range []struct{ total, size int }{{8, 1}, {8, 2}, {8, 3}, {7, 4}, {768, 8}} {
		next := 0
		for rank := range c.size {
			from, to := Share(c.total, rank, c.size)
			if from != next || to <= from {
				t.Errorf("rank %d of %d has rows %d to %d of %d", rank, c.size, from, to, c.total)
			}
			next = to
		}
		if next != c.total {
			t.Errorf("%d ranks share %d of %d rows", c.size, next, c.total)
		}
	}
}

// Whatever arrives, reading it ends without a panic and without much memory; a frame that is read is written the same.
func FuzzReadFrame(f *testing.F) {
	for _, x := range []frame{
		hello{Job: "a/b", Attempt: 1, Size: 2, Rank: 1, Recipe: "r"}.frame(), refusal{Reason: "no", Final: true}.frame(),
		{kind: kindStart}, {kind: kindAlive}, {kind: kindBye, payload: []byte("why")}, {kind: kindTable, payload: encodeTable([][]byte{[]byte("x"), nil})},
	} {
		f.Add(x.encode(), 2)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		r := bytes.NewReader(raw)
		x, err := readFrame(r)
		if err != nil {
			return
		}
		if read := raw[:len(raw)-r.Len()]; !bytes.Equal(x.encode(), read) {
			t.Errorf("%q is written as %q", read, x.encode())
		}
		_, _ = parseHello(x.payload)
		_ = notWanted(x)
		if list, err := decodeTable(x.payload, size&0xff); err == nil && !slices.Equal(encodeTable(list), x.payload) {
			t.Errorf("table %q is written as %q", x.payload, encodeTable(list))
		}
	})
}

func ExampleShare() {
	fmt.Println(Share(768, 1, 4))
	// Output: 192 384
}
