package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// benchFlags are those of the PyTorch peer, so that the two can be timed side by side.
type benchFlags struct {
	eval, profile, ceiling   bool
	hidden, heads, layers    int
	hCycles, lCycles         int
	batch, seq, vocab, steps int
	dtype                    string
	device                   deviceFlags
}

// benchSegments is the number of segments of an evaluation, and the largest of an example in training.
const benchSegments = 16

// measurement is the one line that bench prints.
type measurement struct {
	Peer             string             `json:"peer"`
	Work             string             `json:"work"`
	Device           string             `json:"device"`
	DType            string             `json:"dtype"`
	Batch            int                `json:"batch"`
	Hidden           int                `json:"hidden"`
	Seq              int                `json:"seq"`
	Params           int                `json:"params"`
	StepMilliseconds float64            `json:"step_ms"`
	SamplesPerSecond float64            `json:"samples_per_s"`
	GFLOPS           float64            `json:"gflops"`
	PeakRSSMiB       int64              `json:"peak_rss_mib"`
	FirstStepSeconds float64            `json:"first_step_s"`
	HeapBytes        uint64             `json:"heap_bytes_per_step"`
	ProductGFLOPS    float64            `json:"product_gflops,omitempty"`
	WriteGBPerSecond float64            `json:"write_gb_per_s,omitempty"`
	ReadGBPerSecond  float64            `json:"read_gb_per_s,omitempty"`
	Profile          map[string]float64 `json:"profile,omitempty"`
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Time whole training steps on random data",
		Long: `bench times training steps (segment, Q target, gradients, optimizers), or evaluations of 16 segments, of a model on
random data, and prints one line of JSON: the median, with the first step left out; first_step_s is the time from the
start of the command to the end of the first step, heap_bytes_per_step the median of what Go allocated in the others. With
--ceiling, product_gflops is what the device reaches in large matrix products alone, write_gb_per_s and read_gb_per_s how fast
arrays are copied to it and from it.`,
		Example: `  hrm bench --batch 8
  hrm bench --eval --batch 64 --dtype float32 --threads 2
  hrm bench --hidden 128 --heads 4 --layers 2 --batch 64 --profile
  hrm bench --device cuda --batch 384 --steps 30 --profile --ceiling`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.bench(c.Context(), f) },
	}
	flags := c.Flags()
	flags.BoolVar(&f.eval, "eval", false, "time evaluation: 16 segments without gradient")
	flags.BoolVar(&f.profile, "profile", false, "also print each operation's share of the program's time")
	flags.BoolVar(&f.ceiling, "ceiling", false, "also time matrix products alone, the most that the device could come to")
	flags.IntVar(&f.hidden, "hidden", 512, "hidden size")
	flags.IntVar(&f.heads, "heads", 8, "attention heads")
	flags.IntVar(&f.layers, "layers", 4, "layers of each module")
	flags.IntVar(&f.hCycles, "h-cycles", 2, "high-level cycles")
	flags.IntVar(&f.lCycles, "l-cycles", 2, "low-level cycles in each of them")
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
	d, err := f.device.open(func(note string) { fmt.Fprintln(a.err, note) }, f.profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	work, err := f.prepare(d, job)
	if err != nil {
		return err
	}
	if err := work.step(ctx); err != nil {
		return err
	}
	first := time.Since(began)
	work.network.Profile() // forgets the first step
	times, heap, err := timeSteps(ctx, f.steps-1, work.step)
	if err != nil {
		return err
	}
	m := f.measure(a.version, d.Name(), work, times)
	m.FirstStepSeconds, m.HeapBytes = round(first.Seconds(), 100), heap
	if f.ceiling {
		ceiling, err := productCeiling(ctx, d, work.network.Model.Activation)
		if err != nil {
			return fmt.Errorf("time products alone: %w", err)
		}
		m.ProductGFLOPS = round(ceiling, 10)
		write, read, err := copySpeeds(d)
		if err != nil {
			return fmt.Errorf("time copies alone: %w", err)
		}
		m.WriteGBPerSecond, m.ReadGBPerSecond = round(write, 100), round(read, 100)
	}
	return json.NewEncoder(a.out).Encode(m)
}

// job is a job whose model has the sizes of the flags.
func (f *benchFlags) job() (*v1alpha1.HRMTrainingJob, error) {
	job := &v1alpha1.HRMTrainingJob{}
	job.Spec.Model = v1alpha1.ModelSpec{
		HiddenSize: int32(f.hidden), NumHeads: int32(f.heads), HLayers: int32(f.layers), LLayers: int32(f.layers),
		HCycles: int32(f.hCycles), LCycles: int32(f.lCycles), ACT: v1alpha1.ACTSpec{MaxSteps: benchSegments},
	}
	job.Spec.Training.GlobalBatchSize = int32(f.batch)
	job.Spec.Dataset = v1alpha1.DatasetSpec{Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: "random"}}
	job.Spec.Storage.Bucket = "none"
	switch f.dtype {
	case "bfloat16":
		job.Spec.Training.Precision = v1alpha1.PrecisionBFloat16
	case "float32":
		job.Spec.Training.Precision = v1alpha1.PrecisionFloat32
	default:
		return nil, usageError{fmt.Errorf("--dtype %s: want bfloat16 or float32", f.dtype)}
	}
	if f.steps < 2 || f.seq < 1 || f.vocab < 3 {
		return nil, usageError{fmt.Errorf("--steps must be at least 2, --seq at least 1, --vocab at least 3")}
	}
	job.Default()
	if err := job.Validate(); err != nil {
		return nil, usageError{err}
	}
	return job, nil
}

