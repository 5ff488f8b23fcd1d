// Package builders makes the objects that tests speak about, so that a test names what matters to it and nothing else.
package builders

import (
	"maps"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// TrainingJob builds an HRMTrainingJob.
type TrainingJob struct{ job v1alpha1.HRMTrainingJob }

// Job begins a small valid job with all defaults filled in, in namespace default.
func Job(name string) *TrainingJob {
	b := &TrainingJob{job: v1alpha1.HRMTrainingJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.HRMTrainingJobSpec{
			Dataset: v1alpha1.DatasetSpec{
				Task:   v1alpha1.TaskSudoku,
				Source: v1alpha1.DatasetSource{URI: "s3://puzzles/sudoku.csv"},
			},
			Storage: v1alpha1.StorageSpec{Endpoint: "https://s3.example.org", Bucket: "hrm"},
		},
	}}
	b.job.Default()
	return b
}

// In sets the namespace.
func (b *TrainingJob) In(namespace string) *TrainingJob { b.job.Namespace = namespace; return b }

// Label adds a label.
func (b *TrainingJob) Label(key, value string) *TrainingJob {
	metav1.SetMetaDataLabel(&b.job.ObjectMeta, key, value)
	return b
}

// Storage sets where in bucket hrm of an S3 server the job trains into.
func (b *TrainingJob) Storage(endpoint, prefix string) *TrainingJob {
	b.job.Spec.Storage = v1alpha1.StorageSpec{Endpoint: endpoint, Bucket: "hrm", Prefix: prefix, Region: "us-east-1", PathStyle: ptr.To(true)}
	return b
}

// Nodes sets spec.nodes.
func (b *TrainingJob) Nodes(n int32) *TrainingJob { b.job.Spec.Nodes = n; return b }

// Suspend sets spec.suspend.
func (b *TrainingJob) Suspend(on bool) *TrainingJob { b.job.Spec.Suspend = &on; return b }

// MaxRestarts sets spec.maxRestarts.
func (b *TrainingJob) MaxRestarts(n int32) *TrainingJob { b.job.Spec.MaxRestarts = &n; return b }

// Deadline sets spec.activeDeadlineSeconds.
func (b *TrainingJob) Deadline(seconds int64) *TrainingJob {
	b.job.Spec.ActiveDeadlineSeconds = &seconds
	return b
}

// ProgressDeadline sets spec.progressDeadlineSeconds.
func (b *TrainingJob) ProgressDeadline(seconds int32) *TrainingJob {
	b.job.Spec.ProgressDeadlineSeconds = &seconds
	return b
}

// TTL sets spec.ttlSecondsAfterFinished.
func (b *TrainingJob) TTL(seconds int32) *TrainingJob {
	b.job.Spec.TTLSecondsAfterFinished = &seconds
	return b
}

// Credentials names the Secret.
func (b *TrainingJob) Credentials(secret string) *TrainingJob {
	b.job.Spec.Storage.CredentialsSecretRef = &v1alpha1.LocalReference{Name: secret}
	return b
}

// DatasetCache adds a volume for datasets.
func (b *TrainingJob) DatasetCache(c v1alpha1.DatasetCache) *TrainingJob {
	b.job.Spec.Template.DatasetCache = &c
	b.job.Default()
	return b
}

// CA names the ConfigMap of the store's authority.
func (b *TrainingJob) CA(configMap string) *TrainingJob {
	b.job.Spec.Storage.CAConfigMapRef = &v1alpha1.LocalReference{Name: configMap}
	return b
}

// Image sets spec.image.
func (b *TrainingJob) Image(image string) *TrainingJob { b.job.Spec.Image = image; return b }

// Env adds a variable to the pods.
func (b *TrainingJob) Env(name, value string) *TrainingJob {
	b.job.Spec.Template.Env = append(b.job.Spec.Template.Env, corev1.EnvVar{Name: name, Value: value})
	return b
}

// Limit sets the pods' limit of a resource.
func (b *TrainingJob) Limit(name corev1.ResourceName, quantity string) *TrainingJob {
	set(&b.job.Spec.Template.Resources.Limits, name, quantity)
	return b
}

// Request sets what the pods request of a resource.
func (b *TrainingJob) Request(name corev1.ResourceName, quantity string) *TrainingJob {
	set(&b.job.Spec.Template.Resources.Requests, name, quantity)
	return b
}

func set(list *corev1.ResourceList, name corev1.ResourceName, quantity string) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = resource.MustParse(quantity)
}

// RuntimeClass sets the pods' runtime class.
func (b *TrainingJob) RuntimeClass(name string) *TrainingJob {
	b.job.Spec.Template.RuntimeClassName = name
	return b
}

// Tolerate adds a toleration to the pods.
func (b *TrainingJob) Tolerate(t corev1.Toleration) *TrainingJob {
	b.job.Spec.Template.Tolerations = append(b.job.Spec.Template.Tolerations, t)
	return b
}

// Status edits the status.
func (b *TrainingJob) Status(edit func(*v1alpha1.HRMTrainingJobStatus)) *TrainingJob {
	edit(&b.job.Status)
	return b
}

// Condition adds a condition that has been so since the given time.
func (b *TrainingJob) Condition(kind string, status metav1.ConditionStatus, reason string, since time.Time) *TrainingJob {
	b.job.Status.Conditions = append(b.job.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(since),
	})
	return b
}

