package cli

import (
	"github.com/spf13/cobra"

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
func (f *deviceFlags) open(say func(string)) (device.Device, error) {
	if err := open.Check(f.name); err != nil {
		return nil, usageError{err}
	}
	d, note, err := open.Open(f.name, open.Options{Threads: f.threads, Note: say})
	if err != nil {
		return nil, configurationError{err}
	}
	if note != "" {
		say(note)
	}
	return d, nil
}
