package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EvaluationMetric is a figure of an evaluation; more is better.
// +kubebuilder:validation:Enum=ExactAccuracy;TokenAccuracy;ValidAccuracy;PassAt1;PassAt2
type EvaluationMetric string

// The evaluation metrics.
const (
	// EvaluationMetricExactAccuracy is the share of examples with every labelled token right.
	EvaluationMetricExactAccuracy EvaluationMetric = "ExactAccuracy"
	// EvaluationMetricTokenAccuracy is the share of right tokens, averaged over examples.
	EvaluationMetricTokenAccuracy EvaluationMetric = "TokenAccuracy"
	// EvaluationMetricValidAccuracy is the share of answers that the task's rules accept: of mazes, valid and shortest paths.
	EvaluationMetricValidAccuracy EvaluationMetric = "ValidAccuracy"
	// EvaluationMetricPassAt1 is the ARC Prize's score with one answer for each test input.
	EvaluationMetricPassAt1 EvaluationMetric = "PassAt1"
	// EvaluationMetricPassAt2 is the ARC Prize's score with two answers for each test input.
	EvaluationMetricPassAt2 EvaluationMetric = "PassAt2"
)

// Precision is the number format of activations; parameters are always float32.
// +kubebuilder:validation:Enum=BFloat16;Float32
type Precision string

// The precisions.
const (
	PrecisionBFloat16 Precision = "BFloat16"
	PrecisionFloat32  Precision = "Float32"
)

