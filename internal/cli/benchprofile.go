package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// profiledSteps is how many steps are profiled, after those that are timed: profiling slows them down.
const profiledSteps = 3

// stepProfile says where the time of a profiled step goes.
type stepProfile struct {
	StepMilliseconds float64 `json:"step_ms"`
	// Operations are the longest first.
	Operations []profiledOperation `json:"operations"`
}

// profiledOperation is what operations of one name and shape come to in a step.
type profiledOperation struct {
	Operation    string  `json:"operation"`
	Shape        string  `json:"shape,omitempty"`
	Milliseconds float64 `json:"ms"`
	// Share is the part of the step's time.
	Share    float64 `json:"share"`
	Launches float64 `json:"launches"`
	// TFLOPS and GBPerSecond are the least that the operations take, divided by their time.
	TFLOPS      float64 `json:"tflops,omitempty"`
	GBPerSecond float64 `json:"gb_per_s,omitempty"`
	// Bound is what the operations would wait for on a device that reaches its ceilings, "products" or "memory", and OfCeiling
	// the time they would then take, divided by theirs.
	Bound     string           `json:"bound,omitempty"`
	OfCeiling float64          `json:"of_ceiling,omitempty"`
	Kernels   []profiledKernel `json:"kernels,omitempty"`
}

// profiledKernel is a kernel's part of an operation.
type profiledKernel struct {
	Name         string  `json:"kernel"`
	Milliseconds float64 `json:"ms"`
	Share        float64 `json:"share"`
	Launches     float64 `json:"launches"`
}

// profileSteps makes steps of which the device notes where their time goes.
func profileSteps(ctx context.Context, d device.Device, steps int, w *benchWork, most *ceilings) (*stepProfile, error) {
	d.StartProfile()
	began := time.Now()
	if err := w.steps(ctx, steps); err != nil {
		return nil, err
	}
	took := time.Since(began)
	measured, err := d.StopProfile()
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return newStepProfile(measured, steps, took, most), nil
}

// newStepProfile divides what was measured in so many steps among them, and compares it with the ceilings.
func newStepProfile(measured []device.Measurement, steps int, took time.Duration, most *ceilings) *stepProfile {
	n := float64(steps)
	p := &stepProfile{StepMilliseconds: significant(1e3 * took.Seconds() / n)}
	share := func(seconds float64) float64 { return significant(seconds / took.Seconds()) }
	for _, m := range measured {
		o := profiledOperation{
			Operation: m.Operation, Shape: m.Shape, Milliseconds: significant(1e3 * m.Seconds / n), Share: share(m.Seconds),
			Launches: significant(float64(m.Launches) / n),
		}
		if m.Seconds > 0 {
			o.TFLOPS, o.GBPerSecond = significant(m.Cost.FLOPs/m.Seconds/1e12), significant(m.Cost.Bytes/m.Seconds/1e9)
			o.Bound, o.OfCeiling = most.compare(m.Cost, m.Seconds)
		}
		for _, k := range m.Kernels {
			o.Kernels = append(o.Kernels, profiledKernel{k.Name, significant(1e3 * k.Seconds / n), share(k.Seconds), significant(float64(k.Launches) / n)})
		}
		p.Operations = append(p.Operations, o)
	}
	return p
}

// significant rounds to four digits, which is more than two runs agree in.
func significant(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	return rounded
}

// compare says which ceiling work is under, and how much of it its time comes to.
func (c *ceilings) compare(work device.Cost, seconds float64) (bound string, of float64) {
	products, memory := work.FLOPs/1e9/c.ProductGFLOPS, work.Bytes/1e9/c.MemoryGBPerSecond
	switch {
	case *c == (ceilings{}), products == 0 && memory == 0:
		return "", 0
	case products > memory:
		return "products", significant(products / seconds)
	}
	return "memory", significant(memory / seconds)
}

// least is the share of a step below which operations are printed as one line.
const least = 0.001

