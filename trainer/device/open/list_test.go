package open

import (
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
)

// listed are the names of the devices that a name stands for.
func listed(t *testing.T, name string) string {
	t.Helper()
	list, err := List(name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}

func TestList_takesAllGPUsThatCanBeUsed(t *testing.T) {
	c := fakegpu.Install(t)
	c.SetGPU(3, 9, 0, 12040)
	for name, want := range map[string]string{
		"": "cuda:0 cuda:1 cuda:2", "auto": "cuda:0 cuda:1 cuda:2", "cuda": "cuda:0 cuda:1 cuda:2", "cuda:1": "cuda:1", "cuda:2,0": "cuda:2 cuda:0",
		"cpu": "cpu", "reference*2": "reference reference",
	} {
		if got := listed(t, name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	c.SetGPU(2, 7, 5, 12040)
	for name, want := range map[string]string{"auto": "auto", "cuda": "cuda", "cuda:1": "cuda:1"} {
		if got := listed(t, name); got != want {
			t.Errorf("with GPUs that cannot be used %q is %q, want %q", name, got, want)
		}
	}
}

func TestList_notesWhichGPUsCannotBeUsed(t *testing.T) {
	c := fakegpu.Install(t)
	c.SetGPU(3, 9, 0, 12040)
	c.SetCapability(1, 7, 5)
	var notes []string
	list, err := List("cuda", Options{Note: func(note string) { notes = append(notes, note) }})
	if err != nil || len(list) != 2 || list[0].name != "cuda:0" || list[1].name != "cuda:2" {
		t.Errorf("got %v, %v, want all but the second", list, err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "cuda:1 (Fake GPU 1) is not used") || !strings.Contains(notes[0], "7.5") {
		t.Errorf("the notes are %q", notes)
	}
}

func TestList_leavesToOpenWhyThereIsNoGPU(t *testing.T) {
	withoutGPU(t)
	for name, want := range map[string]string{"auto": "auto", "cuda": "cuda"} {
		if got := listed(t, name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestList_sharesTheProcessor(t *testing.T) {
	list, err := List("cpu*64", Options{})
	if err != nil || len(list) != 64 || list[63].options.Threads < 1 {
		t.Errorf("got %v, %v", list, err)
	}
	if list, err = List("cpu*2", Options{Threads: 3}); err != nil || list[1].options.Threads != 3 {
		t.Errorf("got %v, %v, want as many threads as were asked for", list, err)
	}
}

func TestList_refusesWhatIsNoDevice(t *testing.T) {
	for _, name := range []string{"abacus", "cuda:", "cuda:one", "cuda:-1", "cuda:0,", "cuda:1,1", "cuda*2", "auto*2", "cpu*0", "cpu*65", "cpu*", "cpu:1", "cpu*2:0"} {
		if _, err := List(name, Options{}); err == nil || !strings.Contains(err.Error(), "want auto, cuda") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	several := []string{"cuda:0,1", "cpu*2"}
	for _, name := range slices.Concat(several, []string{"abacus"}) {
		if Check(name) == nil {
			t.Errorf("%q is taken for one device", name)
		}
	}
}