// Decimal is a number in decimal or scientific notation, for example "1e-4".
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$`
type Decimal string

// The rules below look at has(…) first because the apiserver also tries them on the default {} of each section, before
// the fields' own defaults are filled in.

// HRMTrainingJobSpec says what to train, on what, with what.
// +kubebuilder:validation:XValidation:rule="self.training.globalBatchSize % self.nodes == 0",message="training.globalBatchSize must be a multiple of nodes: change one of them",fieldPath=".training.globalBatchSize"
// +kubebuilder:validation:XValidation:rule="self.model == oldSelf.model",message="model cannot be changed: create another job",fieldPath=".model"
// +kubebuilder:validation:XValidation:rule="self.dataset == oldSelf.dataset",message="dataset cannot be changed: create another job",fieldPath=".dataset"
// +kubebuilder:validation:XValidation:rule="self.training == oldSelf.training",message="training cannot be changed: create another job",fieldPath=".training"
// +kubebuilder:validation:XValidation:rule="self.storage == oldSelf.storage",message="storage cannot be changed: create another job",fieldPath=".storage"
// +kubebuilder:validation:XValidation:rule="self.nodes == oldSelf.nodes || self.suspend",message="nodes can only be changed while the job is suspended: set suspend to true first",fieldPath=".nodes"
// +kubebuilder:validation:XValidation:rule="self.template == oldSelf.template || self.suspend",message="template can only be changed while the job is suspended: set suspend to true first",fieldPath=".template"
// +kubebuilder:validation:XValidation:rule="!has(self.analysis) || !has(self.analysis.attention) || size(self.analysis.attention) == 0 || (!has(self.model.mixing) || self.model.mixing != 'MLP') && (!has(self.model.architecture) || self.model.architecture in ['HRM', 'TRM', 'Transformer'])",message="analysis.attention needs layers with attention of their own: remove it, or change model.mixing or model.architecture",fieldPath=".analysis.attention"
// +kubebuilder:validation:XValidation:rule="!has(self.analysis) || !has(self.analysis.timeoutSeconds) || !has(self.progressDeadlineSeconds) || self.analysis.timeoutSeconds < self.progressDeadlineSeconds",message="analysis.timeoutSeconds must be below progressDeadlineSeconds: lower one or raise the other",fieldPath=".analysis.timeoutSeconds"
type HRMTrainingJobSpec struct {
	// model is the network; the default is the published one of 27 million parameters.
	// +optional
	// +kubebuilder:default={}
	Model ModelSpec `json:"model,omitzero"`
	// dataset is what to learn.
	// +required
	Dataset DatasetSpec `json:"dataset,omitzero"`
	// training is the recipe; the default is the published one for Sudoku-Extreme.
	// +optional
	// +kubebuilder:default={}
	Training TrainingSpec `json:"training,omitzero"`
	// evaluation says when to measure on the held-out examples.
	// +optional
	// +kubebuilder:default={}
	Evaluation EvaluationSpec `json:"evaluation,omitzero"`
	// analysis of the trained model's states when training has ended; without it there is none.
	// +optional
	Analysis *AnalysisSpec `json:"analysis,omitempty"`
	// storage is the bucket that datasets and checkpoints go to.
	// +required
	Storage StorageSpec `json:"storage,omitzero"`
	// checkpoint says when to save and how much to keep.
	// +optional
	// +kubebuilder:default={}
	Checkpoint CheckpointSpec `json:"checkpoint,omitzero"`
	// nodes is the number of pods that train together.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Nodes int32 `json:"nodes,omitempty"`
	// image is the trainer's; the operator's defaults, one for GPUs and one for the processor, fit its own version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// template shapes the pods.
	// +optional
	// +kubebuilder:default={}
	Template PodTemplate `json:"template,omitzero"`
	// suspend stops the job, saved, and gives its resources back; setting it to false resumes.
	// +optional
	// +kubebuilder:default=false
	Suspend *bool `json:"suspend,omitempty"`
	// maxRestarts is how many failed attempts are tried again, and how many stalls in a row that no new step comes
	// between. Disruptions do not count.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MaxRestarts *int32 `json:"maxRestarts,omitempty"`
	// activeDeadlineSeconds ends the job as failed when it has been active for so long. As for a Kubernetes Job, time
	// suspended does not count, and resuming starts the clock anew.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// progressDeadlineSeconds restarts an attempt, from its last checkpoint, that got no further for so long.
	// +optional
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=30
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
	// ttlSecondsAfterFinished deletes the finished job after so long; checkpoints stay.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
	// terminationGracePeriodSeconds is the time a pod has to finish its step and save.
	// +optional
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=3600
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// TrainingSpec is the recipe.
// +kubebuilder:validation:XValidation:rule="!(has(self.epochs) && has(self.steps))",message="training.epochs and training.steps exclude each other: set one of them",fieldPath=".steps"
// +kubebuilder:validation:XValidation:rule="!has(self.minLearningRateRatio) || double(self.minLearningRateRatio) <= 1.0",message="training.minLearningRateRatio is a share of learningRate: at most 1",fieldPath=".minLearningRateRatio"
// +kubebuilder:validation:XValidation:rule="!has(self.beta1) || !has(self.beta2) || double(self.beta1) < 1.0 && double(self.beta2) < 1.0",message="training.beta1 and training.beta2 must be below 1",fieldPath=".beta1"
// +kubebuilder:validation:XValidation:rule="!has(self.emaDecay) || double(self.emaDecay) < 1.0",message="training.emaDecay must be below 1",fieldPath=".emaDecay"
// +kubebuilder:validation:XValidation:rule="!has(self.learningRate) || double(self.learningRate) > 0.0 && double(self.learningRate) <= 1.0",message="training.learningRate must be above 0 and at most 1",fieldPath=".learningRate"
type TrainingSpec struct {
	// globalBatchSize is the number of examples per step, over all nodes.
	// +optional
	// +kubebuilder:default=768
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	GlobalBatchSize int32 `json:"globalBatchSize,omitempty"`
	// epochs over the originals; 20000 if neither epochs nor steps is set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Epochs *int32 `json:"epochs,omitempty"`
	// steps of the optimizer, in place of epochs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Steps *int64 `json:"steps,omitempty"`
	// learningRate of AdamATan2 after warm-up.
	// +optional
	// +kubebuilder:default="1e-4"
	LearningRate Decimal `json:"learningRate,omitempty"`
	// minLearningRateRatio is where the cosine ends, as a share of learningRate; 1 keeps it constant.
	// +optional
	// +kubebuilder:default="1"
	MinLearningRateRatio Decimal `json:"minLearningRateRatio,omitempty"`
	// warmupSteps until the full learning rate.
	// +optional
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=0
	WarmupSteps *int32 `json:"warmupSteps,omitempty"`
	// weightDecay of all parameters, decoupled.
	// +optional
	// +kubebuilder:default="1.0"
	WeightDecay Decimal `json:"weightDecay,omitempty"`
	// beta1 is the decay of the gradient's moving average.
	// +optional
	// +kubebuilder:default="0.9"
	Beta1 Decimal `json:"beta1,omitempty"`
	// beta2 is the decay of the squared gradient's moving average.
	// +optional
	// +kubebuilder:default="0.95"
	Beta2 Decimal `json:"beta2,omitempty"`
	// emaDecay of the moving average of the weights, which is what is evaluated, kept in checkpoints and exported; puzzle
	// embeddings are not averaged. 0 averages nothing; the default is 0, with TRM 0.999.
	// +optional
	EMADecay Decimal `json:"emaDecay,omitempty"`
	// embedding is the recipe of the puzzle embeddings.
	// +optional
	// +kubebuilder:default={}
	Embedding EmbeddingTraining `json:"embedding,omitzero"`
	// seed of the initial weights, the order of examples and exploration.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Seed int64 `json:"seed,omitempty"`
	// precision of the activations.
	// +optional
	// +kubebuilder:default=BFloat16
	Precision Precision `json:"precision,omitempty"`
}

// EmbeddingTraining is the recipe of the puzzle embeddings: sparse SignSGD.
type EmbeddingTraining struct {
	// learningRate of the puzzle embeddings.
	// +optional
	// +kubebuilder:default="1e-4"
	LearningRate Decimal `json:"learningRate,omitempty"`
	// weightDecay of the puzzle embeddings.
	// +optional
	// +kubebuilder:default="1.0"
	WeightDecay Decimal `json:"weightDecay,omitempty"`
}

// EvaluationSpec says when to measure on the held-out examples. The end of training is always measured.
// +kubebuilder:validation:XValidation:rule="!(has(self.everyEpochs) && has(self.everySteps))",message="evaluation.everyEpochs and evaluation.everySteps exclude each other: set one of them",fieldPath=".everySteps"
type EvaluationSpec struct {
	// everyEpochs between two evaluations.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EveryEpochs *int32 `json:"everyEpochs,omitempty"`
	// everySteps between two evaluations, in place of everyEpochs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EverySteps *int64 `json:"everySteps,omitempty"`
	// maxExamples of the held-out set that are used.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	MaxExamples *int32 `json:"maxExamples,omitempty"`
	// segments for each example; the default is model.act.maxSteps. More of them than training has let a model think longer.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Segments *int32 `json:"segments,omitempty"`
	// metric decides which checkpoint is the best one, and when patience ends.
	// +optional
	// +kubebuilder:default=ExactAccuracy
	Metric EvaluationMetric `json:"metric,omitempty"`
	// patience ends training, as complete, after so many evaluations in a row without a better metric.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Patience *int32 `json:"patience,omitempty"`
}

// StorageSpec is an S3-compatible bucket.
// +kubebuilder:validation:XValidation:rule="!has(self.prefix) || !self.prefix.matches('^/|//|(^|/)[.][.]?(/|$)')",message="storage.prefix names a folder of the bucket: no part of it may be empty, . or ..",fieldPath=".prefix"
type StorageSpec struct {
	// endpoint of the S3 service, with its scheme; empty means AWS.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^/]+/?$`
	Endpoint string `json:"endpoint,omitempty"`
	// region of the bucket.
	// +optional
	// +kubebuilder:default=us-east-1
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Region string `json:"region,omitempty"`
	// bucket that exists already.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`
	Bucket string `json:"bucket,omitempty"`
	// prefix of all keys; the default is the job's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Prefix string `json:"prefix,omitempty"`
	// credentialsSecretRef names a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without it the pod's own
	// identity is used.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
	// caConfigMapRef names a ConfigMap whose ca.crt is trusted besides the system's authorities.
	// +optional
	CAConfigMapRef *LocalReference `json:"caConfigMapRef,omitempty"`
	// pathStyle puts the bucket into the path in place of the host name, as most self-hosted servers want it.
	// +optional
	// +kubebuilder:default=false
	PathStyle *bool `json:"pathStyle,omitempty"`
}

