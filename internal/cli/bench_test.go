package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// benchTiny runs hrm bench with a model that the reference device computes at once.
func benchTiny(t *testing.T, args ...string) string {
	t.Helper()
	return benchSmall(t, append([]string{"--layers", "1", "--h-cycles", "1", "--l-cycles", "1"}, args...)...)
}

// benchSmall leaves layers and cycles to args, or to the architecture.
func benchSmall(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems buffer
	args = append([]string{"hrm", "bench", "--device", "reference", "--batch", "2", "--hidden", "8", "--heads", "2", "--seq", "3", "--steps", "2"}, args...)
	if status := run(t.Context(), args, "test", strings.NewReader(""), &out, &problems); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &problems)
	}
	return out.String()
}

func TestBench_printsOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		args              []string
		ceilings, profile bool
	}{
		"training":      {},
		"evaluation":    {args: []string{"--eval"}},
		"with ceilings": {args: []string{"--ceiling"}, ceilings: true},
		"with profile":  {args: []string{"--profile", "--json"}, ceilings: true, profile: true},
	} {
		t.Run(name, func(t *testing.T) {
			var m measurement
			if err := json.Unmarshal([]byte(benchTiny(t, c.args...)), &m); err != nil {
				t.Fatal(err)
			}
			if m.StepMilliseconds <= 0 || m.SamplesPerSecond <= 0 || m.Device != "reference" {
				t.Errorf("got %+v", m)
			}
			if (m.ProductGFLOPS > 0 && m.MemoryGBPerSecond > 0 && m.WriteGBPerSecond > 0 && m.ReadGBPerSecond > 0) != c.ceilings {
				t.Errorf("ceilings are %+v", m.ceilings)
			}
			if (m.Profile != nil) != c.profile || c.profile && len(m.Profile.Operations) == 0 {
				t.Errorf("the profile is %+v", m.Profile)
			}
		})
	}
}

func TestBench_measuresEveryArchitecture(t *testing.T) {
	for name, row := range map[string]struct {
		args         []string
		architecture string
	}{
		"TRM":                    {[]string{"--set", "model.architecture=TRM", "--layers", "1", "--h-cycles", "2"}, "TRM"},
		"TRM as it is published": {[]string{"--set", "model.architecture=TRM"}, "TRM"},
		"TRM with an MLP":        {[]string{"--set", "model.architecture=TRM", "--set", "model.mixing=MLP", "--l-cycles", "1"}, "TRM"},
		"HRM of one level":       {[]string{"--set", "model.levels=1", "--layers", "2"}, "HRM"},
		"Transformer":            {[]string{"--set", "model.architecture=Transformer", "--layers", "2"}, "Transformer"},
		"UniversalTransformer":   {[]string{"--set", "model.architecture=UniversalTransformer", "--set", "model.layers=2"}, "UniversalTransformer"},
		"ElmanRNN":               {[]string{"--set", "model.architecture=ElmanRNN"}, "ElmanRNN"},
		"ClockworkRNN":           {[]string{"--set", "model.architecture=ClockworkRNN", "--set", "model.period=3"}, "ClockworkRNN"},
		"HierarchicalRNN":        {[]string{"--set", "model.architecture=HierarchicalRNN", "--set", "model.levels=2"}, "HierarchicalRNN"},
		"MultiscaleRNN":          {[]string{"--set", "model.architecture=MultiscaleRNN"}, "MultiscaleRNN"},
		"MixtureOfRecursions":    {[]string{"--set", "model.architecture=MixtureOfRecursions", "--set", "model.recursions=2"}, "MixtureOfRecursions"},
		"history compressor":     {[]string{"--set", "model.architecture=NeuralHistoryCompressor"}, "NeuralHistoryCompressor"},
		"FastWeights":            {[]string{"--set", "model.architecture=FastWeights", "--set", "model.innerSteps=2"}, "FastWeights"},
	} {
		for _, work := range []string{"training", "evaluation"} {
			t.Run(name+", "+work, func(t *testing.T) {
				args := row.args
				if work == "evaluation" {
					args = append(slices.Clone(args), "--eval", "--set", "evaluation.segments=2")
				}
				var m measurement
				if err := json.Unmarshal([]byte(benchSmall(t, args...)), &m); err != nil {
					t.Fatal(err)
				}
				if m.Architecture != row.architecture || m.Work != work || m.SamplesPerSecond <= 0 || m.GFLOPS <= 0 || m.Params <= 0 || m.Hidden != 8 || m.Batch != 2 {
					t.Errorf("got %+v", m)
				}
			})
		}
	}
}

