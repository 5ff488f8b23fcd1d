package v1alpha1_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	controlplane "github.com/hrm-operator/hrm-operator/internal/testing/apiserver"
)

// apiserver starts etcd and an apiserver with the CRD.
func apiserver(t *testing.T) client.Client {
	t.Helper()
	env, err := controlplane.Start(controlplane.CRDs())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const minimal = `apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {generateName: job-, namespace: default}
spec:
  dataset: {task: Sudoku, source: {uri: s3://puzzles/all.csv}}
  storage: {bucket: hrm}
`

// job returns the minimal job with fields of the spec set: "model.numHeads=7". The values are YAML.
func job(t *testing.T, set ...string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(minimal), &u.Object); err != nil {
		t.Fatal(err)
	}
	for _, s := range set {
		path, value, _ := strings.Cut(s, "=")
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		if f, ok := v.(float64); ok {
			v = int64(f)
		}
		if err := unstructured.SetNestedField(u.Object, v, append([]string{"spec"}, strings.Split(path, ".")...)...); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// contradictions are objects that cannot be trained, and what must be said of each.
var contradictions = []struct {
	set  string
	want string
}{
	{"model.numHeads=7", "must divide model.hiddenSize"},
	{"model.numHeads=0", "spec.model.numHeads"},
	{"model.numHeads=512", "spec.model.numHeads"},
	{"model.hiddenSize=4", "spec.model.hiddenSize"},
	{"model.hiddenSize=99999", "spec.model.hiddenSize"},
	{"model.hiddenSize=24", "RoPE needs an even hiddenSize/numHeads"},
	{"model.architecture=GPT", "spec.model.architecture"},
	{"model.positionEncoding=ALiBi", "spec.model.positionEncoding"},
	{"model.loss=MSE", "spec.model.loss"},
	{"model.expansion=0", "spec.model.expansion"},
	{"model.hLayers=0", "spec.model.hLayers"},
	{"model.lLayers=65", "spec.model.lLayers"},
	{"model.hCycles=-1", "spec.model.hCycles"},
	{"model.lCycles=0", "spec.model.lCycles"},
	{"model.puzzleEmbeddingSize=-1", "spec.model.puzzleEmbeddingSize"},
	{"model.puzzleEmbeddingSize=50000", "at most 64 times model.hiddenSize"},
	{"model.act.maxSteps=0", "spec.model.act.maxSteps"},
	{"model.act.explorationProbability='1.5'", "a probability: at most 1"},
	{"model.act.halting=Never", "spec.model.act.halting"},
	{"model.act.explorationProbability=often", "spec.model.act.explorationProbability"},
	{"model.layers=4", "model.layers is not for architecture HRM"},
	{"model.architecture=TRM;model.layers=129", "spec.model.layers"},
	{"model.architecture=TRM;model.hLayers=2", "model.hLayers is only for architecture HRM"},
	{"model.architecture=Transformer;model.lLayers=2", "model.lLayers is only for architecture HRM"},
	{"model.levels=1;model.lLayers=2", "model.lLayers is only for architecture HRM with two levels"},
	{"model.levels=3", "spec.model.levels"},
	{"model.architecture=TRM;model.levels=1", "model.levels is only for architectures HRM, ClockworkRNN"},
	{"model.architecture=ElmanRNN;model.levels=2", "model.levels is only for architectures HRM, ClockworkRNN"},
	{"model.architecture=HRM;model.levels=4", "model.levels of architecture HRM are 1 or 2"},
	{"model.architecture=MultiscaleRNN;model.levels=1", "model.levels must be at least 2"},
	{"model.architecture=ClockworkRNN;model.levels=17", "spec.model.levels"},
	{"model.architecture=ClockworkRNN;model.levels=3", "must divide model.hiddenSize"},
	{"model.architecture=HierarchicalRNN;model.hiddenSize=18;model.numHeads=1", "must divide model.hiddenSize"},
	{"model.architecture=MultiscaleRNN;model.period=2", "model.period is only for architectures ClockworkRNN and HierarchicalRNN"},
	{"model.period=2", "model.period is only for architectures ClockworkRNN and HierarchicalRNN"},
	{"model.architecture=ClockworkRNN;model.period=1", "spec.model.period"},
	{"model.architecture=ElmanRNN;model.layers=2", "model.layers is not for architectures that are recurrent over positions"},
	{"model.architecture=ClockworkRNN;model.mixing=MLP", "model.mixing is not for architectures that are recurrent over positions"},
	{"model.architecture=Transformer;model.hCycles=2", "model.hCycles is only for architectures HRM and TRM"},
	{"model.architecture=UniversalTransformer;model.lCycles=2", "model.lCycles is only for architectures HRM and TRM"},
	{"model.levels=1;model.lCycles=2", "model.lCycles is only for"},
	{"model.sharing=All", "model.sharing is only for architecture UniversalTransformer"},
	{"model.architecture=UniversalTransformer;model.sharing=Some", "spec.model.sharing"},
	{"model.architecture=Transformer;model.gradient=Full", "model.gradient is only for architectures HRM and TRM"},
	{"model.gradient=Half", "spec.model.gradient"},
	{"model.gradient=Steps", "need each other"},
	{"model.gradient=Full;model.gradientSteps=3", "need each other"},
	{"model.gradientSteps=3", "need each other"},
	{"model.gradient=Steps;model.gradientSteps=1", "at least 2"},
	{"model.combination=Max", "spec.model.combination"},
	{"model.mixing=Convolution", "spec.model.mixing"},
	{"model.architecture=NeuralHistoryCompressor;model.layers=2", "model.layers is not for architectures that are recurrent over positions"},
	{"model.architecture=FastWeights;model.mixing=MLP", "model.mixing is not for architectures that are recurrent over positions"},
	{"model.recursions=2", "model.recursions is only for architecture MixtureOfRecursions"},
	{"model.architecture=MixtureOfRecursions;model.recursions=65", "spec.model.recursions"},
	{"model.architecture=NeuralHistoryCompressor;model.innerSteps=2", "model.innerSteps is only for architecture FastWeights"},
	{"model.architecture=FastWeights;model.innerSteps=17", "spec.model.innerSteps"},
	{"model.fastDecay='0.9'", "model.fastDecay is only for architecture FastWeights"},
	{"model.architecture=FastWeights;model.fastDecay='1.1'", "model.fastDecay must be at most 1"},
	{"model.architecture=TRM;model.fastRate='0.5'", "model.fastRate is only for architecture FastWeights"},
	{"model.architecture=FastWeights;model.fastRate='11'", "model.fastRate must be at most 10"},
	{"model.architecture=FastWeights;model.fastRate=slow", "spec.model.fastRate"},
	{"model.puzzleEmbeddingPositions=65", "spec.model.puzzleEmbeddingPositions"},
	{"model.puzzleEmbeddingPositions=1;model.puzzleEmbeddingSize=1024", "must have room for model.puzzleEmbeddingSize"},
	{"model.puzzleEmbeddingPositions=1;model.puzzleEmbeddingSize=0", "must be above 0"},
	{"training.emaDecay='1'", "must be below 1"},
	{"training.emaDecay=slow", "spec.training.emaDecay"},
	{"dataset.task=Chess", "spec.dataset.task"},
	{"dataset.source.uri=''", "spec.dataset.source.uri"},
	{"dataset.testFraction='1'", "must be below 1"},
	{"dataset.subsample=0", "spec.dataset.subsample"},
	{"dataset.augmentations=-1", "spec.dataset.augmentations"},
	{"dataset.maxBlanks=19", "spec.dataset.maxBlanks"},
	{"dataset.seed=-1", "spec.dataset.seed"},
	{"training.globalBatchSize=0", "spec.training.globalBatchSize"},
	{"training.epochs=0", "spec.training.epochs"},
	{"training.steps=0", "spec.training.steps"},
	{"training.learningRate='0'", "above 0 and at most 1"},
	{"training.learningRate='-1e-4'", "spec.training.learningRate"},
	{"training.learningRate=fast", "spec.training.learningRate"},
	{"training.minLearningRateRatio='2'", "at most 1"},
	{"training.beta1='1.0'", "must be below 1"},
	{"training.warmupSteps=-5", "spec.training.warmupSteps"},
	{"training.precision=Float8", "spec.training.precision"},
	{"training.embedding.weightDecay=x", "spec.training.embedding.weightDecay"},
	{"evaluation.maxExamples=0", "spec.evaluation.maxExamples"},
	{"storage.bucket=X", "spec.storage.bucket"},
	{"storage.prefix=../other", "names a folder of the bucket"},
	{"storage.prefix=a/../../b", "names a folder of the bucket"},
	{"storage.prefix=/a", "names a folder of the bucket"},
	{"storage.prefix=a//b", "names a folder of the bucket"},
	{"storage.endpoint=s3.example.org", "spec.storage.endpoint"},
	{"checkpoint.keepLast=0", "spec.checkpoint.keepLast"},
	{"checkpoint.everySeconds=0", "spec.checkpoint.everySeconds"},
	{"nodes=0", "spec.nodes"},
	{"nodes=5", "must be a multiple of nodes"},
	{"maxRestarts=-1", "spec.maxRestarts"},
	{"activeDeadlineSeconds=0", "spec.activeDeadlineSeconds"},
	{"terminationGracePeriodSeconds=1", "spec.terminationGracePeriodSeconds"},
	{"training.steps=5;training.epochs=5", "exclude each other"},
	{"evaluation.everySteps=5;evaluation.everyEpochs=5", "exclude each other"},
	{"dataset.task=Maze;dataset.maxBlanks=30", "only for task Sudoku"},
	{"dataset.task=ARC;dataset.minRating=3", "only for task Sudoku"},
	{"dataset.task=ARC;dataset.maxRating=3", "only for task Sudoku"},
	{"dataset.task=Maze;dataset.recipe=SudokuHard", "only for task Sudoku"},
	{"dataset.recipe=SudokuEasy", "spec.dataset.recipe"},
	{"dataset.minRating=9;dataset.maxRating=3", "no puzzle is left"},
	{"dataset.maze={}", "only for task Maze"},
	{"dataset.task=Maze;dataset.maze={}", "exclude each other"},
	{"dataset={task: Maze}", "dataset.source is missing"},
	{"dataset={task: ARC, source: {additionalURIs: [s3://puzzles/more]}}", "dataset.source is missing"},
	{"dataset={task: Maze, maze: {size: 4}}", "spec.dataset.maze.size"},
	{"dataset={task: Maze, maze: {count: 1}}", "spec.dataset.maze.count"},
	{"dataset.source.additionalURIs=[s3://puzzles/more]", "only for task ARC"},
	{"evaluation.metric=Loss", "spec.evaluation.metric"},
	{"evaluation.segments=1025", "spec.evaluation.segments"},
	{"evaluation.patience=0", "spec.evaluation.patience"},
	{"analysis={trajectories: -1}", "spec.analysis.trajectories"},
	{"analysis={segments: 1025}", "spec.analysis.segments"},
	{"analysis={attention: [M1]}", "spec.analysis.attention"},
	{"analysis={attention: [H0]}", "spec.analysis.attention"},
	{"analysis={attention: [H1, H1]}", "Duplicate value"},
	{"analysis={attention: [H1, H2, H3, H4, L1, L2, L3, L4, L5]}", "at most 8"},
	{"analysis={timeoutSeconds: -1}", "spec.analysis.timeoutSeconds"},
	{"analysis={timeoutSeconds: 86401}", "spec.analysis.timeoutSeconds"},
	{"analysis={timeoutSeconds: 1800}", "must be below progressDeadlineSeconds"},
	{"analysis={};progressDeadlineSeconds=60", "must be below progressDeadlineSeconds"},
	{"model.mixing=MLP;analysis={attention: [H1]}", "needs layers with attention of their own"},
	{"model.architecture=UniversalTransformer;analysis={attention: [H1]}", "needs layers with attention of their own"},
	{"model.architecture=MixtureOfRecursions;analysis={attention: [H1]}", "needs layers with attention of their own"},
	{"model.architecture=FastWeights;analysis={attention: [H1]}", "needs layers with attention of their own"},
	{"dataset.maze.size=10", "only for task Maze"},
	{"dataset.task=Maze;dataset.maze.size=10", "exclude each other"},
	{"dataset.task=Maze;dataset.maze.size=65", "spec.dataset.maze.size"},
	{"dataset.task=Maze;dataset.maze.minPathLength=5000", "spec.dataset.maze.minPathLength"},
	{"dataset.task=Maze;dataset.maze.count=1", "spec.dataset.maze.count"},
	{"template.datasetCache={hostPath: /var/cache/hrm, claimName: datasets}", "takes either hostPath or claimName"},
	{"template.datasetCache={sizeLimit: 10Gi}", "takes either hostPath or claimName"},
	{"template.datasetCache={hostPath: var/cache}", "template.datasetCache.hostPath"},
	{"template.datasetCache={hostPath: /}", "template.datasetCache.hostPath"},
	{"template.datasetCache={hostPath: /var/../etc}", "must not go up by .."},
	{"template.datasetCache={claimName: datasets, sizeLimit: '0'}", "must be above 0, as in 50Gi"},
	{"template.datasetCache={claimName: datasets, sizeLimit: 0}", "must be above 0, as in 50Gi"},
	{"template.datasetCache={claimName: datasets, sizeLimit: large}", "sizeLimit"},
	{"template.runtimeClassName=NVIDIA", "spec.template.runtimeClassName"},
	{"template.runtimeClassName=-nvidia", "spec.template.runtimeClassName"},
	{"template.resources={limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 2}}", "must be the same as"},
	{"template.resources={limits: {nvidia.com/gpu: '1'}, requests: {nvidia.com/gpu: 0}}", "must be the same as"},
}

func TestTheApiserverRefusesContradictions(t *testing.T) {
	c := apiserver(t)
	for _, x := range contradictions {
		t.Run(x.set, func(t *testing.T) {
			err := c.Create(t.Context(), job(t, strings.Split(x.set, ";")...))
			if err == nil {
				t.Fatal("the apiserver takes it")
			}
			if !strings.Contains(err.Error(), x.want) {
				t.Errorf("message does not say %q: %v", x.want, err)
			}
		})
	}
	t.Run("what is fixed cannot be changed", func(t *testing.T) { refusesChanges(t, c) })
	t.Run("defaults are the same as in Go", func(t *testing.T) { sameDefaults(t, c) })
	t.Run("a dataset cache is taken", func(t *testing.T) { takesDatasetCaches(t, c) })
	t.Run("GPUs are taken", func(t *testing.T) { takesDevices(t, c) })
	t.Run("samples are taken", func(t *testing.T) { takesSamples(t, c) })
}

func refusesChanges(t *testing.T, c client.Client) {
	u := job(t)
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"model.hLayers=2":          "model cannot be changed",
		"dataset.subsample=7":      "dataset cannot be changed",
		"training.seed=7":          "training cannot be changed",
		"storage.prefix=elsewhere": "storage cannot be changed",
		"nodes=2":                  "while the job is suspended",
	} {
		changed := u.DeepCopy()
		path, value, _ := strings.Cut(set, "=")
		var v any = value
		var n int64
		if json.Unmarshal([]byte(value), &n) == nil {
			v = n
		}
		if err := unstructured.SetNestedField(changed.Object, v, append([]string{"spec"}, strings.Split(path, ".")...)...); err != nil {
			t.Fatal(err)
		}
		if err := c.Update(t.Context(), changed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want a message with %q, got %v", set, want, err)
		}
	}
	if err := unstructured.SetNestedField(u.Object, true, "spec", "suspend"); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(u.Object, int64(2), "spec", "nodes"); err != nil {
		t.Fatal(err)
	}
	if err := c.Update(t.Context(), u); err != nil {
		t.Errorf("nodes cannot be changed while suspended: %v", err)
	}
}

// sameDefaults holds the schema's defaults and those of a job that is read from a file together. What depends on the
// architecture the schema leaves open, and the pods fill in.
func sameDefaults(t *testing.T, c client.Client) {
	for _, architecture := range []string{"HRM", "TRM", "Transformer", "UniversalTransformer", "ElmanRNN", "ClockworkRNN", "HierarchicalRNN", "MultiscaleRNN",
		"MixtureOfRecursions", "NeuralHistoryCompressor", "FastWeights"} {
		u := job(t, "model.architecture="+architecture, "analysis={}")
		raw, err := json.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		onCluster := &v1alpha1.HRMTrainingJob{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(u), onCluster); err != nil {
			t.Fatal(err)
		}
		onCluster.Default()
		local, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if err := local.Validate(); err != nil {
			t.Errorf("the defaults of %s: %v", architecture, err)
		}
		want, _ := json.Marshal(onCluster.Spec)
		got, _ := json.Marshal(local.Spec)
		if string(got) != string(want) {
			t.Errorf("%s: Default gives\n%s\nthe schema gives\n%s", architecture, got, want)
		}
	}
}

func takesDatasetCaches(t *testing.T, c client.Client) {
	for set, want := range map[string]string{
		"template.datasetCache={hostPath: /var/cache/hrm}":              "50Gi",
		"template.datasetCache={claimName: datasets, sizeLimit: 1.5Ti}": "1536Gi",
		"template.datasetCache={claimName: datasets, sizeLimit: 9000}":  "9k",
	} {
		u := job(t, set)
		if err := c.Create(t.Context(), u); err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		onCluster := &v1alpha1.HRMTrainingJob{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(u), onCluster); err != nil {
			t.Fatal(err)
		}
		if got := onCluster.Spec.Template.DatasetCache.SizeLimit; got == nil || got.Cmp(resource.MustParse(want)) != 0 {
			t.Errorf("%s: size limit %v, want %s", set, got, want)
		}
		raw, err := json.Marshal(job(t, set).Object)
		if err != nil {
			t.Fatal(err)
		}
		local, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil || local.Validate() != nil || local.Spec.Template.DatasetCache.SizeLimit.Cmp(resource.MustParse(want)) != 0 {
			t.Errorf("%s: from a file it is %+v, %v", set, local, err)
		}
	}
}

func takesDevices(t *testing.T, c client.Client) {
	for _, template := range []string{
		"{runtimeClassName: nvidia, resources: {limits: {nvidia.com/gpu: 1}}}",
		"{resources: {limits: {nvidia.com/gpu: '1'}, requests: {nvidia.com/gpu: 1, cpu: 500m}}}",
		"{resources: {requests: {nvidia.com/gpu: 1}}}",
		"{resources: {limits: {nvidia.com/gpu: 8}}}",
		"{resources: {limits: {nvidia.com/gpu: 0}}}",
		"{resources: {limits: {nvidia.com/gpu.shared: 1}}}",
		"{resources: {limits: {nvidia.com/mig-1g.10gb: 1}}}",
		"{resources: {limits: {amd.com/gpu: 8, rdma/hca: 2}}}",
	} {
		u := job(t, "template="+template)
		if err := c.Create(t.Context(), u); err != nil {
			t.Errorf("%s: %v", template, err)
		}
		raw, err := json.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		local, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil || local.Validate() != nil {
			t.Errorf("%s: from a file it is %+v, %v", template, local, err)
		}
	}
}

func takesSamples(t *testing.T, c client.Client) {
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, sample := range samples {
		raw, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatalf("%s: %v", sample, err)
		}
		if err := loaded.Validate(); err != nil {
			t.Errorf("%s: %v", sample, err)
		}
		loaded.ObjectMeta = metav1.ObjectMeta{Name: loaded.Name, Namespace: "default"}
		if err := c.Create(t.Context(), loaded); err != nil {
			t.Errorf("%s: %v", sample, err)
		}
	}
}

