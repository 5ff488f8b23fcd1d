package cuda

import "sync"

// gate lets the GPUs of this process that are linked to one another launch a collective together: none does anything else
// from the launch of the first to that of the last. A collective that runs on one GPU waits for those of the others, and a
// call such as cuMemFree may wait for all GPUs of the process, under locks that a launch needs, so that without the gate
// threads can wait for one another for ever.
type gate struct {
	mutex sync.Mutex
	// members are the links, waiting those that have come.
	members, waiting int
	// open is closed when all have come, and is another one then.
	open chan struct{}
	// broken is closed with reason when a link is broken: the others would wait for it in vain.
	broken chan struct{}
	reason error
}

// gates are those of this process, by the identifier of the link.
var gates struct {
	sync.Mutex
	byID map[string]*gate
}

// enterGate makes a link one of those with its identifier. All of them have entered before the first is complete.
func enterGate(id []byte) *gate {
	gates.Lock()
	defer gates.Unlock()
	g := gates.byID[string(id)]
	if g == nil {
		g = &gate{open: make(chan struct{}), broken: make(chan struct{})}
		if gates.byID == nil {
			gates.byID = map[string]*gate{}
		}
		gates.byID[string(id)] = g
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.members++
	return g
}

// forgetGate ends an identifier's use: a link that is complete needs no further members.
func forgetGate(id []byte) {
	gates.Lock()
	defer gates.Unlock()
	delete(gates.byID, string(id))
}

// meet returns when all members have called it, or with the reason when the gate is broken.
func (g *gate) meet() error {
	g.mutex.Lock()
	if g.reason != nil {
		defer g.mutex.Unlock()
		return g.reason
	}
	open := g.open
	if g.waiting++; g.waiting == g.members {
		close(open)
		g.open, g.waiting = make(chan struct{}), 0
	}
	g.mutex.Unlock()
	select {
	case <-open:
		return nil
	case <-g.broken:
	}
	// Who has met the others may be late to notice, and one of them may have closed its link meanwhile.
	select {
	case <-open:
		return nil
	default:
		return g.reason
	}
}

// end breaks the gate; the first reason counts.
func (g *gate) end(reason error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.reason == nil {
		g.reason = reason
		close(g.broken)
	}
}
