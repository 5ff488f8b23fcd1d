//go:build gloo && cgo && linux

package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	trainerprogress "github.com/hrm-operator/hrm-operator/trainer/progress"
)

// nodes is a run of a job by several processes, which share this one but nothing else.
type nodes struct {
	t     *testing.T
	spec  *v1alpha1.HRMTrainingJobSpec
	data  [2]*dataset.Dataset
	store objectstore.Store
	size  int
	// devices is how many ranks each process has; 0 is 1. device opens that of a rank; nil opens the reference device.
	devices int
	device  func(rank int) (device.Device, error)
	// stopRank is asked to stop once it has made stopStep.
	stopRank int
	stopStep int64
	// checkpoints, if not nil, stands before the archive; shown and ended hear of a rank's reports and of its end.
	checkpoints func(Checkpoints) Checkpoints
	shown       func(rank int, r progress.Report)
	ended       func(rank int)
	scorer      func() (dataset.Scorer, error)
}

// observer hears of a rank's steps.
type observer struct {
	show  func(progress.Report)
	notes []string
}

func (o *observer) Show(r progress.Report) { o.show(r) }
func (o *observer) Note(text string)       { o.notes = append(o.notes, text) }
func (o *observer) Close()                 {}

// run trains and returns each rank's notes and error.
func (n nodes) run() (notes [][]string, errs []error) {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	n.devices = max(1, n.devices)
	notes, errs = make([][]string, n.size*n.devices), make([]error, n.size*n.devices)
	var running sync.WaitGroup
	for p := range n.size {
		from, to := p*n.devices, (p+1)*n.devices
		running.Go(func() { n.process(p, address, notes[from:to], errs[from:to]) })
	}
	running.Wait()
	return notes, errs
}

// process is one of the processes, with the notes and errors of its ranks.
func (n nodes) process(p int, address string, notes [][]string, errs []error) {
	group, err := collective.Join(n.t.Context(), collective.World{
		Job: "tiny", Rank: p, Size: n.size, Devices: n.devices, Rendezvous: address, Listen: address, Recipe: Recipe(n.spec),
	}, collective.Timing{Silence: 5 * time.Second}, func(string) {})
	if err != nil {
		errs[0] = err
		return
	}
	var running sync.WaitGroup
	for i, member := range collective.Local(group, n.devices) {
		running.Go(func() { notes[i], errs[i] = n.rank(member) })
	}
	running.Wait()
	var failed error
	for _, err := range errs {
		failed = errors.Join(failed, Parting(err))
	}
	if err := group.Close(failed); err != nil {
		n.t.Error(err)
	}
}

func (n nodes) open(rank int) (device.Device, error) {
	if n.device == nil {
		return reference.New(), nil
	}
	return n.device(rank)
}

func (n nodes) rank(group collective.Group) (notes []string, err error) {
	ctx, stop := context.WithCancel(n.t.Context())
	defer stop()
	rank := group.Rank()
	defer func() { err = errors.Join(err, group.Close(Parting(err))) }()
	d, err := n.open(rank)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	o := &observer{show: func(r progress.Report) {
		if n.shown != nil {
			n.shown(rank, r)
		}
		if n.stopStep > 0 && rank == n.stopRank && r.Step >= n.stopStep {
			stop()
		}
	}}
	var archive Checkpoints = checkpoint.NewArchive(n.store, checkpoint.Options{KeepLast: int(n.spec.Checkpoint.KeepLast)})
	if n.checkpoints != nil {
		archive = n.checkpoints(archive)
	}
	linked, err := collective.Linked(ctx, group, d, o.Note)
	if err != nil {
		return o.notes, err
	}
	err = Run(ctx, Options{
		Spec: n.spec, Train: n.data[0], Test: n.data[1], Device: d, Store: n.store, Now: time.Now, Group: linked,
		NewScorer: n.scorer, Checkpoints: archive, Tracker: trainerprogress.NewTracker(time.Now, o),
	})
	if n.ended != nil {
		n.ended(rank)
	}
	return o.notes, errors.Join(err, linked.Close(Parting(err)))
}

func allDone(t *testing.T, errs []error) {
	t.Helper()
	for rank, err := range errs {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
}

// near compares weights and moments within what float32 sums in another order may differ by.
func near(t *testing.T, got, want *State) {
	t.Helper()
	for name, tensor := range want.Model {
		a, err := got.Model[name].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := tensor.Float32s()
		for i := range b {
			if d := math.Abs(float64(a[i]) - float64(b[i])); d > 2e-5 {
				t.Fatalf("%s[%d] is %v, want %v", name, i, a[i], b[i])
			}
		}
	}
	for _, name := range []string{"sampler", "tokens", "labels", "puzzles", "steps", "halted"} {
		if !slices.Equal(got.Carry[name].Data, want.Carry[name].Data) {
			t.Errorf("the carry's %s differs", name)
		}
	}
}

func TestNodes_trainTheSameModelHoweverManyThereAre(t *testing.T) {
	data := tinyData(t)
	spec := tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	var want *State
	for _, size := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d ranks", size), func(t *testing.T) {
			store, _ := directory(t)
			_, errs := nodes{t: t, spec: spec, data: data, store: store, size: size}.run()
			allDone(t, errs)
			got := final(t, store)
			if want == nil {
				want = got
			}
			near(t, got, want)
			for _, name := range []string{scalarBest, scalarLast, scalarEvaluated} {
				if got.Scalars[name] != want.Scalars[name] {
					t.Errorf("%s is %s, want %s", name, got.Scalars[name], want.Scalars[name])
				}
			}
			again, _ := directory(t)
			_, errs = nodes{t: t, spec: spec, data: data, store: again, size: size}.run()
			allDone(t, errs)
			sameBits(t, final(t, again), got)
		})
	}
}

