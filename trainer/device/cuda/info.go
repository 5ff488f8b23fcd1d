package cuda

import (
	"errors"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// Info says what a GPU is.
type Info struct {
	Index       int    `json:"index"`
	Name        string `json:"name"`
	MemoryBytes int64  `json:"memoryBytes"`
	// Capability is the compute capability, such as "9.0".
	Capability string `json:"computeCapability"`
	// Driver is the CUDA version that the driver serves; NVRTC and CuBLASLt are the libraries' versions.
	Driver   string `json:"driver"`
	NVRTC    string `json:"nvrtc,omitempty"`
	CuBLASLt string `json:"cublasLt,omitempty"`
	// NCCL is the version of what lets several GPUs train together; NoNCCL says why there is none.
	NCCL   string `json:"nccl,omitempty"`
	NoNCCL string `json:"noNCCL,omitempty"`
	// Unusable says why training cannot use it; empty if it can.
	Unusable string `json:"unusable,omitempty"`

	major, minor int
	device       binding.Device
}

// oldestMajor is the oldest major compute capability: older tensor cores have no bfloat16.
const oldestMajor = 8

// libraries are the driver's and, once a GPU was met that may be used, those that go with it.
type libraries struct {
	search binding.Search
	driver *binding.Driver
	nvrtc  *binding.NVRTC
	blas   *binding.BLAS
	// version is NVRTC's.
	version binding.Version
	// opened is set when the others have been looked for; err is why one of them cannot be used.
	opened bool
	err    error
}

// openDriver opens the driver and counts its GPUs.
func openDriver(s binding.Search) (*libraries, int, error) {
	driver, err := binding.OpenDriver(s)
	if err != nil {
		return nil, 0, err
	}
	count, err := driver.DeviceCount()
	return &libraries{search: s, driver: driver}, count, err
}

// look opens the libraries, and finds and checks the GPU.
func look(o Options) (Info, *libraries, error) {
	l, count, err := openDriver(o.search())
	if err != nil {
		return Info{}, l, err
	}
	if o.Index < 0 || o.Index >= count {
		err := fmt.Errorf("there is no GPU %d: the driver shows %d, hrm devices lists them", o.Index, count)
		return Info{}, l, &device.UnusableError{Device: deviceName, NotVisible: true, Err: err}
	}
	info, err := l.describe(o.Index)
	if err != nil {
		return info, l, err
	}
	return info, l, l.check(&info)
}

// unusable tells errors of look that no other try mends from calls of CUDA that failed, as they do while a node's driver is still
// being started.
func unusable(err error) error {
	var known *device.UnusableError
	var failed *binding.Error
	notVisible := binding.NoGPU(err)
	if errors.As(err, &known) || errors.As(err, &failed) && !notVisible {
		return err
	}
	return &device.UnusableError{Device: deviceName, NotVisible: notVisible, Err: err}
}

// describe asks the driver about a GPU.
func (l *libraries) describe(index int) (info Info, err error) {
	info.Index = index
	version, err := l.driver.Version()
	if err != nil {
		return info, err
	}
	info.Driver = version.String()
	if info.device, err = l.driver.DeviceGet(index); err != nil {
		return info, err
	}
	if info.Name, err = l.driver.DeviceName(info.device); err != nil {
		return info, err
	}
	if info.MemoryBytes, err = l.driver.DeviceTotalMem(info.device); err != nil {
		return info, err
	}
	info.major, info.minor, err = l.driver.DeviceCapability(info.device)
	info.Capability = fmt.Sprintf("%d.%d", info.major, info.minor)
	return info, err
}

// check reports why a GPU cannot be used: itself, or what goes with the driver.
func (l *libraries) check(info *Info) error {
	if info.major < oldestMajor {
		return fmt.Errorf("%s has compute capability %s: bfloat16 on tensor cores wants %d.0 or later (A100, RTX 30, and what came after)",
			info.Name, info.Capability, oldestMajor)
	}
	if !l.opened {
		l.opened, l.err = true, l.open()
	}
	if l.nvrtc != nil {
		info.NVRTC = l.version.String()
		if _, err := architecture(l.nvrtc, *info); err != nil {
			return err
		}
	}
	if l.blas != nil {
		info.CuBLASLt = l.blas.Version()
	}
	return l.err
}

// open opens what goes with the driver.
func (l *libraries) open() error {
	driver, err := l.driver.Version()
	if err != nil {
		return err
	}
	nvrtc, err := binding.OpenNVRTC(l.search, driver)
	if err != nil {
		return err
	}
	if l.version, err = nvrtc.Version(); err != nil {
		return err
	}
	l.nvrtc = nvrtc
	blas, err := binding.OpenBLAS(l.search, driver)
	if err != nil {
		return err
	}
	l.blas = blas
	return nil
}

// architecture is what to compile for: the GPU's own, or the latest before it of the same major version, whose code it runs.
func architecture(n *binding.NVRTC, info Info) (string, error) {
	archs, err := n.SupportedArchs()
	if err != nil {
		return "", err
	}
	best := 0
	for _, a := range archs {
		if a/10 == info.major && a%10 <= info.minor {
			best = max(best, a)
		}
	}
	if best == 0 {
		return "", fmt.Errorf("NVRTC %s (%s) knows no compute capability %s, which %s has: install a later one", info.NVRTC, n.Path, info.Capability, info.Name)
	}
	return fmt.Sprintf("sm_%d", best), nil
}

// List describes the GPUs that there are. It is an error if there is no driver, or one that does not work.
func List(s binding.Search) ([]Info, error) {
	l, count, err := openDriver(s)
	if err != nil {
		return nil, err
	}
	nccl, noNCCL := ncclVersion(s, l.driver)
	infos := make([]Info, count)
	for i := range infos {
		infos[i], err = l.describe(i)
		if err == nil {
			err = l.check(&infos[i])
		}
		if err != nil {
			infos[i].Unusable = err.Error()
		}
		infos[i].NCCL = nccl
		if noNCCL != nil {
			infos[i].NoNCCL = noNCCL.Error()
		}
	}
	return infos, nil
}

// ncclVersion opens NCCL and returns its version.
func ncclVersion(s binding.Search, driver *binding.Driver) (string, error) {
	version, err := driver.Version()
	if err != nil {
		return "", err
	}
	n, err := binding.OpenNCCL(s, version)
	if err != nil {
		return "", err
	}
	v, err := n.Version()
	return v.String(), err
}