// LocalReference names an object in the job's namespace.
type LocalReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// CheckpointSpec says when to save. The end, SIGTERM and the best evaluation are always saved.
type CheckpointSpec struct {
	// everySteps between two checkpoints.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EverySteps *int64 `json:"everySteps,omitempty"`
	// everySeconds between two checkpoints.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	EverySeconds *int32 `json:"everySeconds,omitempty"`
	// keepLast is how many checkpoints are kept, besides the best one.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	KeepLast int32 `json:"keepLast,omitempty"`
}

// PodTemplate shapes the pods.
// +kubebuilder:validation:XValidation:rule="!has(self.resources) || !has(self.resources.limits) || !has(self.resources.requests) || !('nvidia.com/gpu' in self.resources.limits) || !('nvidia.com/gpu' in self.resources.requests) || quantity(string(self.resources.limits['nvidia.com/gpu'])).compareTo(quantity(string(self.resources.requests['nvidia.com/gpu']))) == 0",message="the request of nvidia.com/gpu must be the same as its limit: remove it",fieldPath=".resources.requests"
type PodTemplate struct {
	// resources of each pod. GPUs, such as nvidia.com/gpu: 1 or a MIG profile, go into limits: the pod then trains on what it is
	// given, and fails if it sees none. Without them it trains on the processor.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// nodeSelector of the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations of the pods. Taints of the devices that they ask for, such as nvidia.com/gpu, are tolerated without.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity of the pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// runtimeClassName of the pods: often nvidia, where the nodes' own runtime does not give containers their GPUs.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	RuntimeClassName string `json:"runtimeClassName,omitempty"`
	// priorityClassName of the pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// serviceAccountName of the pods, for a workload identity; the pods get no Kubernetes token.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// env adds variables to the trainer.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`
	// datasetCache keeps datasets for the pods of a node, or of a claim, so that not each of them downloads its own.
	// +optional
	DatasetCache *DatasetCache `json:"datasetCache,omitempty"`
}

