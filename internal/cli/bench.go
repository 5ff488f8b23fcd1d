package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// benchFlags are those of the PyTorch peer, so that the two can be timed side by side, and what a job's spec says besides.
type benchFlags struct {
	set                      []string
	eval                     bool
	profile, ceiling, json   bool
	hidden, heads, layers    int
	hCycles, lCycles         int
	batch, seq, vocab, steps int
	dtype                    string
	device                   deviceFlags
}

// measurement is the one line that bench prints.
type measurement struct {
	Peer             string  `json:"peer"`
	Work             string  `json:"work"`
	Architecture     string  `json:"architecture"`
	Device           string  `json:"device"`
	DType            string  `json:"dtype"`
	Batch            int     `json:"batch"`
	Hidden           int     `json:"hidden"`
	Seq              int     `json:"seq"`
	Params           int     `json:"params"`
	StepMilliseconds float64 `json:"step_ms"`
	SamplesPerSecond float64 `json:"samples_per_s"`
	// GFLOPS are those of products and attention.
	GFLOPS     float64 `json:"gflops"`
	PeakRSSMiB int64   `json:"peak_rss_mib"`
	// DeviceMemoryMiB is what the device says that it has allocated.
	DeviceMemoryMiB  int64   `json:"device_memory_mib,omitempty"`
	FirstStepSeconds float64 `json:"first_step_s"`
	HeapBytes        uint64  `json:"heap_bytes_per_step"`
	ceilings
	Profile *stepProfile `json:"profile,omitempty"`
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Time whole training steps on random data",
		Long: `bench times training steps (segment, Q target, gradients, optimizers), or evaluations of 16 segments, of a model on
random data, and prints one line of JSON: the median of five rounds, with the first step left out; first_step_s is the time
from the start of the command to the end of the first step, heap_bytes_per_step the median of what Go allocated in the others.

The model is the published HRM, unless --set says otherwise: it takes any field of a job's spec, model.architecture first of all.
What neither --set nor a flag says is the default of the architecture.

--ceiling adds what the device comes to at best: product_gflops in large matrix products alone, memory_gb_per_s in sums of
arrays that no cache holds, write_gb_per_s and read_gb_per_s in copies of arrays to it and from it.

--profile prints a table in place of the line: of three more steps, the operations by the time that they take, on a GPU by
events and by kernel, on the processor by the time of its threads. TFLOP/s and GB/s are of the arithmetic and the bytes that an
operation takes at least, and "of ceiling" says how near that is to what the device comes to at best; more than all of memory
is had from caches. With --json the line has it all.`,
		Example: `  hrm bench --batch 8
  hrm bench --eval --batch 64 --dtype float32 --threads 2
  hrm bench --set model.architecture=TRM --set model.mixing=MLP
  hrm bench --set model.architecture=Transformer --layers 4 --batch 64 --profile
  hrm bench --hidden 128 --heads 4 --layers 2 --batch 64 --profile
  hrm bench --device cuda --batch 384 --steps 30 --profile`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.bench(c.Context(), f) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.set, "set", nil, "set a field of the job's spec, as in model.architecture=TRM; may be repeated")
	flags.BoolVar(&f.eval, "eval", false, "time evaluation: 16 segments without gradient, or evaluation.segments")
	flags.BoolVar(&f.profile, "profile", false, "also measure where a step's time goes, and print a table")
	flags.BoolVar(&f.ceiling, "ceiling", false, "also measure what the device comes to at best; --profile does so in any case")
	flags.BoolVar(&f.json, "json", false, "print the line of JSON where --profile would print a table")
	flags.IntVar(&f.hidden, "hidden", 0, "hidden size; 512 if not set")
	flags.IntVar(&f.heads, "heads", 0, "attention heads; 8 if not set")
	flags.IntVar(&f.layers, "layers", 0, "layers, with HRM of each module; those of the architecture if not set")
	flags.IntVar(&f.hCycles, "h-cycles", 0, "high-level cycles; those of the architecture if not set")
	flags.IntVar(&f.lCycles, "l-cycles", 0, "low-level cycles in each of them; those of the architecture if not set")
	flags.IntVar(&f.batch, "batch", 8, "examples per step")
	flags.IntVar(&f.seq, "seq", 81, "tokens of an example")
	flags.IntVar(&f.vocab, "vocab", 11, "vocabulary")
	flags.IntVar(&f.steps, "steps", 6, "steps to time, the first of which does not count")
	flags.StringVar(&f.dtype, "dtype", "bfloat16", "activations: bfloat16 or float32")
	f.device.add(c)
	return c
}

