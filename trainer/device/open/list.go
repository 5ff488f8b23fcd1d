package open

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// ListNames lists what [List] takes.
const ListNames = "auto, cuda, cuda:N, cuda:N,M, cpu, reference, cpu*N or reference*N"

// maxCopies bounds the devices of a name such as cpu*4.
const maxCopies = 64

// Choice is a device that has been chosen, and is not open yet.
type Choice struct {
	name    string
	options Options
}

// Open opens it, as [Open] does.
func (c Choice) Open() (d device.Device, note string, err error) { return Open(c.name, c.options) }

// List returns the devices that training uses which is told name. Of what [Open] takes, these are several:
//
//	cuda: all GPUs that can be used; if there is none, opening the one device says why.
//	auto (or empty): the same, or what [Open] takes where there is no GPU.
//
// and besides
//
//	cuda:N,M: these GPUs.
//	cpu*N, reference*N: N devices that share the processor, to try out what several GPUs would do.
func List(name string, o Options) ([]Choice, error) {
	c, err := parse(name)
	if err != nil {
		return nil, err
	}
	if (c.kind == "cuda" || c.kind == "auto") && len(c.gpus) == 0 {
		c.gpus = o.allGPUs()
	}
	if len(c.gpus) > 0 {
		list := make([]Choice, len(c.gpus))
		for i, index := range c.gpus {
			list[i] = Choice{fmt.Sprintf("cuda:%d", index), o}
		}
		return list, nil
	}
	if c.count > 1 && o.Threads == 0 {
		o.Threads = max(1, runtime.GOMAXPROCS(0)/c.count)
	}
	return slices.Repeat([]Choice{{c.kind, o}}, c.count), nil
}

// allGPUs are the indices of the GPUs that can be used. If some can, it is noted which cannot.
func (o Options) allGPUs() []int {
	usable, rest := gpus()
	var indices []int
	for _, g := range usable {
		indices = append(indices, g.Index)
	}
	if len(usable) > 0 && o.Note != nil {
		for _, g := range rest {
			o.Note(fmt.Sprintf("cuda:%d (%s) is not used: %s", g.Index, g.Name, g.Unusable))
		}
	}
	return indices
}

// gpus are the GPUs that can be used, and those that cannot. That there is no driver, opening a GPU says.
func gpus() (usable, rest []cuda.Info) {
	infos, _ := cuda.List(binding.SystemSearch())
	for _, g := range infos {
		if g.Unusable == "" {
			usable = append(usable, g)
		} else {
			rest = append(rest, g)
		}
	}
	return usable, rest
}

// chosen is what a name says.
type chosen struct {
	// kind is auto, cuda, cpu or reference.
	kind string
	// gpus are those that are named.
	gpus []int
	// count is how many devices there are to be of another kind.
	count int
}

func parse(name string) (c chosen, err error) {
	wrong := fmt.Errorf("device %q: want %s", name, ListNames)
	kind, list, named := strings.Cut(name, ":")
	if named {
		for _, text := range strings.Split(list, ",") {
			index, err := strconv.Atoi(text)
			if kind != "cuda" || err != nil || index < 0 || slices.Contains(c.gpus, index) {
				return c, wrong
			}
			c.gpus = append(c.gpus, index)
		}
		return chosen{"cuda", c.gpus, 1}, nil
	}
	kind, copies, several := strings.Cut(name, "*")
	c.kind, c.count = kind, 1
	if several {
		if c.count, err = strconv.Atoi(copies); err != nil || c.count < 1 || c.count > maxCopies || kind != "cpu" && kind != "reference" {
			return c, wrong
		}
	}
	switch kind {
	case "":
		c.kind = "auto"
	case "auto", "cuda", "cpu", "reference":
	default:
		return c, wrong
	}
	return c, nil
}
