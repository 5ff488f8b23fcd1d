package v1alpha1

// The types of a job's conditions.
const (
	// ConditionSuspended is true while the job holds no pods because spec.suspend asks for it.
	ConditionSuspended = "Suspended"
	// ConditionRunning is true while all pods of an attempt run; its reason says what they do or wait for.
	ConditionRunning = "Running"
	// ConditionProgressing is false with reason Stalled if the step has not changed for too long.
	ConditionProgressing = "Progressing"
	// ConditionComplete is true once the model is trained. It stays.
	ConditionComplete = "Complete"
	// ConditionFailed is true once the job has been given up. It stays.
	ConditionFailed = "Failed"
)

// The reasons of ConditionRunning.
const (
	// ReasonQueued says that the Job waits for a queue's admission or for its pods to be made.
	ReasonQueued = "Queued"
	// ReasonUnschedulable says that no node takes a pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonImagePull says that an image cannot be pulled.
	ReasonImagePull = "ImagePull"
	// ReasonConfigError says that a container cannot be made, for example because a Secret is missing.
	ReasonConfigError = "ConfigError"
	// ReasonStarting says that the pods are being started.
	ReasonStarting = "Starting"
	// ReasonPreparingDataset says that the dataset is being built or fetched.
	ReasonPreparingDataset = "PreparingDataset"
	// ReasonStopping says that pods are being stopped or are on their way out: nothing else is started before they are
	// gone.
	ReasonStopping = "Stopping"
	// ReasonTraining says that steps are being made.
	ReasonTraining = "Training"
	// ReasonRestarting says that an attempt failed and the next one is to come.
	ReasonRestarting = "Restarting"
	// ReasonFinished says that the job is over.
	ReasonFinished = "Finished"
)

// The reasons of the other conditions.
const (
	// ReasonSuspended and ReasonResumed belong to ConditionSuspended.
	ReasonSuspended = "Suspended"
	// ReasonResumed says that the job may run again.
	ReasonResumed = "Resumed"
	// ReasonStalled says that the step has not changed within progressDeadlineSeconds.
	ReasonStalled = "Stalled"
	// ReasonProgressing says that the step changes.
	ReasonProgressing = "Progressing"
	// ReasonTrained says that every step was made, or that evaluation.patience was at its end.
	ReasonTrained = "Trained"
	// ReasonDeadlineExceeded says that activeDeadlineSeconds have passed.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonRestartsExceeded says that attempts failed more often than maxRestarts allows.
	ReasonRestartsExceeded = "RestartsExceeded"
	// ReasonDatasetError says that the data is broken.
	ReasonDatasetError = "DatasetError"
	// ReasonUsageError says that the trainer refused its command line.
	ReasonUsageError = "UsageError"
	// ReasonGPUNotVisible says that a pod asked for a GPU and its process sees none.
	ReasonGPUNotVisible = "GPUNotVisible"
	// ReasonGPUNotUsable says that a process sees its GPU and cannot use it: the image lacks CUDA's libraries, the driver is too
	// old for them, or the GPU is.
	ReasonGPUNotUsable = "GPUNotUsable"
	// ReasonInvalidSpec says that the spec contradicts itself in a way that the schema cannot catch.
	ReasonInvalidSpec = "InvalidSpec"
)

// The reasons of disruptions.
const (
	// DisruptionEvicted says that a pod was evicted through the API, as a drain does.
	DisruptionEvicted = "Evicted"
	// DisruptionPreempted says that the scheduler gave the place to a pod of higher priority.
	DisruptionPreempted = "Preempted"
	// DisruptionNodeLost says that the node went away or was tainted.
	DisruptionNodeLost = "NodeLost"
	// DisruptionNodePressure says that the kubelet ended the pod: the node ran short of something or was shut down.
	DisruptionNodePressure = "NodePressure"
	// DisruptionQueue says that the queue took the admission back.
	DisruptionQueue = "QueueEviction"
	// DisruptionDeleted says that someone deleted the pod.
	DisruptionDeleted = "Deleted"
	// DisruptionInterrupted says that the process stopped after saving because it was told to, by no one the API tells of.
	DisruptionInterrupted = "Interrupted"
	// DisruptionStorageLimit says that the kubelet ended the pod because it wrote more than its limits.ephemeral-storage.
	DisruptionStorageLimit = "StorageLimit"
	// DisruptionPeerLost says that processes lost each other though no pod was taken away.
	DisruptionPeerLost = "PeerLost"
)