// DatasetCache is a volume that datasets stay in when pods go. Pods run as user 65532, which must be able to write to it.
// +kubebuilder:validation:XValidation:rule="has(self.hostPath) != has(self.claimName)",message="template.datasetCache takes either hostPath or claimName: set one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.hostPath) || !self.hostPath.matches('(^|/)[.][.](/|$)')",message="template.datasetCache.hostPath must not go up by ..",fieldPath=".hostPath"
// +kubebuilder:validation:XValidation:rule="!has(self.sizeLimit) || quantity(string(self.sizeLimit)).isGreaterThan(quantity('0'))",message="template.datasetCache.sizeLimit must be above 0, as in 50Gi",fieldPath=".sizeLimit"
type DatasetCache struct {
	// hostPath is a directory of the nodes; it is created, belonging to root, where there is none. The pod security
	// standards baseline and restricted do not allow it: use claimName there.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	HostPath string `json:"hostPath,omitempty"`
	// claimName is a PersistentVolumeClaim in the job's namespace; ReadWriteMany if pods on several nodes are to share it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ClaimName string `json:"claimName,omitempty"`
	// sizeLimit is the size above which the datasets that were not used for the longest time are removed.
	// +optional
	// +kubebuilder:default="50Gi"
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
}

// HRMTrainingJob trains a Hierarchical Reasoning Model.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=hrmjob;hrmjobs
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.progress.stepOfTotal`
// +kubebuilder:printcolumn:name="Loss",type=string,JSONPath=`.status.progress.loss`
// +kubebuilder:printcolumn:name="Exact",type=string,JSONPath=`.status.progress.evalExactAccuracy`
// +kubebuilder:printcolumn:name="Restarts",type=integer,JSONPath=`.status.restarts`
// +kubebuilder:printcolumn:name="Disruptions",type=integer,JSONPath=`.status.disruptions`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Nodes",type=integer,priority=1,JSONPath=`.spec.nodes`
// +kubebuilder:printcolumn:name="Attempts",type=integer,priority=1,JSONPath=`.status.attempts`
// +kubebuilder:printcolumn:name="Stalls",type=integer,priority=1,JSONPath=`.status.stalls`
// +kubebuilder:printcolumn:name="Samples/s",type=string,priority=1,JSONPath=`.status.progress.samplesPerSecond`
// +kubebuilder:printcolumn:name="Ends",type=string,priority=1,JSONPath=`.status.progress.estimatedCompletion`
// +kubebuilder:printcolumn:name="Checkpoint",type=string,priority=1,JSONPath=`.status.lastCheckpoint.uri`
type HRMTrainingJob struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`
	// spec is what the user wants.
	// +required
	Spec HRMTrainingJobSpec `json:"spec,omitzero"`
	// status is what the operator has seen.
	// +optional
	Status HRMTrainingJobStatus `json:"status,omitzero"`
}

// HRMTrainingJobList is a list of jobs.
// +kubebuilder:object:root=true
type HRMTrainingJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HRMTrainingJob `json:"items"`
}
