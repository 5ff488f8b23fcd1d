package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HRMTrainingJobStatus is what the operator has seen.
type HRMTrainingJobStatus struct {
	// conditions of the job: Suspended, Running, Progressing, Complete, Failed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the spec's generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state sums the conditions up in a word, for people.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	State string `json:"state,omitempty"`
	// message says what the job waits for or how it failed, in a line for people; it is empty while all is well.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
	// attempts that have been started.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// restarts is the number of attempts that failed and were tried again.
	// +optional
	Restarts int32 `json:"restarts,omitempty"`
	// disruptions is the number of incidents in which pods were taken away: a gang that loses one pod is one incident.
	// They use up no restarts.
	// +optional
	Disruptions int32 `json:"disruptions,omitempty"`
	// disruptionReasons says what the disruptions were.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=16
	DisruptionReasons []DisruptionCount `json:"disruptionReasons,omitempty"`
	// disruptedPods are the UIDs of those pods of the newest attempt that disruptions accounts for already.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	DisruptedPods []string `json:"disruptedPods,omitempty"`
	// stalls is the number of attempts that were stopped because they made no progress. They use up no restarts.
	// +optional
	Stalls int32 `json:"stalls,omitempty"`
	// lastStall is the newest of the stalls.
	// +optional
	LastStall *StallStatus `json:"lastStall,omitempty"`
	// startTime of the first attempt.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// activeSince is when the clock of activeDeadlineSeconds was started: with the first attempt, and anew with the first
	// one after a suspension.
	// +optional
	ActiveSince *metav1.Time `json:"activeSince,omitempty"`
	// completionTime is when the job became Complete or Failed.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// progress of the training.
	// +optional
	Progress *ProgressStatus `json:"progress,omitempty"`
	// lastCheckpoint that is complete in the bucket.
	// +optional
	LastCheckpoint *CheckpointStatus `json:"lastCheckpoint,omitempty"`
	// bestCheckpoint by held-out exact accuracy.
	// +optional
	BestCheckpoint *CheckpointStatus `json:"bestCheckpoint,omitempty"`
	// datasetURI is where the built dataset lies.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	DatasetURI string `json:"datasetURI,omitempty"`
}

// DisruptionCount is the number of disruptions of one kind.
type DisruptionCount struct {
	// reason the pods were taken away.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// count of disruptions with that reason.
	// +optional
	Count int32 `json:"count,omitempty"`
}

// StallStatus is one stall.
type StallStatus struct {
	// attempt that stalled.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// step is the furthest that any attempt had come by then.
	// +optional
	Step int64 `json:"step,omitempty"`
	// repeats is the number of stalls in a row that no new step came between; the job is given up when there are more
	// than maxRestarts.
	// +optional
	Repeats int32 `json:"repeats,omitempty"`
	// time the stall was noticed.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// ProgressStatus is how far training has come. Numbers that are not whole are decimal strings.
type ProgressStatus struct {
	// activity that the training process reports: PreparingDataset, Training, Saving or Done.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Activity string `json:"activity,omitempty"`
	// step of the optimizer that was done last.
	// +optional
	Step int64 `json:"step,omitempty"`
	// totalSteps of the job.
	// +optional
	TotalSteps int64 `json:"totalSteps,omitempty"`
	// stepOfTotal is "step/totalSteps", for people.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	StepOfTotal string `json:"stepOfTotal,omitempty"`
	// epoch over the originals.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Epoch string `json:"epoch,omitempty"`
	// loss per example.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Loss string `json:"loss,omitempty"`
	// accuracy over tokens, in training.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Accuracy string `json:"accuracy,omitempty"`
	// exactAccuracy over whole examples, in training.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ExactAccuracy string `json:"exactAccuracy,omitempty"`
	// evalExactAccuracy over whole held-out examples.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	EvalExactAccuracy string `json:"evalExactAccuracy,omitempty"`
	// samplesPerSecond trained.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	SamplesPerSecond string `json:"samplesPerSecond,omitempty"`
	// estimatedCompletion of the training.
	// +optional
	EstimatedCompletion *metav1.Time `json:"estimatedCompletion,omitempty"`
	// lastUpdate is when training was last seen to get further, by the operator's clock.
	// +optional
	LastUpdate *metav1.Time `json:"lastUpdate,omitempty"`
}

// CheckpointStatus names a checkpoint.
type CheckpointStatus struct {
	// uri of the checkpoint's folder.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri,omitempty"`
	// step of the checkpoint.
	// +optional
	Step int64 `json:"step,omitempty"`
	// time it was complete.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}