// benchWork is what is timed.
type benchWork struct {
	network *loop.Network
	step    func(context.Context) error
}

// prepare builds the model with random weights and one random batch, which every step gets again.
func (f *benchFlags) prepare(d device.Device, job *v1alpha1.HRMTrainingJob) (*benchWork, error) {
	shape := model.Shape{SeqLen: f.seq, VocabSize: f.vocab, NumPuzzleIdentifiers: 1}
	m, err := model.Build(job.Spec.Model, shape, job.Spec.Training.Precision, f.batch)
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
	random := rand.New(rand.NewPCG(0, 0))
	b := loop.Batch{Inputs: make([]int32, f.batch*f.seq), Labels: make([]int32, f.batch*f.seq), Puzzles: make([]int32, f.batch)}
	for i := range b.Inputs {
		b.Inputs[i], b.Labels[i] = 1+random.Int32N(int32(f.vocab)-1), 2+random.Int32N(int32(f.vocab)-2)
	}
	w := &benchWork{network: n}
	if f.eval {
		e, err := loop.NewEvaluator(n, f.batch, f.seq, benchSegments)
		if err != nil {
			return nil, err
		}
		w.step = func(ctx context.Context) error { _, err := e.Predict(ctx, b, f.batch); return err }
		return w, nil
	}
	t, err := loop.NewTrainer(n, same{b}, f.seq, loop.Hyperparameters{
		Batch: f.batch, TotalSteps: 1 << 40, MaxSegments: benchSegments, Beta1: 0.9, Beta2: 0.95, MinLearningRateRatio: 1,
		LearningRate: 1e-4, WeightDecay: 1, PuzzleLearningRate: 1e-4, PuzzleWeightDecay: 1,
	})
	if err != nil {
		return nil, err
	}
	w.step = t.Step
	return w, nil
}

// same is a source that gives one batch for ever.
type same struct{ batch loop.Batch }

func (s same) Next() loop.Batch          { return s.batch }
func (s same) Position() ([]byte, error) { return nil, nil }
func (s same) Seek([]byte) error         { return nil }

// timeSteps returns how long each step took, and the median of the bytes that Go allocated in them: now and then the
// runtime allocates for itself, as when it starts a thread.
func timeSteps(ctx context.Context, steps int, step func(context.Context) error) ([]time.Duration, uint64, error) {
	times, heap := make([]time.Duration, steps), make([]uint64, steps)
	var before, after runtime.MemStats
	for i := range times {
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := step(ctx); err != nil {
			return nil, 0, err
		}
		times[i] = time.Since(began)
		runtime.ReadMemStats(&after)
		heap[i] = after.TotalAlloc - before.TotalAlloc
	}
	slices.Sort(heap)
	return times, heap[steps/2], nil
}

func (f *benchFlags) measure(version, deviceName string, w *benchWork, times []time.Duration) measurement {
	slices.Sort(times)
	median := times[len(times)/2].Seconds()
	m := measurement{
		Peer: "hrm " + version, Work: "training", Device: deviceName, DType: f.dtype, Batch: f.batch, Hidden: f.hidden,
		Seq: f.seq, Params: w.network.ParameterCount(), StepMilliseconds: round(median*1e3, 10),
		SamplesPerSecond: round(float64(f.batch)/median, 100), GFLOPS: round(f.gflop()/median, 10), PeakRSSMiB: peakRSS(),
	}
	if f.eval {
		m.Work = "evaluation"
	}
	if f.profile {
		m.Profile = shares(w.network.Profile())
	}
	return m
}

// shares divides seconds per operation by their sum.
func shares(seconds map[device.Opcode]float64) map[string]float64 {
	total, out := 0.0, map[string]float64{}
	for _, s := range seconds {
		total += s
	}
	for op, s := range seconds {
		out[op.String()] = round(s/total, 1e4)
	}
	return out
}

// gflop is the arithmetic of one step, counted as the peer does: products and attention, the backward pass twice.
func (f *benchFlags) gflop() float64 {
	d, width := float64(f.hidden), math.Ceil(math.RoundToEven(float64(4*f.hidden)*2/3)/256)*256
	positions := float64(f.seq + 1)
	perLayer := 2*(4*d*d+3*d*width) + 4*positions*d
	calls := float64(f.hCycles*f.lCycles + f.hCycles)
	forwards := 2*calls + 4
	if f.eval {
		forwards = benchSegments * calls
	}
	return forwards * float64(f.layers) * perLayer * positions * float64(f.batch) / 1e9
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
