package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/open"
)

// deviceFlags choose what computes.
type deviceFlags struct {
	name    string
	threads int
}

// add adds the flags of a command that computes on one device.
func (f *deviceFlags) add(c *cobra.Command) {
	f.addThreads(c)
	c.Flags().StringVar(&f.name, "device", "auto", "what computes: auto (a GPU if there is one that can be used, else the processor), cuda or cuda:N (hrm devices lists them), cpu, or reference (plain Go, slow)")
}

// addList adds the flags of a command that computes on several devices.
func (f *deviceFlags) addList(c *cobra.Command) {
	f.addThreads(c)
	c.Flags().StringVar(&f.name, "device", "auto", "what computes: auto (all GPUs that can be used, else the processor), cuda (all GPUs), cuda:N or cuda:N,M (these; hrm devices lists them), cpu, or reference (plain Go, slow); cpu*N shares the processor among N devices, to try out what several GPUs would do")
}

func (f *deviceFlags) addThreads(c *cobra.Command) {
	c.Flags().IntVar(&f.threads, "threads", 0, "threads of the cpu device; 0 uses as many as the process may: a CPU limit of its cgroup counts")
}

// open opens the device and says which one it is.
func (f *deviceFlags) open(say func(string)) (device.Device, error) {
	if err := open.Check(f.name); err != nil {
		return nil, usageError{err}
	}
	d, note, err := open.Open(f.name, open.Options{Threads: f.threads, Note: say})
	if err != nil {
		return nil, openFailure(err)
	}
	if note != "" {
		say(note)
	}
	return d, nil
}

// openFailure makes an error of the configuration of a device that another try cannot open either.
func openFailure(err error) error {
	var unusable *device.UnusableError
	if errors.As(err, &unusable) {
		return configurationError{err}
	}
	return err
}

// deviceFailure is the word by which the operator knows that a GPU was asked for and cannot be had; empty for other errors.
func deviceFailure(err error) string {
	var unusable *device.UnusableError
	switch {
	case !errors.As(err, &unusable) || unusable.Device == "cpu":
		return ""
	case unusable.NotVisible:
		return progress.GPUNotVisible
	}
	return progress.GPUNotUsable
}

// list chooses devices.
func (f *deviceFlags) list(say func(string)) ([]open.Choice, error) {
	list, err := open.List(f.name, open.Options{Threads: f.threads, Note: say})
	if err != nil {
		return nil, usageError{err}
	}
	return list, nil
}

// openAll opens devices and says which ones they are. closeAll closes those that were opened.
func openAll(list []open.Choice, say func(string)) (devices []device.Device, closeAll func() error, err error) {
	closeAll = func() error {
		var all []error
		for _, d := range devices {
			all = append(all, d.Close())
		}
		return errors.Join(all...)
	}
	for _, c := range list {
		d, note, err := c.Open()
		if err != nil {
			return nil, nil, errors.Join(openFailure(err), closeAll())
		}
		devices = append(devices, d)
		if note != "" {
			say(note)
		}
	}
	return devices, closeAll, nil
}
