package gpu

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// TestCheck runs the script as on a machine with a GPU, in miniature: on the fake one, beside a peer and under a sanitizer that
// only say what those would.
func TestCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the programs that are taken to a machine with a GPU")
	}
	libraries, err := fake.Build()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build(t, bin)
	onFakeGPU := []string{"MINIATURE=1", binding.LibrariesVariable + "=" + libraries, cuda.CacheVariable + "=" + filepath.Join(bin, "cache")}
	results := filepath.Join(t.TempDir(), "results")

	t.Run("without peer and sanitizer", func(t *testing.T) {
		r := check(t, bin, append(onFakeGPU, "RESULTS="+results, "PEER=", "SANITIZER=")...)
		r.exits(t, 0)
		for _, slice := range []string{"devices", "tests-instructions", "tests-training", "golden", "resume"} {
			r.says(t, slice, "ok", `^\d+ s$`)
		}
		r.says(t, "bench-2x5", "ok", `^[\d.]+ samples/s, [\d.]+ ms a step, [\d.]+ GFLOP/s, \d+ MiB$`)
		r.says(t, "profile-2x5", "ok", `^products alone [\d.]+ TFLOP/s, memory [\d.]+ GB/s; copies [\d.]+ GB/s to the device, [\d.]+ GB/s from it$`)
		r.says(t, "peer-2x5", "skipped", "PEER=")
		r.says(t, "sanitize-memcheck", "skipped", "not on this machine")
		if got := r.comparison(t, "2", "5"); got[4] != "-" || got[6] != "-" {
			t.Errorf("without a peer the comparison has %q", got)
		}
	})
	t.Run("the peer later, all else being kept", func(t *testing.T) {
		r := check(t, bin, append(append(onFakeGPU, "RESULTS="+results, "RESUME=1", "SANITIZER="), fakePeer(t)...)...)
		r.exits(t, 0)
		for _, slice := range []string{"tests-instructions", "bench-2x5"} {
			if strings.Contains(r.said, "== "+slice+"\n") {
				t.Errorf("%s is run again:\n%s", slice, r.said)
			}
			r.says(t, slice, "ok", `\d`)
		}
		r.says(t, "peer-2x5", "ok", `^12.50 samples/s, 160.0 ms a step, 7.5 GFLOP/s, 2048 MiB$`)
		var x [7]float64
		for i, figure := range r.comparison(t, "2", "5") {
			if x[i], err = strconv.ParseFloat(figure, 64); err != nil {
				t.Fatal(err)
			}
		}
		samples, steps, tflops, memory, peer, peerMemory, ratio := x[0], x[1], x[2], x[3], x[4], x[5], x[6]
		if samples <= 0 || math.Abs(steps-samples/2) > 0.02*steps || tflops <= 0 || memory <= 0 || peer != 12.5 || peerMemory != 2 || math.Abs(ratio-samples/peer) > 0.01 {
			t.Errorf("the comparison has %v", x)
		}
	})
	t.Run("a slice again, under a sanitizer", func(t *testing.T) {
		sanitizer, log := fakeSanitizer(t)
		r := check(t, bin, append(onFakeGPU, "RESULTS="+results, "PEER=", "PARTS=sanitize-memcheck sanitize-racecheck", "SANITIZER="+sanitizer)...)
		r.exits(t, 0)
		r.says(t, "sanitize-memcheck", "ok", `s$`)
		r.says(t, "sanitize-racecheck", "ok", `s$`)
		r.says(t, "bench-2x5", "ok", `samples/s`)
		asked, err := os.ReadFile(log)
		if err != nil || !strings.Contains(string(asked), "--tool memcheck") || !strings.Contains(string(asked), "--tool racecheck") {
			t.Errorf("the sanitizer was asked for %q, %v", asked, err)
		}
		for tool, want := range map[string]bool{"memcheck": true, "racecheck": false} {
			said, err := os.ReadFile(filepath.Join(r.kept(t), "sanitize-"+tool+".log"))
			if err != nil || strings.Contains(string(said), "_Linear") != want || !strings.Contains(string(said), "_Attention") {
				t.Errorf("%s: products were checked is %v wanted, attention in any case, %v:\n%s", tool, want, err, said)
			}
		}
	})
	t.Run("no time", func(t *testing.T) {
		r := check(t, bin, append(onFakeGPU, "RESULTS="+t.TempDir(), "MINUTES=0", "PARTS=devices bench")...)
		r.exits(t, 75)
		r.says(t, "devices", "left", "RESUME=1")
		r.says(t, "bench-2x5", "left", "RESUME=1")
	})
	t.Run("without a GPU", func(t *testing.T) {
		r := check(t, bin, "MINIATURE=1", "RESULTS="+t.TempDir(), "PARTS=devices bench", "PEER=", binding.LibrariesVariable+"=/nowhere", "CUDA_VISIBLE_DEVICES=")
		r.exits(t, 1)
		r.says(t, "bench-2x5", "FAILED", "Error:")
	})
}

