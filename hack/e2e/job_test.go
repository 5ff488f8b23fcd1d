package e2e

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

const (
	bucket     = "hrm-e2e"
	secretName = "hrm-s3"
	puzzlesKey = "puzzles.csv.gz"
	// totalSteps take some fifteen seconds: long enough for a fault to find the job at work.
	totalSteps = 3000
	saveEvery  = 100
)

// trainingJob is a job in the making.
type trainingJob struct{ *v1alpha1.HRMTrainingJob }

// smallJob trains a very small model. Whatever befalls it, it must come out as the same bits.
func smallJob(name string) trainingJob {
	one := resource.MustParse("1")
	job := &v1alpha1.HRMTrainingJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.HRMTrainingJobSpec{
			Model: v1alpha1.ModelSpec{
				HiddenSize: 32, NumHeads: 2, Expansion: 1, HLayers: 1, LLayers: 1, HCycles: 1, LCycles: 1,
				ACT: v1alpha1.ACTSpec{MaxSteps: 3},
			},
			Dataset: v1alpha1.DatasetSpec{
				Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: "s3://" + bucket + "/" + puzzlesKey},
				Subsample: new(int32(200)), Augmentations: 2,
			},
			Training: v1alpha1.TrainingSpec{
				GlobalBatchSize: 8, Steps: new(int64(totalSteps)), LearningRate: "1e-3", WarmupSteps: new(int32(10)), WeightDecay: "0.1",
				Precision: v1alpha1.PrecisionFloat32,
			},
			Evaluation: v1alpha1.EvaluationSpec{MaxExamples: new(int32(32))},
			Storage: v1alpha1.StorageSpec{
				Endpoint: cluster.endpoint, Bucket: bucket, PathStyle: new(true),
				CredentialsSecretRef: &v1alpha1.LocalReference{Name: secretName},
			},
			Checkpoint:                    v1alpha1.CheckpointSpec{EverySteps: new(int64(saveEvery))},
			TerminationGracePeriodSeconds: new(int64(20)),
			Template: v1alpha1.PodTemplate{Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi"), place: one,
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi"), place: one},
			}},
		},
	}
	return trainingJob{job}
}

// with changes the spec.
func (j trainingJob) with(edit func(*v1alpha1.HRMTrainingJobSpec)) trainingJob {
	edit(&j.Spec)
	return j
}

func (j trainingJob) nodes(n int32) trainingJob {
	return j.with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Nodes = n })
}

// apart keeps the job's pods on different nodes.
func (j trainingJob) apart() trainingJob {
	return j.with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Template.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.JobLabel: j.Name}},
			}}},
		}}
	})
}
