package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/open"
)

// deviceList is what there is to train on.
type deviceList struct {
	Devices []listedDevice `json:"devices"`
	// GPUs are what the driver shows; NoGPU says why there are none.
	GPUs  []cuda.Info `json:"gpus"`
	NoGPU string      `json:"noGPU,omitempty"`
}

// listedDevice is a device of this process.
type listedDevice struct {
	Name string `json:"name"`
	Says string `json:"says"`
	// Unusable says that Says is why it cannot be used.
	Unusable bool `json:"unusable,omitempty"`
}

func (a *app) devicesCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "devices",
		Short: "List what can compute here: GPUs, the processor",
		Long: `devices lists what --device can name on this machine, and for each GPU its memory, compute capability, the versions of the
driver and of CUDA's libraries, and whether training can use it or why not. Several GPUs need NCCL besides.`,
		Example: `  hrm devices
  hrm devices --json
  HRM_CUDA_LIBRARIES=/opt/cuda/lib64 hrm devices`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			list := listDevices()
			if asJSON {
				return json.NewEncoder(a.out).Encode(list)
			}
			return a.printDevices(list)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func listDevices() deviceList {
	list := deviceList{GPUs: []cuda.Info{}}
	gpus, err := cuda.List(binding.SystemSearch())
	if err != nil {
		list.NoGPU = err.Error()
	} else if len(gpus) > 0 {
		list.GPUs = gpus
	}
	for _, name := range []string{"cpu", "reference"} {
		d, says, err := open.Open(name, open.Options{})
		if err != nil {
			list.Devices = append(list.Devices, listedDevice{Name: name, Says: err.Error(), Unusable: true})
			continue
		}
		_ = d.Close()
		list.Devices = append(list.Devices, listedDevice{Name: name, Says: says})
	}
	return list
}

func (a *app) printDevices(list deviceList) error {
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name string, usable bool, says string) {
		word := "usable"
		if !usable {
			word = "not usable"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, word, says)
	}
	for _, g := range list.GPUs {
		says := fmt.Sprintf("%s, %.1f GiB, compute capability %s, driver for CUDA %s%s%s%s", g.Name, float64(g.MemoryBytes)/(1<<30),
			g.Capability, g.Driver, version(", NVRTC ", g.NVRTC), version(", cuBLASLt ", g.CuBLASLt), version(", NCCL ", g.NCCL))
		if g.Unusable != "" {
			says += ": " + g.Unusable
		}
		row(fmt.Sprintf("cuda:%d", g.Index), g.Unusable == "", says)
	}
	if len(list.GPUs) > 1 && list.GPUs[0].NoNCCL != "" {
		row("nccl", false, list.GPUs[0].NoNCCL+"; several GPUs add their gradients through the host")
	}
	if list.NoGPU != "" {
		row("cuda", false, list.NoGPU)
	}
	for _, d := range list.Devices {
		row(d.Name, !d.Unusable, d.Says)
	}
	return table.Flush()
}

// version is a library's version behind its name, nothing if it was not found.
func version(name, v string) string {
	if v == "" {
		return ""
	}
	return name + v
}
