package loop

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device/open"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// sequenceTask is something to be learned of random sequences, of the kind for which an architecture was made.
type sequenceTask struct {
	tokens, vocabulary int
	// draw fills a sequence. Labels are ignored before it; it sets those that count.
	draw func(random *rand.Rand, inputs, labels []int32)
}

// drawn is a source of ever new sequences of a task.
type drawn struct {
	sequenceTask
	random *rand.Rand
	batch  Batch
}

func newDrawn(task sequenceTask, rows int, seed uint64) *drawn {
	return &drawn{task, rand.New(rand.NewPCG(seed, 0)), newBatch(rows, task.tokens)}
}

func (d *drawn) Next() Batch {
	for i := range d.batch.Labels {
		d.batch.Labels[i] = dataset.IgnoreLabel
	}
	for at := 0; at < len(d.batch.Inputs); at += d.tokens {
		d.draw(d.random, d.batch.Inputs[at:at+d.tokens], d.batch.Labels[at:at+d.tokens])
	}
	return d.batch
}

func (*drawn) Position() ([]byte, error) { return nil, nil }
func (*drawn) Seek([]byte) error         { return nil }

// learned is what has become of a model that was trained on a task.
type learned struct {
	// accuracy is the share of right answers on sequences that it has not seen.
	accuracy float64
	// parameters are how many numbers were trained.
	parameters int
}

