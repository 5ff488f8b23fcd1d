package gpu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// TestCheck_passesOnTheFakeGPU runs the script as on a machine with a GPU, in miniature.
func TestCheck_passesOnTheFakeGPU(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the programs that are taken to a machine with a GPU")
	}
	libraries, err := fake.Build()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, build := range [][]string{
		{"build", "-o", filepath.Join(bin, "hrm"), "../../cmd/hrm"},
		{"test", "-c", "-o", filepath.Join(bin, "cuda.test"), "../../trainer/device/cuda"},
		{"test", "-c", "-o", filepath.Join(bin, "loop.test"), "../../trainer/loop"},
	} {
		command := exec.Command("go", build...)
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", build, err, said)
		}
	}
	said, err := check(t, bin, "MINIATURE=1", "PEER=", binding.LibrariesVariable+"="+libraries)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, line := range []string{"devices  ok", "tests of the device  ok", "golden recordings  ok", "resume, bit for bit  ok", "bench, batch 2  ok", "PyTorch peer  skipped"} {
		name, result, _ := strings.Cut(line, "  ")
		if !hasRow(said, name, result) {
			t.Errorf("the table does not say that %s is %s:\n%s", name, result, said)
		}
	}
	said, err = check(t, bin, "MINIATURE=1", "PARTS=devices bench", binding.LibrariesVariable+"=/nowhere", "CUDA_VISIBLE_DEVICES=")
	if err == nil || !hasRow(said, "bench, batch 2", "FAILED") {
		t.Errorf("without a GPU: %v\n%s", err, said)
	}
}

func check(t *testing.T, bin string, environment ...string) (string, error) {
	t.Helper()
	command := exec.Command("./check", bin)
	command.Env = append(append(os.Environ(), cuda.CacheVariable+"="+filepath.Join(bin, "cache")), environment...)
	said, err := command.CombinedOutput()
	return string(said), err
}

// hasRow says whether the table has a line of this name and result.
func hasRow(said, name, result string) bool {
	for line := range strings.Lines(said) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok && strings.HasPrefix(strings.TrimSpace(rest), result) {
			return true
		}
	}
	return false
}
