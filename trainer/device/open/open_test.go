package open

import (
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

// withoutGPU hides what the machine may have: the tests of package cuda have a GPU.
func withoutGPU(t *testing.T) {
	t.Helper()
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
}

func TestOpen(t *testing.T) {
	withoutGPU(t)
	fast := "cpu"
	if cpu.Available() != nil {
		fast = "reference"
	}
	for _, c := range []struct {
		name, want string
		fails      bool
	}{
		{name: "reference", want: "reference"},
		{name: "auto", want: fast},
		{name: "", want: fast},
		{name: "cpu", want: "cpu", fails: cpu.Available() != nil},
		{name: "cuda", fails: true},
		{name: "cuda:1", fails: true},
		{name: "cuda:one", fails: true},
		{name: "abacus", fails: true},
	} {
		t.Run("device "+c.name, func(t *testing.T) {
			d, note, err := Open(c.name, Options{Threads: 1})
			if c.fails {
				if err == nil {
					t.Fatalf("got %s, want an error", d.Name())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if d.Name() != c.want || note == "" {
				t.Errorf("got %s with note %q, want %s and a note", d.Name(), note, c.want)
			}
		})
	}
}

func TestOpen_prefersAGPUThatCanBeUsed(t *testing.T) {
	c := fakegpu.Install(t)
	d, note, err := Open("auto", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if d.Name() != "cuda" || !strings.Contains(note, "Fake GPU 0") {
		t.Errorf("got %s with note %q", d.Name(), note)
	}
	c.SetGPU(1, 7, 5, 12040)
	d, note, err = Open("auto", Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Name() == "cuda" || !strings.Contains(note, "the GPU is not used") || !strings.Contains(note, "7.5") {
		t.Errorf("got %s with note %q", d.Name(), note)
	}
}

func TestOpen_passesOverGPUsThatCannotBeUsed(t *testing.T) {
	c := fakegpu.Install(t)
	c.SetGPU(3, 9, 0, 12040)
	c.SetCapability(0, 7, 5)
	d, note, err := Open("auto", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Name() != "cuda" || !strings.Contains(note, "cuda:1 (Fake GPU 1") {
		t.Errorf("got %s with note %q, want the second GPU", d.Name(), note)
	}
	if d, note, err := Open("cuda:0", Options{}); err == nil || !strings.Contains(err.Error(), "7.5") {
		t.Errorf("cuda:0 gives %v with note %q, %v; want an error that says why", d, note, err)
	}
}