func TestNodes_trainEveryArchitectureAsOneDoes(t *testing.T) {
	data := tinyData(t)
	for name, model := range architectures {
		t.Run(name, func(t *testing.T) {
			spec := tinyArchitecture(t, model)
			spec.Training.Precision = v1alpha1.PrecisionFloat32
			alone, _ := directory(t)
			if _, err := trainJobUntil(t, spec, alone, data, 0); err != nil {
				t.Fatal(err)
			}
			store, _ := directory(t)
			_, errs := nodes{t: t, spec: spec, data: data, store: store, size: 2}.run()
			allDone(t, errs)
			near(t, final(t, store), final(t, alone))
		})
	}
}

// Fifty steps with one, two and four ranks: the losses agree within float32, step by step.
func TestNodes_haveTheSameLossesForFiftySteps(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	spec.Training.Steps = new(int64(50))
	spec.Checkpoint.EverySteps = new(int64(50))
	curves := map[int][]float64{}
	for _, size := range []int{1, 2, 4} {
		store, _ := directory(t)
		_, errs := nodes{t: t, spec: spec, data: data, store: store, size: size}.run()
		allDone(t, errs)
		curves[size] = lossCurve(t, store)
	}
	if len(curves[1]) != 5 {
		t.Fatalf("%d records of 50 steps, want 5", len(curves[1]))
	}
	for _, size := range []int{2, 4} {
		for i, want := range curves[1] {
			if got := curves[size][i]; math.Abs(got-want) > 1e-4*want {
				t.Errorf("%d ranks: steps %d to %d have loss %v, want %v", size, 10*i+1, 10*i+10, got, want)
			}
		}
	}
}

// SIGTERM to one rank: all finish the same step, it is saved once, and going on ends with the same bits.
func TestNodes_stopTogetherAndEndWithTheSameBits(t *testing.T) {
	data := tinyData(t)
	whole, _ := directory(t)
	_, errs := nodes{t: t, spec: tinyJob(t), data: data, store: whole, size: 2}.run()
	allDone(t, errs)
	for rank := range 2 {
		for step := int64(1); step < lastStep; step += 2 {
			t.Run(fmt.Sprintf("rank %d after step %d", rank, step), func(t *testing.T) {
				store, _ := directory(t)
				_, errs := nodes{t: t, spec: tinyJob(t), data: data, store: store, size: 2, stopRank: rank, stopStep: step}.run()
				for rank, err := range errs {
					if !errors.Is(err, ErrInterrupted) {
						t.Fatalf("rank %d ends with %v, want to be interrupted", rank, err)
					}
				}
				_, errs = nodes{t: t, spec: tinyJob(t), data: data, store: store, size: 2}.run()
				allDone(t, errs)
				sameBits(t, final(t, store), final(t, whole))
			})
		}
	}
}

// A checkpoint of two ranks is gone on from by one, and that one's by four.
func TestNodes_goOnFromACheckpointOfAnotherNumber(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	whole, _ := directory(t)
	_, errs := nodes{t: t, spec: spec, data: data, store: whole, size: 1}.run()
	allDone(t, errs)
	store, _ := directory(t)
	for _, part := range []struct {
		size int
		stop int64
		note string
	}{{2, 2, ""}, {1, 4, "going on with 1 ranks from a checkpoint of 2"}, {4, 0, "going on with 4 ranks from a checkpoint of 1"}} {
		notes, errs := nodes{t: t, spec: spec, data: data, store: store, size: part.size, stopStep: part.stop}.run()
		for rank, err := range errs {
			if part.stop > 0 && !errors.Is(err, ErrInterrupted) || part.stop == 0 && err != nil {
				t.Fatalf("%d ranks: rank %d ends with %v", part.size, rank, err)
			}
		}
		if said := strings.Join(notes[0], "\n"); !strings.Contains(said, part.note) {
			t.Errorf("%d ranks: nobody says %q: %s", part.size, part.note, said)
		}
	}
	near(t, final(t, store), final(t, whole))
}

// lossCurve reads the losses of a run's journal.
func lossCurve(t *testing.T, store objectstore.Store) []float64 {
	t.Helper()
	raw, err := readAll(t.Context(), store, trainerprogress.JournalKey)
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for line := range strings.Lines(string(raw)) {
		var r trainerprogress.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Loss != nil {
			out = append(out, *r.Loss)
		}
	}
	return out
}

