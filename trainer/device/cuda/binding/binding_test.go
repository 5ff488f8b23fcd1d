package binding_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// open returns the stand-ins, reset.
func open(t *testing.T) *fake.Control {
	t.Helper()
	c, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Reset)
	return c
}

// only is a directory with some of the stand-ins, under these names.
func only(t *testing.T, c *fake.Control, names ...string) binding.Search {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Symlink(filepath.Join(c.Dir, fake.Names[0]), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return binding.Search{Directories: []string{dir}}
}

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not mention %q", err, w)
		}
	}
}

func TestOpenDriver_saysWhereItLookedForTheDriver(t *testing.T) {
	dir := t.TempDir()
	_, err := binding.OpenDriver(binding.Search{Directories: []string{dir}})
	mentions(t, err, "libcuda.so.1", dir, "driver 525", binding.LibrariesVariable)
	if !binding.NoGPU(err) {
		t.Error("it is not seen that there is no driver")
	}
}

func TestOpenDriver_namesWhatIsMissingInAnOldOne(t *testing.T) {
	c := open(t)
	c.SetGPU(1, 9, 0, 11080)
	_, err := binding.OpenDriver(only(t, c, "libcuda.so.1"))
	mentions(t, err, "libcuda.so.1", "CUDA 11.8", "driver 525")
	if binding.NoGPU(err) {
		t.Error("an old driver is taken for none")
	}
}

func TestOpenDriver_saysThatThereIsNoGPU(t *testing.T) {
	c := open(t)
	c.SetGPU(0, 9, 0, 12040)
	_, err := binding.OpenDriver(only(t, c, "libcuda.so.1"))
	mentions(t, err, "cuInit", "CUDA_ERROR_NO_DEVICE", "nvidia.com/gpu")
	if !binding.NoGPU(err) {
		t.Error("it is not seen that there is no GPU")
	}
}

func TestOpenDriver_refusesAFileThatIsNoLibrary(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libcuda.so.1"), []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := binding.OpenDriver(binding.Search{Directories: []string{dir}})
	mentions(t, err, filepath.Join(dir, "libcuda.so.1"), "cannot be used")
}

func TestLibraries_goWithTheDriver(t *testing.T) {
	c := open(t)
	for _, test := range []struct {
		name       string
		driver     binding.Version
		have       []string
		want, says string
	}{
		{"CUDA 12 for a driver of 12", 12040, []string{"libnvrtc.so.12", "libnvrtc.so.13"}, "libnvrtc.so.12", ""},
		{"CUDA 13 for a driver of 13", 13000, []string{"libnvrtc.so.12", "libnvrtc.so.13"}, "libnvrtc.so.13", ""},
		{"CUDA 12 for a driver of 13 that has no other", 13000, []string{"libnvrtc.so.12"}, "libnvrtc.so.12", ""},
		{"CUDA 13 for a driver of 14", 14000, []string{"libnvrtc.so.13"}, "libnvrtc.so.13", ""},
		{"none for a driver of 12 that has CUDA 13 only", 12080, []string{"libnvrtc.so.13"}, "", "update the driver to 580"},
		{"none at all", 12080, nil, "", "nvidia-cuda-nvrtc-cu12"},
		{"none at all for a driver of 13", 13010, nil, "", "pip install nvidia-cuda-nvrtc)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := binding.OpenNVRTC(only(t, c, test.have...), test.driver)
			if test.want == "" {
				mentions(t, err, "libnvrtc.so.1", test.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(n.Path) != test.want {
				t.Errorf("opened %s, want %s", n.Path, test.want)
			}
		})
	}
}

func TestSystemSearch_looksIntoTheVariablesFirst(t *testing.T) {
	t.Setenv(binding.LibrariesVariable, "/first:/second")
	t.Setenv("LD_LIBRARY_PATH", "/third")
	s := binding.SystemSearch()
	if len(s.Directories) < 3 || s.Directories[0] != "/first" || s.Directories[1] != "/second" || s.Directories[2] != "/third" {
		t.Errorf("looks in %v", s.Directories)
	}
}

func TestSystemSearch_findsWheelsAndToolkits(t *testing.T) {
	root := t.TempDir()
	wheels := []string{"cuda_nvrtc", "cublas", "cu13"}
	for _, w := range wheels {
		if err := os.MkdirAll(filepath.Join(root, "lib/python3.12/site-packages/nvidia", w, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	toolkit := filepath.Join(root, "toolkit")
	if err := os.MkdirAll(filepath.Join(toolkit, "lib64"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VIRTUAL_ENV", root)
	t.Setenv("CUDA_HOME", toolkit)
	all := strings.Join(binding.SystemSearch().Directories, "\n")
	for _, want := range append(wheels, "toolkit/lib64") {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not looked into:\n%s", want, all)
		}
	}
}

func TestNVRTC_returnsTheCompilersLog(t *testing.T) {
	c := open(t)
	n, err := binding.OpenNVRTC(only(t, c, "libnvrtc.so.12"), 12040)
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Compile("wrong.cu", "int main() {}", []string{"--no-such-option"})
	mentions(t, err, "wrong.cu", "NVRTC_ERROR_INVALID_OPTION", "unknown option --no-such-option")
	var failed *binding.Error
	if !errors.As(err, &failed) || failed.Call != "nvrtcCompileProgram" {
		t.Errorf("%v is no error of nvrtcCompileProgram", err)
	}
	if err := c.CheckClosed(); err != nil {
		t.Error(err)
	}
}