// learn trains a model, as a job describes it, on a task in single segments, and tests it on fresh sequences.
func learn(t *testing.T, task sequenceTask, description string, steps int) learned {
	t.Helper()
	const rows, tests = 32, 8
	job, err := v1alpha1.Load(strings.NewReader(`
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: predecessor}
spec:
  model: {numHeads: 2, loss: Softmax, puzzleEmbeddingSize: 0, act: {maxSteps: 1}, ` + description + `}
  dataset: {task: Sudoku, source: {uri: none}}
  training: {warmupSteps: 50, learningRate: "2e-3", minLearningRateRatio: "0.1", weightDecay: "0.1", precision: Float32}
  storage: {bucket: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Validate(); err != nil {
		t.Fatal(err)
	}
	spec := &job.Spec
	spec.Training.GlobalBatchSize = rows
	d, _, err := open.Open("cpu", open.Options{Threads: 2})
	if err != nil {
		needs.Missing(t, err)
	}
	m, err := model.Build(spec.Model, model.Shape{SeqLen: task.tokens, VocabSize: task.vocabulary}, v1alpha1.PrecisionFloat32, rows)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(d, m, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(n.Close(), d.Close()) })
	h, err := HyperparametersOf(spec, int64(steps))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Initialize(1); err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(n, newDrawn(task, rows, 1), task.tokens, h)
	if err != nil {
		t.Fatal(err)
	}
	for range steps {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(trainer.Settle(), trainer.Close()); err != nil {
		t.Fatal(err)
	}
	result := learned{}
	for _, p := range m.Parameters {
		if p.Trainable {
			result.parameters += p.Elements()
		}
	}
	e, err := NewEvaluator(n, rows, task.tokens, 1)
	if err != nil {
		t.Fatal(err)
	}
	right, all := 0, 0
	fresh := newDrawn(task, rows, 2)
	for range tests {
		predictions, err := e.Predict(t.Context(), fresh.Next(), rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range predictions {
			for i, label := range p.Labels {
				if label == dataset.IgnoreLabel {
					continue
				}
				all++
				if p.Answer[i] == label {
					right++
				}
			}
		}
	}
	result.accuracy = float64(right) / float64(all)
	return result
}

// The letters of the tasks below are tokens from 0 on.
const letters = 8

// recall shows one of eight letters at one of the first positions, others before and after it that mean nothing, and asks for it at the
// last position.
func recall(tokens, first int) sequenceTask {
	return sequenceTask{tokens, 2 * letters, func(random *rand.Rand, inputs, labels []int32) {
		for i := range inputs {
			inputs[i] = letters + random.Int32N(letters)
		}
		letter := random.Int32N(letters)
		inputs[random.IntN(first)], labels[tokens-1] = letter, letter
	}}
}

// words are of different lengths, a space behind each, at which the first letter of the word before it is asked for.
func words(tokens, shortest, longest int) sequenceTask {
	const space = letters
	return sequenceTask{tokens, letters + 1, func(random *rand.Rand, inputs, labels []int32) {
		first := int32(dataset.IgnoreLabel)
		for i := 0; i < tokens; i++ {
			length := shortest + random.IntN(longest-shortest+1)
			for k := range min(length, tokens-i) {
				inputs[i+k] = random.Int32N(letters)
			}
			before := first
			first = inputs[i]
			if i += length; i < tokens {
				inputs[i], labels[i] = space, before
			}
		}
	}}
}

// history is a letter, a stretch of tokens each of which follows from the one before, and the question which letter it was.
func history(stretch int) sequenceTask {
	const question, first, steps = letters, letters + 1, 6
	return sequenceTask{stretch + 2, first + steps, func(random *rand.Rand, inputs, labels []int32) {
		letter := random.Int32N(letters)
		for i := range stretch {
			inputs[1+i] = int32(first + i%steps)
		}
		inputs[0], inputs[stretch+1], labels[stretch+1] = letter, question, letter
	}}
}

// retrieval is pairs of a key and a value, which are letters, and the question which value one of the keys had.
func retrieval(pairs int) sequenceTask {
	const question = 2 * letters
	return sequenceTask{2*pairs + 2, question + 1, func(random *rand.Rand, inputs, labels []int32) {
		for i, key := range random.Perm(letters)[:pairs] {
			inputs[2*i], inputs[2*i+1] = int32(key), letters+random.Int32N(letters)
		}
		asked := 2 * random.IntN(pairs)
		inputs[2*pairs], inputs[2*pairs+1], labels[2*pairs+1] = question, inputs[asked], inputs[asked+1]
	}}
}

// hops is a cycle through all positions, each of which says which one is next. Half of them ask for the one two positions on, which a
// layer of attention finds; the others for the one four positions on, which takes two layers, one after the other.
func hops(positions int) sequenceTask {
	return sequenceTask{positions, 2 * positions, func(random *rand.Rand, inputs, labels []int32) {
		cycle, distant := random.Perm(positions), random.Perm(positions)[:positions/2]
		next := func(place, n int) int32 { return int32(cycle[(place+n)%positions]) }
		for place, i := range cycle {
			inputs[i], labels[i] = next(place, 1), next(place, 2)
		}
		for _, place := range distant {
			i := cycle[place]
			inputs[i], labels[i] = inputs[i]+int32(positions), next(place, 4)
		}
	}}
}

func TestElmanRNN_learnsWhatIsNear(t *testing.T) {
	if got := learn(t, recall(10, 1), "architecture: ElmanRNN, hiddenSize: 80", 600); got.accuracy < 0.95 {
		t.Errorf("it is right of %.3f", got.accuracy)
	}
}

// Each network learns what it was made for better than the plain recurrent network does with more parameters, by the same steps.
func TestPredecessors_learnWhatThePlainNetworkDoesNot(t *testing.T) {
	const plain = "architecture: ElmanRNN, hiddenSize: 80"
	for _, c := range []struct {
		name, description string
		task              sequenceTask
		steps             int
		// least is the accuracy that it has to reach, margin by how much more than that of the plain network.
		least, margin float64
	}{
		{"a clockwork network remembers what has long been", "architecture: ClockworkRNN, hiddenSize: 72, levels: 6", recall(60, 1), 600, 0.95, 0.5},
		{"a hierarchical network finds and remembers what has long been", "architecture: HierarchicalRNN, hiddenSize: 80, levels: 5", recall(60, 4), 1500, 0.8, 0.5},
		{"a multiscale network finds where words begin and end", "architecture: MultiscaleRNN, hiddenSize: 32, levels: 2", words(50, 4, 8), 1500, 0.8, 0.5},
		{"a history compressor remembers what was before a predictable stretch", "architecture: NeuralHistoryCompressor, hiddenSize: 40", history(50), 1000, 0.95, 0.5},
		{"fast weights find the value of a key", "architecture: FastWeights, hiddenSize: 64", retrieval(3), 5000, 0.95, 0.4},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, other := learn(t, c.task, c.description, c.steps), learn(t, c.task, plain, c.steps)
			t.Logf("%s: %.3f with %d parameters, ElmanRNN: %.3f with %d", c.description, got.accuracy, got.parameters, other.accuracy, other.parameters)
			if got.parameters > other.parameters {
				t.Fatalf("it has %d parameters, ElmanRNN %d: no fair comparison", got.parameters, other.parameters)
			}
			if got.accuracy < c.least || got.accuracy < other.accuracy+c.margin {
				t.Errorf("it is right of %.3f, ElmanRNN of %.3f", got.accuracy, other.accuracy)
			}
		})
	}
}

// A mixture of recursions goes on where the block that is its own, applied once, does not suffice: at half of the positions.
func TestMixtureOfRecursions_learnsWhatTakesDepth(t *testing.T) {
	const block = "architecture: MixtureOfRecursions, layers: 1, hiddenSize: 32, expansion: 1, positionEncoding: Learned, recursions: "
	got, once := learn(t, hops(8), block+"3", 5000), learn(t, hops(8), block+"1", 5000)
	t.Logf("three recursions: %.3f, one: %.3f", got.accuracy, once.accuracy)
	if got.accuracy < 0.95 || got.accuracy < once.accuracy+0.25 {
		t.Errorf("it is right of %.3f, the block applied once of %.3f", got.accuracy, once.accuracy)
	}
}
