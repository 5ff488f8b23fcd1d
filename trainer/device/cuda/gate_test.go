package cuda

import (
	"errors"
	"testing"
)

// A link may be closed as soon as all have launched: others that have met it are not to take that for a failure.
func TestGate_opensForAllWhoHaveMet(t *testing.T) {
	id := []byte("gate")
	for range 2000 {
		g := enterGate(id)
		enterGate(id)
		forgetGate(id)
		met := make(chan error)
		for range 2 {
			go func() {
				err := g.meet()
				g.end(errLinkClosed)
				met <- err
			}()
		}
		for range 2 {
			if err := <-met; err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestGate_endsForAllWhoWait(t *testing.T) {
	id, failed := []byte("gate"), errors.New("failed")
	g := enterGate(id)
	if enterGate(id) != g {
		t.Error("another gate for the same identifier")
	}
	forgetGate(id)
	met := make(chan error)
	go func() { met <- g.meet() }()
	g.end(failed)
	g.end(errLinkClosed)
	for _, err := range []error{<-met, g.meet()} {
		if !errors.Is(err, failed) {
			t.Errorf("got %v, want the first reason", err)
		}
	}
}
