//go:build onednn && cgo && linux

package cpu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// lacking is the exit code that says that the processor has no such instructions.
const lacking = 77

// TestKernels_stayInTheirOperands runs every kernel beside pages that cannot be touched, in a program of their own: where one
// reads or writes too far that program ends, and says which kernel it was. It also compares with the formulas.
func TestKernels_stayInTheirOperands(t *testing.T) {
	// go test repeats a result that it remembers unless it sees that these have changed.
	if _, err := os.ReadDir("testdata/kernels"); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "kernels")
	if out, err := exec.Command("testdata/kernels/build.sh", program, "-O3").CombinedOutput(); err != nil {
		t.Fatalf("compile the check of the kernels: %v\n%s", err, out)
	}
	for _, isa := range instructionSets {
		t.Run(isa, func(t *testing.T) {
			out, err := exec.Command(program, "1", "44", isa).CombinedOutput()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == lacking {
				t.Skipf("%s", out)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