// build makes what the script takes.
func build(t *testing.T, bin string) {
	t.Helper()
	for _, arguments := range [][]string{
		{"build", "-o", filepath.Join(bin, "hrm"), "../../cmd/hrm"},
		{"test", "-c", "-o", filepath.Join(bin, "cuda.test"), "../../trainer/device/cuda"},
		{"test", "-c", "-o", filepath.Join(bin, "loop.test"), "../../trainer/loop"},
	} {
		command := exec.Command("go", arguments...)
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", arguments, err, said)
		}
	}
}

// write makes an executable file.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakePeer is a peer, and a PyTorch that says that it sees a GPU: the environment in which they are found.
func fakePeer(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		needs.Missing(t, fmt.Errorf("the peer is Python: %w: apt-get install python3", err))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "torch.py"), `class cuda:
    is_available = staticmethod(lambda: True)
    max_memory_reserved = staticmethod(lambda: 2 << 30)
`)
	peer := write(t, filepath.Join(dir, "hrm_torch.py"), `import sys

def main():
    assert "--compile" in sys.argv and sys.argv[sys.argv.index("--batch") + 1] == "2", sys.argv
    print('{"samples_per_s": 12.50, "step_ms": 160.0, "gflops": 7.5, "peak_rss_mib": 900}')
`)
	return []string{"PEER=" + peer, "PYTHONPATH=" + dir}
}

// fakeSanitizer runs what it is given, after its options, which it notes.
func fakeSanitizer(t *testing.T) (program, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "asked")
	return write(t, filepath.Join(t.TempDir(), "compute-sanitizer"), `#!/bin/sh
while case $1 in --*) ;; *) false ;; esac; do
  echo "$1 $2" >> `+log+`
  shift 2
done
exec "$@"
`), log
}

// result is how the script ended, and what it said.
type result struct {
	said   string
	status int
}

func check(t *testing.T, bin string, environment ...string) result {
	t.Helper()
	command := exec.Command("./check", bin)
	command.Env = append(os.Environ(), environment...)
	said, err := command.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return result{string(said), command.ProcessState.ExitCode()}
}

func (r result) exits(t *testing.T, status int) {
	t.Helper()
	if r.status != status {
		t.Fatalf("the script ends with %d, want %d:\n%s", r.status, status, r.said)
	}
}

// says checks the line of a slice in the table.
func (r result) says(t *testing.T, slice, outcome, detail string) {
	t.Helper()
	for line := range strings.Lines(r.said) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != slice {
			continue
		}
		if rest := strings.Join(fields[2:], " "); fields[1] != outcome || !regexp.MustCompile(detail).MatchString(rest) {
			t.Errorf("%s: want %s and %q, the table says %s", slice, outcome, detail, line)
		}
		return
	}
	t.Errorf("the table has no %s:\n%s", slice, r.said)
}

// comparison returns the figures of a batch and a sequence.
func (r result) comparison(t *testing.T, batch, sequence string) []string {
	t.Helper()
	for line := range strings.Lines(r.said) {
		fields := strings.Fields(strings.ReplaceAll(line, "|", " "))
		if len(fields) == 9 && fields[0] == batch && fields[1] == sequence {
			return fields[2:]
		}
	}
	t.Fatalf("there is no comparison of batch %s, sequence %s:\n%s", batch, sequence, r.said)
	return nil
}

// kept is the directory of the results.
func (r result) kept(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`results, kept in (\S+)`).FindStringSubmatch(r.said)
	if found == nil {
		t.Fatalf("it does not say where results are kept:\n%s", r.said)
	}
	return found[1]
}
