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

func (f *deviceFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "device", "auto", "what computes: auto (a GPU if there is one that can be used, else the processor), cuda or cuda:N (hrm devices lists them), cpu, or reference (plain Go, slow)")
	c.Flags().IntVar(&f.threads, "threads", 0, "threads of the cpu device; 0 uses as many as the process may: a CPU limit of its cgroup counts")
}

// open opens the device and says which one it is.
func (f *deviceFlags) open(say func(string), profile bool) (device.Device, error) {
	if err := open.Check(f.name); err != nil {
		return nil, usageError{err}
	}
	d, note, err := open.Open(f.name, open.Options{Threads: f.threads, Profile: profile, Note: say})
	var unusable *device.UnusableError
	switch {
	case errors.As(err, &unusable):
		return nil, configurationError{err}
	case err != nil:
		return nil, err
	}
	if note != "" {
		say(note)
	}
	return d, nil
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
