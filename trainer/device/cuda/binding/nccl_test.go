package binding_test

import (
	"errors"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

func TestOpenNCCL_saysWhatToInstall(t *testing.T) {
	c := open(t)
	c.SetNCCL(21003)
	for _, test := range []struct {
		name   string
		have   []string
		driver binding.Version
		words  []string
	}{
		{"none", nil, 12040, []string{"libnccl.so.2 was not found", "NCCL 2.16.2", "libnccl2", "nvidia-nccl-cu12", binding.LibrariesVariable}},
		{"none for a driver of 13", nil, 13000, []string{"nvidia-nccl-cu13"}},
		{"an old one", []string{"libnccl.so.2"}, 12040, []string{"libnccl.so.2 cannot be used", "2.10.3", "nvidia-nccl-cu12"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := binding.OpenNCCL(only(t, c, test.have...), test.driver)
			mentions(t, err, test.words...)
		})
	}
}

// onGPU calls f on a thread with the context of the first fake GPU.
func onGPU(t *testing.T, c *fake.Control, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := binding.OpenDriver(only(t, c, "libcuda.so.1"))
	if err != nil {
		t.Fatal(err)
	}
	context, err := d.PrimaryCtxRetain(0)
	if err == nil {
		err = d.CtxSetCurrent(context)
	}
	if err != nil {
		t.Fatal(err)
	}
	f()
	if err := errors.Join(d.CtxSetCurrent(0), d.PrimaryCtxRelease(0), c.CheckClosed()); err != nil {
		t.Error(err)
	}
}

// The identifier is a struct that the library takes by value: it finds the place of the meeting only if it gets all of it.
func TestNCCL_takesTheIdentifierByValue(t *testing.T) {
	c := open(t)
	n, err := binding.OpenNCCL(only(t, c, "libnccl.so.2"), 12040)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(n.Path) != "libnccl.so.2" {
		t.Errorf("opened %s", n.Path)
	}
	onGPU(t, c, func() {
		id, err := n.GetUniqueID()
		if err != nil {
			t.Fatal(err)
		}
		same, err := binding.MakeUniqueID(id.Bytes())
		if err != nil || same != id {
			t.Fatalf("the identifier is another after it has travelled: %v", err)
		}
		comm, err := n.CommInitRank(1, same, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.CommGetAsyncError(comm); err != nil {
			t.Error(err)
		}
		c.BreakNCCL(6)
		mentions(t, n.CommGetAsyncError(comm), "ncclCommGetAsyncError", "ncclRemoteError", "network")
		if err := n.CommDestroy(comm); err != nil {
			t.Error(err)
		}
		if other, err := binding.MakeUniqueID(append([]byte("nowhere"), id.Bytes()[7:]...)); err != nil {
			t.Error(err)
		} else if _, err := n.CommInitRank(1, other, 0); err == nil {
			t.Error("an identifier that nobody gave is no error")
		} else {
			mentions(t, err, "ncclCommInitRank", "ncclSystemError", "nobody is at this identifier's address")
		}
	})
}

func TestNCCL_endsAGroupWhateverItHasComeTo(t *testing.T) {
	c := open(t)
	n, err := binding.OpenNCCL(only(t, c, "libnccl.so.2"), 12040)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	if err := n.Group(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if c.Count("ncclGroupEnd") != 1 {
		t.Error("the group was not ended")
	}
	if _, err := binding.MakeUniqueID(make([]byte, 5)); err == nil {
		t.Error("an identifier of 5 bytes is no error")
	}
}