// New returns the job as a user would send it: without what the apiserver sets.
func (b *TrainingJob) New() *v1alpha1.HRMTrainingJob {
	job := b.job.DeepCopy()
	job.UID, job.Generation = "", 0
	return job
}

// Obj returns the job as the apiserver would hold it.
func (b *TrainingJob) Obj() *v1alpha1.HRMTrainingJob { return b.job.DeepCopy() }

// PodBuilder builds a pod with one container.
type PodBuilder struct{ pod corev1.Pod }

// Pod begins a pending pod of the given rank whose container is named trainer.
func Pod(name string, rank int) *PodBuilder {
	return &PodBuilder{pod: corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   "default",
			Name:        name,
			UID:         types.UID("uid-" + name),
			Annotations: map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(rank)},
		},
		Spec:   corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "trainer", Image: "hrm"}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}}
}

// OwnedBy makes a Job the pod's controller and takes over the labels and the namespace of its template.
func (b *PodBuilder) OwnedBy(job *batchv1.Job) *PodBuilder {
	b.pod.Namespace = job.Namespace
	b.pod.Labels = maps.Clone(job.Spec.Template.Labels)
	if b.pod.Labels == nil {
		b.pod.Labels = map[string]string{}
	}
	b.pod.Labels[batchv1.ControllerUidLabel] = string(job.UID)
	b.pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	return b
}

// Running makes the pod run since the given time.
func (b *PodBuilder) Running(ip string, since time.Time) *PodBuilder {
	b.pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: ptr.To(metav1.NewTime(since)),
	}
	return b
}

// Waiting makes the container wait for a reason.
func (b *PodBuilder) Waiting(reason, message string) *PodBuilder {
	b.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "trainer", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}
	return b
}

// Unschedulable makes the pod find no node.
func (b *PodBuilder) Unschedulable(message string) *PodBuilder {
	return b.condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", message)
}

// Disrupted marks the pod as one that was evicted.
func (b *PodBuilder) Disrupted() *PodBuilder { return b.DisruptedBy("EvictionByEvictionAPI") }

// DisruptedBy marks the pod as one whose place was taken away, for a reason of Kubernetes'.
func (b *PodBuilder) DisruptedBy(reason string) *PodBuilder {
	return b.condition(corev1.DisruptionTarget, corev1.ConditionTrue, reason, "")
}

func (b *PodBuilder) condition(kind corev1.PodConditionType, is corev1.ConditionStatus, reason, message string) *PodBuilder {
	b.pod.Status.Conditions = append(b.pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: is, Reason: reason, Message: message})
	return b
}

// Exited ends the container.
func (b *PodBuilder) Exited(code int32, message string, at time.Time) *PodBuilder {
	b.pod.Status.Phase = corev1.PodFailed
	if code == 0 {
		b.pod.Status.Phase = corev1.PodSucceeded
	}
	b.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "trainer",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Message: message, FinishedAt: metav1.NewTime(at),
		}},
	}}
	return b
}

// OutOfMemory ends the container as the kernel does.
func (b *PodBuilder) OutOfMemory(at time.Time) *PodBuilder {
	b.Exited(137, "", at)
	b.pod.Status.ContainerStatuses[0].State.Terminated.Reason = "OOMKilled"
	return b
}

// Selecting adds a label that the pod's node must have.
func (b *PodBuilder) Selecting(key, value string) *PodBuilder {
	b.pod.Spec.NodeSelector = map[string]string{key: value}
	return b
}

// Limit sets the container's limit of a resource.
func (b *PodBuilder) Limit(name corev1.ResourceName, quantity string) *PodBuilder {
	set(&b.pod.Spec.Containers[0].Resources.Limits, name, quantity)
	return b
}

// RuntimeClass sets the pod's runtime class.
func (b *PodBuilder) RuntimeClass(name string) *PodBuilder {
	b.pod.Spec.RuntimeClassName = &name
	return b
}

// Refused makes the pod one that its node's kubelet did not take.
func (b *PodBuilder) Refused(reason, message string) *PodBuilder {
	b.pod.Status.Phase, b.pod.Status.Reason, b.pod.Status.Message = corev1.PodFailed, reason, message
	return b
}

// OverStorage says that the kubelet ended the pod for what it wrote.
func (b *PodBuilder) OverStorage() *PodBuilder {
	b.pod.Status.Reason, b.pod.Status.Message = "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
	return b
}

// Deleted marks the pod as one that someone deleted.
func (b *PodBuilder) Deleted(at time.Time) *PodBuilder {
	b.pod.DeletionTimestamp = ptr.To(metav1.NewTime(at))
	return b
}

// On binds the pod to a node.
func (b *PodBuilder) On(node string) *PodBuilder { b.pod.Spec.NodeName = node; return b }

// Created sets when the pod was made.
func (b *PodBuilder) Created(at time.Time) *PodBuilder {
	b.pod.CreationTimestamp = metav1.NewTime(at)
	return b
}

// New returns the pod as the Job controller would send it: without what the apiserver sets.
func (b *PodBuilder) New() *corev1.Pod {
	pod := b.pod.DeepCopy()
	pod.UID, pod.DeletionTimestamp = "", nil
	return pod
}

// Obj returns the pod.
func (b *PodBuilder) Obj() *corev1.Pod { return b.pod.DeepCopy() }