func (a *app) bench(ctx context.Context, f benchFlags) (err error) {
	began := time.Now()
	job, err := f.job()
	if err != nil {
		return err
	}
	d, err := f.device.open(func(note string) { fmt.Fprintln(a.err, note) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	work, err := f.prepare(d, &job.Spec)
	if err != nil {
		return err
	}
	if err := work.steps(ctx, 1); err != nil {
		return err
	}
	first := time.Since(began)
	times, heap, err := timeSteps(ctx, f.steps-1, work)
	if err != nil {
		return err
	}
	m := f.measure(a.version, d, &job.Spec, work, times)
	m.FirstStepSeconds, m.HeapBytes = round(first.Seconds(), 100), heap
	if f.ceiling || f.profile {
		if m.ceilings, err = measureCeilings(ctx, d, work.network.Model.Activation); err != nil && f.ceiling {
			return err
		}
		if err != nil {
			// The model may leave no memory for it.
			fmt.Fprintln(a.err, "the profile is without ceilings:", err)
		}
	}
	if f.profile {
		if m.Profile, err = profileSteps(ctx, d, min(profiledSteps, f.steps-1), work, &m.ceilings); err != nil {
			return err
		}
		if !f.json {
			printProfile(a.out, d, &m)
			return nil
		}
	}
	return json.NewEncoder(a.out).Encode(m)
}

// job is a job whose spec is what --set says, filled up with what the flags say.
func (f *benchFlags) job() (*v1alpha1.HRMTrainingJob, error) {
	job := &v1alpha1.HRMTrainingJob{}
	for _, s := range f.set {
		if err := applySet(&job.Spec, s); err != nil {
			return nil, err
		}
	}
	job.Spec.Dataset = v1alpha1.DatasetSpec{Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: "random"}}
	job.Spec.Storage.Bucket = "none"
	fill(&job.Spec.Training.GlobalBatchSize, int32(f.batch))
	switch f.dtype {
	case "bfloat16":
		fill(&job.Spec.Training.Precision, v1alpha1.PrecisionBFloat16)
	case "float32":
		fill(&job.Spec.Training.Precision, v1alpha1.PrecisionFloat32)
	default:
		return nil, usageError{fmt.Errorf("--dtype %s: want bfloat16 or float32", f.dtype)}
	}
	if f.steps < 2 || f.seq < 1 || f.vocab < 3 {
		return nil, usageError{fmt.Errorf("--steps must be at least 2, --seq at least 1, --vocab at least 3")}
	}
	f.fillModel(&job.Spec.Model)
	job.Default()
	if err := job.Validate(); err != nil {
		return nil, usageError{err}
	}
	return job, nil
}

// fillModel fills a model up with the sizes of the flags; those that are 0 are left to the architecture.
func (f *benchFlags) fillModel(m *v1alpha1.ModelSpec) {
	fill(&m.HiddenSize, int32(f.hidden))
	fill(&m.NumHeads, int32(f.heads))
	fill(&m.HCycles, int32(f.hCycles))
	fill(&m.LCycles, int32(f.lCycles))
	fill(&m.Architecture, v1alpha1.ArchitectureHRM)
	if m.Architecture != v1alpha1.ArchitectureHRM {
		fill(&m.Layers, int32(f.layers))
		return
	}
	fill(&m.HLayers, int32(f.layers))
	if m.TwoLevels() {
		fill(&m.LLayers, int32(f.layers))
	}
}

// fill sets a field that is not set.
func fill[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

// benchWork is what is timed.
type benchWork struct {
	network *loop.Network
	// step may return before the device is done, settle waits for it.
	step   func(context.Context) error
	settle func() error
	// flops are the floating-point operations of a step.
	flops float64
}

// steps makes so many steps and waits for them.
func (w *benchWork) steps(ctx context.Context, n int) error {
	for range n {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return w.settle()
}

// prepare builds the model with random weights and one random batch, which every step gets again.
func (f *benchFlags) prepare(d device.Device, spec *v1alpha1.HRMTrainingJobSpec) (*benchWork, error) {
	batch := int(spec.Training.GlobalBatchSize)
	shape := model.Shape{SeqLen: f.seq, VocabSize: f.vocab, NumPuzzleIdentifiers: 1}
	m, err := model.Build(spec.Model, shape, spec.Training.Precision, batch)
	if err != nil {
		return nil, usageError{err}
	}
	n, err := loop.NewNetwork(d, m, !f.eval)
	if err != nil {
		return nil, err
	}
	if err := n.Initialize(0); err != nil {
		return nil, err
	}
	b := f.randomBatch(batch)
	w := &benchWork{network: n, settle: func() error { return nil }}
	if f.eval {
		segments := spec.EvaluationSegments()
		w.flops = float64(segments) * m.Eval.Cost(batch).FLOPs
		e, err := loop.NewEvaluator(n, batch, f.seq, segments)
		if err != nil {
			return nil, err
		}
		w.step = func(ctx context.Context) error { _, err := e.Predict(ctx, b, batch); return err }
		return w, nil
	}
	h, err := loop.HyperparametersOf(spec, 1<<40)
	if err != nil {
		return nil, err
	}
	t, err := loop.NewTrainer(n, same{b}, f.seq, h)
	if err != nil {
		return nil, err
	}
	w.step, w.settle, w.flops = t.Step, t.Settle, m.Train.Cost(batch).FLOPs
	return w, nil
}

// randomBatch is a batch of random examples without a blank.
func (f *benchFlags) randomBatch(batch int) loop.Batch {
	random := rand.New(rand.NewPCG(0, 0))
	b := loop.Batch{Inputs: make([]int32, batch*f.seq), Labels: make([]int32, batch*f.seq), Puzzles: make([]int32, batch)}
	for i := range b.Inputs {
		b.Inputs[i], b.Labels[i] = 1+random.Int32N(int32(f.vocab)-1), 2+random.Int32N(int32(f.vocab)-2)
	}
	return b
}

// same is a source that gives one batch for ever.
type same struct{ batch loop.Batch }

func (s same) Next() loop.Batch          { return s.batch }
func (s same) Position() ([]byte, error) { return nil, nil }
func (s same) Seek([]byte) error         { return nil }

// timedRounds are the most rounds into which steps are divided: each begins and ends with the device at rest.
const timedRounds = 5

// timeSteps returns how long a step took in each round, and the median of the bytes that Go allocated in one: now and then the
// runtime allocates for itself, as when it starts a thread.
func timeSteps(ctx context.Context, steps int, w *benchWork) ([]time.Duration, uint64, error) {
	rounds := min(steps, timedRounds)
	times, heap := make([]time.Duration, rounds), make([]uint64, rounds)
	var before, after runtime.MemStats
	for i := range times {
		n := steps*(i+1)/rounds - steps*i/rounds
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := w.steps(ctx, n); err != nil {
			return nil, 0, err
		}
		times[i] = time.Since(began) / time.Duration(n)
		runtime.ReadMemStats(&after)
		heap[i] = (after.TotalAlloc - before.TotalAlloc) / uint64(n)
	}
	slices.Sort(heap)
	return times, heap[rounds/2], nil
}

func (f *benchFlags) measure(version string, d device.Device, spec *v1alpha1.HRMTrainingJobSpec, w *benchWork, times []time.Duration) measurement {
	slices.Sort(times)
	median, batch := times[len(times)/2].Seconds(), int(spec.Training.GlobalBatchSize)
	m := measurement{
		Peer: "hrm " + version, Work: "training", Architecture: string(spec.Model.Architecture), Device: d.Name(),
		DType: strings.ToLower(string(spec.Training.Precision)), Batch: batch, Hidden: int(spec.Model.HiddenSize),
		Seq: f.seq, Params: w.network.ParameterCount(), StepMilliseconds: round(median*1e3, 10),
		SamplesPerSecond: round(float64(batch)/median, 100), GFLOPS: significant(w.flops / median / 1e9), PeakRSSMiB: peakRSS(),
	}
	if f.eval {
		m.Work = "evaluation"
	}
	if memory, ok := d.(interface{ MemoryBytes() int64 }); ok {
		m.DeviceMemoryMiB = memory.MemoryBytes() >> 20
	}
	return m
}

func round(x, digits float64) float64 { return float64(int64(x*digits+0.5)) / digits }

// peakRSS is the most memory that the process has held, in MiB.
func peakRSS() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss / 1024
}
