package reference

import (
	"errors"
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// AdamATan2 computes p *= 1-lr*decay; m = β1 m + (1-β1) g; v = β2 v + (1-β2) g²;
// p -= lr/(1-β1^t) * atan2(m, sqrt(v)/sqrt(1-β2^t)); average = μ average + (1-μ) p.
func (d *Device) AdamATan2(parameters []device.Dense, h device.AdamATan2Step) (err error) {
	if h.Step < 1 {
		return fmt.Errorf("adam-atan2: step %d, but steps count from 1", h.Step)
	}
	for _, p := range parameters {
		d.profile.Time(device.AdamATan2Operation, "", device.AdamATan2Cost(p.Value.Len()), func() { err = errors.Join(err, adamATan2(p, h)) })
	}
	return err
}

func adamATan2(p device.Dense, h device.AdamATan2Step) error {
	var all [4][]float32
	for i, a := range []device.Array{p.Value, p.Gradient, p.M, p.V} {
		x, err := device.ReadFloats(a, 0, p.Value.Len())
		if err != nil {
			return fmt.Errorf("adam-atan2: read array %d of p, gradient, m, v: %w", i, err)
		}
		all[i] = x
	}
	ps, gs, ms, vs := all[0], all[1], all[2], all[3]
	stepSize := h.LearningRate / (1 - math.Pow(h.Beta1, float64(h.Step)))
	correction := math.Sqrt(1 - math.Pow(h.Beta2, float64(h.Step)))
	for i := range ps {
		g := float64(gs[i])
		ms[i] = float32(h.Beta1*float64(ms[i]) + (1-h.Beta1)*g)
		vs[i] = float32(h.Beta2*float64(vs[i]) + (1-h.Beta2)*g*g)
		x := float64(ps[i]) * (1 - h.LearningRate*h.WeightDecay)
		ps[i] = float32(x - stepSize*math.Atan2(float64(ms[i]), math.Sqrt(float64(vs[i]))/correction))
	}
	for i, a := range []device.Array{p.Value, p.M, p.V} {
		if err := device.WriteFloats(a, 0, [][]float32{ps, ms, vs}[i]); err != nil {
			return fmt.Errorf("adam-atan2: write array %d of p, m, v: %w", i, err)
		}
	}
	return average(p.Average, ps, h.EMADecay)
}

func average(a device.Array, values []float32, decay float64) error {
	if a == nil {
		return nil
	}
	x, err := device.ReadFloats(a, 0, len(values))
	if err != nil {
		return fmt.Errorf("adam-atan2: read the average: %w", err)
	}
	for i, p := range values {
		x[i] = float32(decay*float64(x[i]) + (1-decay)*float64(p))
	}
	if err := device.WriteFloats(a, 0, x); err != nil {
		return fmt.Errorf("adam-atan2: write the average: %w", err)
	}
	return nil
}

// SignSGD computes w = w (1-lr*decay) - lr*sign(g) for the given rows; sign(0) = 0.
func (d *Device) SignSGD(table device.Array, rows []int32, gradient []float32, learningRate, weightDecay float64) (err error) {
	d.profile.Time(device.SignSGDOperation, "", device.SignSGDCost(len(gradient)), func() { err = signSGD(table, rows, gradient, learningRate, weightDecay) })
	return err
}

func signSGD(table device.Array, rows []int32, gradient []float32, learningRate, weightDecay float64) error {
	if len(rows) == 0 {
		return nil
	}
	dim := len(gradient) / len(rows)
	if dim*len(rows) != len(gradient) {
		return fmt.Errorf("sign-sgd: %d gradient elements do not divide among %d rows", len(gradient), len(rows))
	}
	for i, row := range rows {
		w, err := device.ReadFloats(table, int(row)*dim, dim)
		if err != nil {
			return fmt.Errorf("sign-sgd: row %d: %w", row, err)
		}
		for d, g := range gradient[i*dim : (i+1)*dim] {
			x := float64(w[d]) * (1 - learningRate*weightDecay)
			switch {
			case g > 0:
				x -= learningRate
			case g < 0:
				x += learningRate
			}
			w[d] = float32(x)
		}
		if err := device.WriteFloats(table, int(row)*dim, w); err != nil {
			return fmt.Errorf("sign-sgd: row %d: %w", row, err)
		}
	}
	return nil
}