// print writes the profile for people: a table, the longest first.
func (p *stepProfile) print(w io.Writer) {
	rows := [][]string{{"operation", "shape", "kernel", "launches", "ms/step", "share", "TFLOP/s", "GB/s", "of ceiling", "bound"}}
	others, few := profiledOperation{}, 0
	rest := p.StepMilliseconds
	for _, o := range p.Operations {
		rest -= o.Milliseconds
		if o.Share < least {
			others.Milliseconds += o.Milliseconds
			others.Share += o.Share
			others.Launches += o.Launches
			few++
			continue
		}
		rows = append(rows, o.rows()...)
	}
	if few > 0 {
		others.Operation = fmt.Sprintf("%d others", few)
		rows = append(rows, others.rows()...)
	}
	rows = append(rows, (&profiledOperation{Operation: "everything else", Milliseconds: max(0, rest), Share: max(0, rest/p.StepMilliseconds)}).rows()...)
	printAligned(w, "lllrrrrrrl", rows)
}

// rows are an operation's lines: one, and one for each of its kernels if there are several.
func (o *profiledOperation) rows() [][]string {
	kernel := ""
	if len(o.Kernels) == 1 {
		kernel = o.Kernels[0].Name
	}
	of := ""
	switch {
	case o.OfCeiling >= 0.005:
		of = fmt.Sprintf("%.0f %%", 100*o.OfCeiling)
	case o.OfCeiling > 0:
		of = "<1 %"
	}
	rows := [][]string{{o.Operation, o.Shape, kernel, count(o.Launches), milliseconds(o.Milliseconds), percent(o.Share), digits(o.TFLOPS), digits(o.GBPerSecond), of, o.Bound}}
	if len(o.Kernels) > 1 {
		for _, k := range o.Kernels {
			rows = append(rows, []string{"", "", k.Name, count(k.Launches), milliseconds(k.Milliseconds), percent(k.Share)})
		}
	}
	return rows
}

func count(n float64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func milliseconds(x float64) string { return fmt.Sprintf("%.3f", x) }

// digits is a number with three digits that count, nothing for 0.
func digits(x float64) string {
	switch {
	case x == 0:
		return ""
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// printAligned writes columns two spaces apart, aligned to the left or to the right as there is an l or an r for them; those
// without any text but their heading are left out.
func printAligned(w io.Writer, alignment string, rows [][]string) {
	width := make([]int, len(rows[0]))
	for i, row := range rows {
		for k, cell := range row {
			if cell != "" && i > 0 {
				width[k] = max(width[k], utf8.RuneCountInString(cell), utf8.RuneCountInString(rows[0][k]))
			}
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for k, cell := range row {
			if width[k] == 0 {
				continue
			}
			padding := strings.Repeat(" ", max(0, width[k]-utf8.RuneCountInString(cell)))
			if alignment[k] == 'l' {
				line.WriteString(cell + padding + "  ")
			} else {
				line.WriteString(padding + cell + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// printProfile writes the whole measurement for people.
func printProfile(w io.Writer, d device.Device, m *measurement) {
	name := d.Name()
	if s, ok := d.(fmt.Stringer); ok {
		name = s.String()
	}
	fmt.Fprintf(w, "%s of %s on %s\nbatch %d, sequence %d, hidden %d, %s\n\n", m.Work, m.Architecture, name, m.Batch, m.Seq, m.Hidden, m.DType)
	fmt.Fprintf(w, "a step    %.1f ms: %s samples/s, %s TFLOP/s; %.1f ms while it is profiled, as below\n", m.StepMilliseconds, digits(m.SamplesPerSecond), digits(m.GFLOPS/1e3), m.Profile.StepMilliseconds)
	if m.ceilings != (ceilings{}) {
		fmt.Fprintf(w, "ceilings  products alone %s TFLOP/s, memory %s GB/s; copies %s GB/s to the device, %s GB/s from it\n",
			digits(m.ProductGFLOPS/1e3), digits(m.MemoryGBPerSecond), digits(m.WriteGBPerSecond), digits(m.ReadGBPerSecond))
	}
	fmt.Fprintln(w)
	m.Profile.print(w)
}
