package controllers

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// Labels and annotations of children.
const (
	managedByLabel         = "app.kubernetes.io/managed-by"
	managedBy              = "hrm-operator"
	restartsAnnotation     = "hrm.dev/restarts"
	disruptionsAnnotation  = "hrm.dev/disruptions"
	stallsAnnotation       = "hrm.dev/stalls"
	stallStepAnnotation    = "hrm.dev/stall-step"
	stallRepeatsAnnotation = "hrm.dev/stall-repeats"
	startedAnnotation      = "hrm.dev/started"
	activeAnnotation       = "hrm.dev/active-since"
)

// Kueue's labels are copied to the Job; the first of them makes it Kueue's to start.
const (
	kueueQueueLabel    = "kueue.x-k8s.io/queue-name"
	kueuePriorityLabel = "kueue.x-k8s.io/priority-class"
)

// childName is the name of the job's Service, ConfigMap and NetworkPolicy.
func childName(job *v1alpha1.HRMTrainingJob) string { return job.Name }

// jobName is the name of an attempt's Job.
func jobName(job *v1alpha1.HRMTrainingJob, attempt int32) string {
	return job.Name + "-" + strconv.Itoa(int(attempt))
}

// selectorLabels are on every child and every pod of a job.
func selectorLabels(job *v1alpha1.HRMTrainingJob) map[string]string {
	return map[string]string{managedByLabel: managedBy, v1alpha1.JobLabel: job.Name}
}

func childMeta(job *v1alpha1.HRMTrainingJob, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:       job.Namespace,
		Name:            name,
		Labels:          selectorLabels(job),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))},
	}
}

// lastingChildren are the children that all attempts share.
func lastingChildren(job *v1alpha1.HRMTrainingJob, config Config) ([]client.Object, error) {
	spec, err := specConfigMap(config.Storage.apply(job))
	if err != nil {
		return nil, err
	}
	children := []client.Object{headlessService(job), spec}
	if config.NetworkPolicies {
		children = append(children, networkPolicy(job, config.OperatorNamespace))
	}
	return children, nil
}

// headlessService gives every pod a DNS name. Pods find each other before they are ready: becoming ready takes all of
// them.
func headlessService(job *v1alpha1.HRMTrainingJob) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: childMeta(job, childName(job)),
		Spec: corev1.ServiceSpec{
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 selectorLabels(job),
			Ports: []corev1.ServicePort{{
				Name:       "http",
				Protocol:   corev1.ProtocolTCP,
				Port:       progress.Port,
				TargetPort: intstr.FromInt32(progress.Port),
			}},
		},
	}
}

// specConfigMap holds the job as its pods read it: the object a user wrote, without what the apiserver added.
func specConfigMap(job *v1alpha1.HRMTrainingJob) (*corev1.ConfigMap, error) {
	plain := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       v1alpha1.Kind,
		"metadata":   map[string]any{"name": job.Name, "namespace": job.Namespace},
		"spec":       job.Spec,
	}
	text, err := yaml.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("encode the spec of job %s: %w", job.Name, err)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: childMeta(job, childName(job)),
		Data:       map[string]string{specFile: string(text)},
	}, nil
}

// networkPolicy lets a job's pods be reached by each other on every port, and on the progress port from the
// operator's namespace. What they may reach is not restricted: the store can be anywhere.
func networkPolicy(job *v1alpha1.HRMTrainingJob, operatorNamespace string) *networkingv1.NetworkPolicy {
	pods := metav1.LabelSelector{MatchLabels: selectorLabels(job)}
	operator := metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: operatorNamespace}}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: childMeta(job, childName(job)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: pods,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &pods}}},
				{
					From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &operator}},
					Ports: []networkingv1.NetworkPolicyPort{{
						Protocol: ptr.To(corev1.ProtocolTCP),
						Port:     ptr.To(intstr.FromInt32(progress.Port)),
					}},
				},
			},
		},
	}
}

// attemptJob is the Indexed Job of one attempt: all nodes or none, and no retries of its own, because the next
// attempt is the operator's to start.
func attemptJob(job *v1alpha1.HRMTrainingJob, config Config, rec record) *batchv1.Job {
	child := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"},
		ObjectMeta: childMeta(job, jobName(job, rec.number)),
		Spec: batchv1.JobSpec{
			CompletionMode:       ptr.To(batchv1.IndexedCompletion),
			Completions:          ptr.To(nodes(job)),
			Parallelism:          ptr.To(nodes(job)),
			BackoffLimit:         ptr.To(int32(0)),
			PodReplacementPolicy: ptr.To(batchv1.Failed),
			PodFailurePolicy:     podFailurePolicy(),
			Template:             podTemplate(job, config, rec.number),
		},
	}
	child.Annotations = map[string]string{}
	rec.write(child)
	asGang(child, config.Gangs)
	for _, label := range []string{kueueQueueLabel, kueuePriorityLabel} {
		if value, ok := job.Labels[label]; ok {
			child.Labels[label] = value
		}
	}
	if _, queued := job.Labels[kueueQueueLabel]; queued {
		child.Spec.Suspend = ptr.To(true)
	}
	return child
}

// podFailurePolicy tells ends that mean nothing from ends that mean everything. An ignored pod is replaced within its
// attempt; whatever no rule names fails the attempt, because the backoff limit is zero.
func podFailurePolicy() *batchv1.PodFailurePolicy {
	onExit := func(codes ...int32) *batchv1.PodFailurePolicyOnExitCodesRequirement {
		return &batchv1.PodFailurePolicyOnExitCodesRequirement{
			ContainerName: ptr.To(v1alpha1.TrainerContainer),
			Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
			Values:        codes,
		}
	}
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action:          batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		},
		{Action: batchv1.PodFailurePolicyActionIgnore, OnExitCodes: onExit(exitInterrupted)},
		{Action: batchv1.PodFailurePolicyActionFailJob, OnExitCodes: onExit(fatalExitCodes...)},
	}}
}
