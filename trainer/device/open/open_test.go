package open

import (
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

func TestOpen(t *testing.T) {
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
		{name: "abacus", fails: true},
	} {
		t.Run("device "+c.name, func(t *testing.T) {
			d, note, err := Open(c.name, cpu.Options{Threads: 1})
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
