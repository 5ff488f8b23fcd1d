package kernel_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// clang returns a clang that knows the instructions of compute capability 9.0. Without one the test is skipped, but not in CI.
func clang(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"clang-19", "clang-18", "clang-17", "clang-16", "clang"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if exec.Command(path, "--target=nvptx64-nvidia-cuda", "-Xclang", "-target-cpu", "-Xclang", "sm_90", "-x", "c", "-S", "-o", os.DevNull, os.DevNull).Run() == nil {
			return path
		}
	}
	needs.Missing(t, errors.New("the kernels are translated to PTX by clang 16 or newer: apt-get install clang-19"))
	return ""
}

// translate returns the PTX of a source. clang does not look into inline PTX: it stands in the result as it was written.
func translate(t *testing.T, path, language string, more ...string) string {
	t.Helper()
	arguments := append([]string{"-x", language, "-O3", "-S", "-o", "-", "-Xclang", "-target-feature", "-Xclang", "+ptx80", path}, more...)
	var errors strings.Builder
	command := exec.Command(clang(t), arguments...)
	command.Stderr = &errors
	ptx, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errors.String())
	}
	return string(ptx)
}

// compilations are all ways in which files are compiled.
func compilations() []string {
	var all []string
	for _, file := range kernel.Files() {
		switch file {
		case "attention.cu":
			for _, dim := range []int{32, 64, 128} {
				all = append(all, fmt.Sprintf("%s BFLOAT16 DIM=%d", file, dim))
			}
		default:
			all = append(all, file, file+" BFLOAT16")
		}
	}
	return all
}

var external = regexp.MustCompile(`(?s)\.extern \.func[^;]*?(\w+)\s*\n?\(`)

// What NVRTC's own library has; testdata/nvrtc.h declares it.
var library = map[string]bool{"expf": true, "logf": true, "log1pf": true, "log": true, "atan2f": true}

func TestKernels_becomePTXWithoutLocalMemory(t *testing.T) {
	for _, name := range compilations() {
		for _, arch := range []string{"sm_80", "sm_90"} {
			t.Run(name+" "+arch, func(t *testing.T) {
				t.Parallel()
				file, defines, _ := strings.Cut(name, " ")
				source, err := kernel.Source(file)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), file)
				if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
					t.Fatal(err)
				}
				arguments := []string{"--cuda-device-only", "-nocudainc", "-nocudalib", "--cuda-gpu-arch=" + arch, "-std=c++17", "-Wall", "-Wno-unused-function", "-Wno-unused-const-variable", "-Werror", "-include", "testdata/nvrtc.h"}
				for _, define := range strings.Fields(defines) {
					arguments = append(arguments, "-D"+define)
				}
				ptx := translate(t, path, "cuda", arguments...)
				if strings.Contains(ptx, "__local_depot") {
					t.Error("an array does not fit into registers: is a loop over it not unrolled?")
				}
				for _, m := range external.FindAllStringSubmatch(ptx, -1) {
					if !library[m[1]] {
						t.Errorf("%s is called, which NVRTC does not have", m[1])
					}
				}
				for _, entry := range kernel.Kernels(source) {
					if !strings.Contains(ptx, ".entry "+entry+"(") {
						t.Errorf("there is no kernel %s in the PTX", entry)
					}
				}
			})
		}
	}
}

var instruction = regexp.MustCompile(`(?m)"(?:\{[^"]*\} )?((?:cvt\.rn|ex2|lg2|cp\.async|ldmatrix|mma)\.[a-z0-9._]+)`)

// The inline PTX is text that only the driver reads. So its instructions must be spelled as LLVM spells them when it writes them
// itself.
func TestInlinePTX_isSpelledAsLLVMSpellsIt(t *testing.T) {
	ptx := translate(t, "testdata/instructions.ll", "ir", "--target=nvptx64-nvidia-cuda", "-Xclang", "-target-cpu", "-Xclang", "sm_80")
	prelude, err := os.ReadFile("prelude.cuh")
	if err != nil {
		t.Fatal(err)
	}
	found := instruction.FindAllStringSubmatch(string(prelude), -1)
	if len(found) != 8 {
		t.Fatalf("the prelude has %d instructions that LLVM knows, want 8: %v", len(found), found)
	}
	for _, m := range found {
		if !regexp.MustCompile(regexp.QuoteMeta(m[1]) + `[\s;]`).MatchString(ptx) {
			t.Errorf("LLVM writes no %s", m[1])
		}
	}
}