// together runs something at every rank of a group.
func together(t *testing.T, size int, do func(group collective.Group) error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, errs := l.Addr().String(), make(chan error)
	l.Close()
	for rank := range size {
		go func() {
			world := collective.World{Job: "tiny", Rank: rank, Size: size, Rendezvous: address, Listen: address}
			group, err := collective.Join(t.Context(), world, collective.Timing{}, func(string) {})
			if err == nil {
				err = do(group)
				_ = group.Close(err)
			}
			errs <- err
		}()
	}
	for range size {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// prepared is a rank that is ready to train.
func prepared(t *testing.T, data [2]*dataset.Dataset, group collective.Group) (*run, error) {
	store, err := objectstore.OpenDir(t.TempDir())
	if err != nil {
		return nil, err
	}
	o := &observer{show: func(progress.Report) {}}
	return prepare(t.Context(), Options{
		Spec: tinyJob(t), Train: data[0], Test: data[1], Device: reference.New(), Store: store, Now: time.Now, Group: group,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{}), Tracker: trainerprogress.NewTracker(time.Now, o),
	})
}

// A loss that is no number at one rank stops all of them at the same step, with the weights of the step before.
func TestNodes_stopAtALossThatIsNoNumber(t *testing.T) {
	data := tinyData(t)
	together(t, 2, func(group collective.Group) error {
		r, err := prepared(t, data, group)
		if err != nil {
			return err
		}
		if err := r.trainer.Step(group.Context()); err != nil {
			return err
		}
		before, err := r.trainer.fingerprint()
		if err != nil {
			return err
		}
		if group.Rank() == 1 {
			for i := range r.trainer.carry.halted {
				r.trainer.carry.halted[i] = false
			}
			zH := r.trainer.arrays["zH"]
			poison := slices.Repeat([]float32{float32(math.NaN())}, zH.Len())
			if err := device.WriteFloats(zH, 0, poison); err != nil {
				return err
			}
		}
		var diverged *NotFiniteError
		if err := r.trainer.Step(group.Context()); !errors.As(err, &diverged) || diverged.Step != 2 {
			return fmt.Errorf("rank %d: want the loss of step 2 to be no number: %w", group.Rank(), err)
		}
		after, err := r.trainer.fingerprint()
		if err == nil && !slices.Equal(before, after) {
			err = fmt.Errorf("rank %d: the weights were changed", group.Rank())
		}
		return err
	})
}

// Weights that differ between ranks are nobody's model: they are not saved.
func TestNodes_doNotSaveWeightsThatDiffer(t *testing.T) {
	data := tinyData(t)
	together(t, 2, func(group collective.Group) error {
		r, err := prepared(t, data, group)
		if err != nil {
			return err
		}
		if group.Rank() == 1 {
			if err := device.WriteFloats(r.network.parameters["lm_head.weight"], 3, []float32{1}); err != nil {
				return err
			}
		}
		if err := r.trainer.replicas(group.Context()); err == nil || !strings.Contains(err.Error(), "ranks 1 differ") {
			return fmt.Errorf("rank %d: want to be told that rank 1 differs: %w", group.Rank(), err)
		}
		return nil
	})
}

// slow is an archive whose last save takes a while.
type slow struct {
	Checkpoints
	wait func()
	done *atomic.Bool
}

func (s slow) Save(ctx context.Context, state State, best bool) (progress.Checkpoint, error) {
	if state.Step == lastStep {
		s.wait()
		defer s.done.Store(true)
	}
	return s.Checkpoints.Save(ctx, state, best)
}

// No rank ends before the last checkpoint is whole: if rank 0 were lost then, the rest could not come back to help.
func TestNodes_endOnlyWhenTheLastCheckpointIsSaved(t *testing.T) {
	store, _ := directory(t)
	var saved atomic.Bool
	waiting := make(chan struct{})
	once := sync.OnceFunc(func() { close(waiting) })
	_, errs := nodes{t: t, spec: tinyJob(t), data: tinyData(t), store: store, size: 2,
		checkpoints: func(c Checkpoints) Checkpoints {
			return slow{c, func() { <-waiting; time.Sleep(200 * time.Millisecond) }, &saved}
		},
		shown: func(rank int, r progress.Report) {
			if rank == 1 && r.Phase == progress.Saving {
				once()
			}
		},
		ended: func(rank int) {
			if !saved.Load() {
				t.Errorf("rank %d ends before the last checkpoint is saved", rank)
			}
		},
	}.run()
	allDone(t, errs)
}

// The end of a run is known by its recipe: with more steps to make there is something left to train.
func TestFindFinished(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	store, _ := directory(t)
	look := func(what string, want bool) {
		t.Helper()
		end, err := FindFinished(t.Context(), store, spec)
		if err != nil || (end != nil) != want {
			t.Errorf("%s: got %v, %v, want an end: %v", what, end, err, want)
		}
	}
	look("nothing", false)
	if _, err := trainUntil(t, store, data, 3); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	look("half of it", false)
	if _, err := trainUntil(t, store, data, 0); err != nil {
		t.Fatal(err)
	}
	look("all of it", true)
	spec.Training.Steps = new(int64(lastStep + 1))
	look("a step more", false)
}
