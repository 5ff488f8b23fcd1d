package collective

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// fakeGPUs are so many GPUs that are none. When the test ends they must have been used rightly, and freed.
func fakeGPUs(t *testing.T, n int) (*fake.Control, []device.Device) {
	t.Helper()
	c := fakegpu.Install(t)
	all := make([]device.Device, n)
	for i, d := range fakegpu.Devices(t, c, n) {
		all[i] = d
	}
	return c, all
}

// notes collects what is said.
type notes struct {
	sync.Mutex
	said []string
}

func (n *notes) add(text string) {
	n.Lock()
	defer n.Unlock()
	n.said = append(n.said, text)
}

// linkedMembers lets each member do something, whose group is one of linked devices.
func linkedMembers(t *testing.T, members []Group, devices []device.Device, note func(string), do func(g Group, d device.Device) error) []error {
	t.Helper()
	return sideBySide(members, func(g Group) (err error) {
		d := devices[slices.Index(members, g)]
		l, err := Linked(t.Context(), g, d, note)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.Close(err)) }()
		return do(l, d)
	})
}

// onDevice sums arrays on a device.
func onDevice(ctx context.Context, g Group, d device.Device) error {
	for round := range 3 {
		if err := sumsUp(ctx, g, d, round); err != nil {
			return err
		}
		if err := g.Barrier(ctx); err != nil {
			return err
		}
	}
	return nil
}

func TestLinked_addsUpOnTheDevices(t *testing.T) {
	c, devices := fakeGPUs(t, 3)
	var n notes
	allWell(t, linkedMembers(t, Local(Single{}, 3), devices, n.add, func(g Group, d device.Device) error {
		if DeviceLink(g) == nil {
			t.Errorf("rank %d has no link", g.Rank())
		}
		return onDevice(t.Context(), g, d)
	}))
	if c.Count("ncclAllReduce") == 0 {
		t.Error("NCCL was not asked to sum")
	}
	if len(n.said) != 1 || !strings.Contains(n.said[0], "3 devices are linked: nccl 2.23.4") {
		t.Errorf("the notes are %q", n.said)
	}
}

func TestLinked_goesThroughTheHostWhereDevicesCannotBeLinked(t *testing.T) {
	t.Run("no NCCL", func(t *testing.T) {
		c, devices := fakeGPUs(t, 2)
		c.SetNCCL(21003)
		var n notes
		allWell(t, linkedMembers(t, Local(Single{}, 2), devices, n.add, func(g Group, d device.Device) error {
			if DeviceLink(g) != nil {
				t.Errorf("rank %d has a link", g.Rank())
			}
			return onDevice(t.Context(), g, d)
		}))
		if len(n.said) != 1 || !strings.Contains(n.said[0], "through the host") || !strings.Contains(n.said[0], "pip install nvidia-nccl-cu12") {
			t.Errorf("the notes are %q", n.said)
		}
	})
	t.Run("no GPU at one rank", func(t *testing.T) {
		_, devices := fakeGPUs(t, 1)
		var n notes
		allWell(t, linkedMembers(t, Local(Single{}, 2), append(devices, reference.New()), n.add, func(g Group, d device.Device) error {
			return onDevice(t.Context(), g, d)
		}))
		if len(n.said) != 1 || !strings.Contains(n.said[0], "rank 1 trains on a device that cannot be linked") {
			t.Errorf("the notes are %q", n.said)
		}
	})
	t.Run("no GPU at all", func(t *testing.T) {
		var n notes
		allWell(t, linkedMembers(t, Local(Single{}, 2), []device.Device{reference.New(), reference.New()}, n.add, func(g Group, d device.Device) error {
			return onDevice(t.Context(), g, d)
		}))
		if len(n.said) != 0 {
			t.Errorf("the notes are %q, want none", n.said)
		}
	})
}

func TestDiffer_saysWhatKeepsDevicesApart(t *testing.T) {
	for _, c := range []struct {
		name  string
		kinds []linkKind
		want  string
	}{
		{"the same", []linkKind{{Kind: "nccl 2.23.4"}, {Kind: "nccl 2.23.4"}}, ""},
		{"no linkers", []linkKind{{}, {}}, ""},
		{"another version", []linkKind{{Kind: "nccl 2.23.4"}, {Kind: "nccl 2.27.3"}}, "rank 0 has nccl 2.23.4, rank 1 has nccl 2.27.3"},
		{"a reason", []linkKind{{Kind: "nccl 2.23.4"}, {Reason: "no libnccl"}}, "rank 1: no libnccl"},
		{"no linker at rank 0", []linkKind{{}, {Kind: "nccl 2.23.4"}}, "rank 0 trains on a device that cannot be linked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all [][]byte
			for _, k := range c.kinds {
				raw, err := json.Marshal(k)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, raw)
			}
			if why, err := differ(all); err != nil || !strings.HasPrefix(why, c.want) || c.want == "" && why != "" {
				t.Errorf("got %q, %v, want %q", why, err, c.want)
			}
		})
	}
	if _, err := differ([][]byte{[]byte("{")}); err == nil {
		t.Error("what is no JSON is no error")
	}
}

// A rank that fails while the GPUs of others wait for it ends them, and they say which it was.
func TestLinked_leavesADeviceThatIsGone(t *testing.T) {
	c, devices := fakeGPUs(t, 3)
	gone := errors.New("out of memory")
	errs := linkedMembers(t, Local(Single{}, 3), devices, func(string) {}, func(g Group, d device.Device) error {
		a, err := d.NewArray(device.Float32, 10)
		if err != nil {
			return err
		}
		c.BreakNCCL(6)
		if err := g.AllReduce(t.Context(), []device.Array{a}); err != nil {
			return err
		}
		if g.Rank() == 2 {
			return gone
		}
		if _, err := device.ReadFloats(a, 0, 1); err != nil {
			return err
		}
		return g.Barrier(t.Context())
	})
	if !errors.Is(errs[2], gone) {
		t.Errorf("rank 2 ends with %v", errs[2])
	}
	for rank, err := range errs[:2] {
		var lost *PeerLostError
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "device 2 has stopped: out of memory") {
			t.Errorf("rank %d ends with %v", rank, err)
		}
	}
}

// A rank that does not come to be linked, because it fails before, ends the others.
func TestLinked_isNotWaitedForByWhoIsToBeLinked(t *testing.T) {
	c, devices := fakeGPUs(t, 2)
	c.Fail("ncclGetUniqueId")
	errs := linkedMembers(t, Local(Single{}, 2), devices, func(string) {}, func(Group, device.Device) error { return nil })
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "ncclGetUniqueId") {
		t.Errorf("rank 0 ends with %v", errs[0])
	}
	var lost *PeerLostError
	if !errors.As(errs[1], &lost) {
		t.Errorf("rank 1 ends with %v", errs[1])
	}
}
