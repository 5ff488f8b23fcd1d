//go:build gloo && cgo && linux

package collective

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestLocal_spansProcesses(t *testing.T) {
	for _, processes := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d processes of 2", processes), func(t *testing.T) {
			noErrors(t, together(t, processes, func(nodes Group) error {
				members := Local(nodes, 2)
				for i, g := range members {
					if g.Rank() != 2*nodes.Rank()+i || g.Size() != 2*processes {
						return fmt.Errorf("member %d of process %d is rank %d of %d", i, nodes.Rank(), g.Rank(), g.Size())
					}
				}
				return errors.Join(sideBySide(members, func(g Group) error { return exercise(t.Context(), g) })...)
			}))
		})
	}
}

// A member that fails ends those of its own process at once, and those of others when its process has heard of it.
func TestLocal_endsTheMembersOfOtherProcesses(t *testing.T) {
	errs := together(t, 2, func(nodes Group) error {
		return errors.Join(sideBySide(Local(nodes, 2), func(g Group) error {
			if g.Rank() == 3 {
				return errors.New("out of memory")
			}
			for {
				if err := g.Barrier(t.Context()); err != nil {
					return err
				}
			}
		})...)
	})
	var lost *PeerLostError
	if !errors.As(errs[0], &lost) || lost.Rank != 1 || !strings.Contains(lost.Reason, "out of memory") {
		t.Errorf("process 0 ends with %v", errs[0])
	}
}