// Validate must refuse on a laptop what the apiserver refuses on a cluster.
func TestValidateRefusesContradictions(t *testing.T) {
	for _, x := range contradictions {
		if strings.HasPrefix(x.want, "spec.storage") || strings.HasPrefix(x.want, "spec.maxRestarts") ||
			strings.HasPrefix(x.want, "spec.activeDeadline") || strings.HasPrefix(x.want, "spec.termination") {
			continue // of no consequence without a cluster
		}
		raw, err := json.Marshal(job(t, strings.Split(x.set, ";")...).Object)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err == nil {
			// Zero means "default" in Go: what the schema refuses there, a laptop fills in.
			if strings.HasSuffix(x.set, "=0") {
				continue
			}
			err = loaded.Validate()
		}
		if err == nil {
			t.Errorf("%s: Validate takes it", x.set)
		}
	}
}

// What a schema cannot say without every architecture's sizes, Validate does, on a laptop as in the operator.
func TestValidate_wantsLayersThatTheModelHas(t *testing.T) {
	for set, valid := range map[string]bool{
		"model.hLayers=2;analysis={attention: [H2, L4]}":                     true,
		"model.hLayers=2;analysis={attention: [H3]}":                         false,
		"model.levels=1;analysis={attention: [L1]}":                          false,
		"model.architecture=TRM;analysis={attention: [L2]}":                  true,
		"model.architecture=TRM;analysis={attention: [H1]}":                  false,
		"model.architecture=Transformer;analysis={attention: [H8]}":          true,
		"model.architecture=UniversalTransformer;analysis={attention: [H1]}": false,
	} {
		raw, err := json.Marshal(job(t, strings.Split(set, ";")...).Object)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		err = loaded.Validate()
		if valid && err != nil || !valid && (err == nil || !strings.Contains(err.Error(), "no layer with attention of this model")) {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	f.Add("apiVersion: hrm.dev/v1alpha1\nkind: HRMTrainingJob\nspec: {model: {hiddenSize: -1}}")
	f.Add("{")
	f.Fuzz(func(_ *testing.T, text string) {
		if loaded, err := v1alpha1.Load(strings.NewReader(text)); err == nil {
			_ = loaded.Validate()
		}
	})
}