func TestBench_refusesWhatNoModelIs(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"layers of another architecture": {[]string{"--set", "model.layers=2"}, "use hLayers and lLayers"},
		"cycles of another architecture": {[]string{"--set", "model.architecture=Transformer", "--h-cycles", "2"}, "spec.model.hCycles is only for"},
		"an unknown architecture":        {[]string{"--set", "model.architecture=GPT"}, "use one of HRM TRM Transformer UniversalTransformer"},
		"an unknown field":               {[]string{"--set", "model.size=2"}, "there is no size"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems buffer
			status := run(t.Context(), append([]string{"hrm", "bench", "--device", "reference"}, row.args...), "test", strings.NewReader(""), &out, &problems)
			if status != exitUsage || !strings.Contains(problems.String(), row.says) {
				t.Errorf("ends with %d, want words about %q\n%s", status, row.says, &problems)
			}
		})
	}
}

func TestBench_printsTheProfileAsATable(t *testing.T) {
	said := benchTiny(t, "--profile")
	for _, word := range []string{"training of HRM on reference", "batch 2, sequence 3, hidden 8, bfloat16", "a step", "samples/s", "products alone", "LinearGradWeight", "AdamATan2", "everything else"} {
		if !strings.Contains(said, word) {
			t.Errorf("the table does not mention %q:\n%s", word, said)
		}
	}
}

func TestStepProfile_dividesTimeAndComparesWithTheCeilings(t *testing.T) {
	most := &ceilings{ProductGFLOPS: 100e3, MemoryGBPerSecond: 1000}
	p := newStepProfile([]device.Measurement{
		// Of the 60 ms of two steps, a product at 80 of 100 TFLOP/s, a sum at 500 of 1000 GB/s, two kernels, and what is hardly there.
		{Operation: "Linear", Shape: "512→1536", Seconds: 0.02, Launches: 24, Cost: device.Cost{FLOPs: 1.6e12, Bytes: 2e9}, Kernels: []device.KernelMeasurement{{Name: "cuBLASLt", Seconds: 0.02, Launches: 24}}},
		{Operation: "EmbedGradWeight", Seconds: 0.012, Launches: 4, Kernels: []device.KernelMeasurement{{Name: "parts", Seconds: 0.01, Launches: 2}, {Name: "sums", Seconds: 0.002, Launches: 2}}},
		{Operation: "Add", Shape: "82×512", Seconds: 0.01, Launches: 8, Cost: device.Cost{Bytes: 5e9}, Kernels: []device.KernelMeasurement{{Name: "add", Seconds: 0.01, Launches: 8}}},
		{Operation: "Fill", Shape: "1", Seconds: 0.00001, Launches: 2, Cost: device.Cost{Bytes: 8}, Kernels: []device.KernelMeasurement{{Name: "fill", Seconds: 0.00001, Launches: 2}}},
		{Operation: "QLoss", Shape: "2", Seconds: 0.00001, Launches: 1, Cost: device.Cost{Bytes: 8}},
	}, 2, 60*time.Millisecond, most)
	var said strings.Builder
	p.print(&said)
	want := `operation        shape     kernel    launches  ms/step    share  TFLOP/s  GB/s  of ceiling  bound
Linear           512→1536  cuBLASLt        12   10.000  33.33 %     80.0   100        80 %  products
EmbedGradWeight                             2    6.000  20.00 %
                           parts            1    5.000  16.67 %
                           sums             1    1.000   3.33 %
Add              82×512    add              4    5.000  16.67 %            500        50 %  memory
2 others                                  1.5    0.010   0.03 %
everything else                                  8.990  29.97 %
`
	if diff := cmp.Diff(want, said.String()); diff != "" {
		t.Error(diff)
	}
	if o := p.Operations[0]; o.Bound != "products" || o.OfCeiling != 0.8 || o.TFLOPS != 80 || o.GBPerSecond != 100 || o.Share != 0.3333 || o.Launches != 12 {
		t.Errorf("got %+v", o)
	}
}
