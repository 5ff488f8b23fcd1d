package controllers

import (
	"path"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// What a training pod looks like from inside.
const (
	specDir     = "/etc/hrm"
	specFile    = "job.yaml"
	scratchDir  = "/scratch"
	caDir       = "/etc/hrm-ca"
	caFile      = "ca.crt"
	systemCAs   = "/etc/ssl/certs"
	cacheDir    = "/dataset-cache"
	sharedDir   = "/dev/shm" // through which NCCL may exchange; what a container has of it otherwise, 64 MiB, is too little
	trainerUser = 65532
)

// podTemplate is one node of an attempt. It satisfies the restricted pod security standard, unless the user wants a
// hostPath for datasets, and has no access to the Kubernetes API.
//
// It has no probes on purpose: nothing routes to a training pod, a restart of its container would be a lost attempt,
// and a process that hangs is found by its steps (progressDeadlineSeconds), which no probe knows.
func podTemplate(job *v1alpha1.HRMTrainingJob, config Config, attempt int32) corev1.PodTemplateSpec {
	job = config.Storage.apply(job)
	labels := selectorLabels(job)
	labels[v1alpha1.AttemptLabel] = strconv.Itoa(int(attempt))
	place := job.Spec.Template
	spec := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		Subdomain:                     childName(job),
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: job.Spec.TerminationGracePeriodSeconds,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   ptr.To(true),
			RunAsUser:      ptr.To[int64](trainerUser),
			RunAsGroup:     ptr.To[int64](trainerUser),
			FSGroup:        ptr.To[int64](trainerUser),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers:         []corev1.Container{trainer(job, config, attempt)},
		Volumes:            volumes(job),
		NodeSelector:       place.NodeSelector,
		Tolerations:        podTolerations(place),
		Affinity:           place.Affinity,
		RuntimeClassName:   runtimeClass(place, config),
		PriorityClassName:  place.PriorityClassName,
		ServiceAccountName: place.ServiceAccountName,
	}
	for _, name := range config.ImagePullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
}

// trainer is the container that trains.
func trainer(job *v1alpha1.HRMTrainingJob, config Config, attempt int32) corev1.Container {
	return corev1.Container{
		Name:                     v1alpha1.TrainerContainer,
		Image:                    trainerImage(job, config),
		ImagePullPolicy:          config.ImagePullPolicy,
		Command:                  []string{"hrm", "train", "-f", path.Join(specDir, specFile)},
		Args:                     arguments(job),
		Env:                      environment(job, attempt),
		Ports:                    []corev1.ContainerPort{{Name: "http", ContainerPort: progress.Port, Protocol: corev1.ProtocolTCP}},
		Resources:                podResources(job.Spec.Template),
		VolumeMounts:             mounts(job),
		TerminationMessagePath:   "/dev/termination-log",
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// arguments are what is the pod's and not the job's.
func arguments(job *v1alpha1.HRMTrainingJob) []string {
	all := []string{"--listen", ":" + strconv.Itoa(progress.Port), "--device", deviceFlag(job.Spec.Template)}
	if cache := job.Spec.Template.DatasetCache; cache != nil {
		all = append(all, "--dataset-cache", cacheDir)
		if cache.SizeLimit != nil {
			all = append(all, "--dataset-cache-size", cache.SizeLimit.String())
		}
	}
	return all
}

// environment is what a process must know and the job's spec does not say: its place among its peers, where it may
// write, and the credentials, which reach the pod without passing through the operator. The user's own variables come
// last but cannot replace these.
func environment(job *v1alpha1.HRMTrainingJob, attempt int32) []corev1.EnvVar {
	env := []corev1.EnvVar{
		fromField("HRM_RANK", "metadata.annotations['"+batchv1.JobCompletionIndexAnnotation+"']"),
		{Name: "HRM_WORLD_SIZE", Value: strconv.Itoa(int(nodes(job)))},
		{Name: "HRM_RENDEZVOUS", Value: jobName(job, attempt) + "-0." + childName(job)},
		{Name: "HRM_JOB", Value: job.Namespace + "/" + job.Name},
		{Name: "HRM_ATTEMPT", Value: strconv.Itoa(int(attempt))},
		{Name: "HOME", Value: scratchDir},
		{Name: "TMPDIR", Value: scratchDir},
		{Name: "XDG_CACHE_HOME", Value: path.Join(scratchDir, ".cache")},
	}
	env = append(env, credentials(job)...)
	taken := map[string]bool{}
	for _, e := range env {
		taken[e.Name] = true
	}
	for _, e := range job.Spec.Template.Env {
		if !taken[e.Name] {
			env = append(env, e)
		}
	}
	return env
}

func fromField(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field},
	}}
}

// credentials are taken by the kubelet, not by the operator. Without a Secret the process uses the pod's own identity.
func credentials(job *v1alpha1.HRMTrainingJob) []corev1.EnvVar {
	var env []corev1.EnvVar
	if ref := job.Spec.Storage.CredentialsSecretRef; ref != nil {
		for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			env = append(env, corev1.EnvVar{Name: key, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}, Key: key,
			}}})
		}
	}
	if job.Spec.Storage.CAConfigMapRef != nil {
		env = append(env,
			corev1.EnvVar{Name: "AWS_CA_BUNDLE", Value: path.Join(caDir, caFile)},
			corev1.EnvVar{Name: "SSL_CERT_DIR", Value: caDir + ":" + systemCAs})
	}
	return env
}

// volumes of a pod: the spec, a place to write, memory that several GPUs share, and the store's certificate authority and the
// datasets' cache if there are.
func volumes(job *v1alpha1.HRMTrainingJob) []corev1.Volume {
	all := []corev1.Volume{
		configMapVolume("spec", childName(job), specFile),
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	if job.Spec.Template.GPUs() > 1 {
		memory := &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}
		all = append(all, corev1.Volume{Name: "shm", VolumeSource: corev1.VolumeSource{EmptyDir: memory}})
	}
	if ref := job.Spec.Storage.CAConfigMapRef; ref != nil {
		all = append(all, configMapVolume("ca", ref.Name, caFile))
	}
	if cache := job.Spec.Template.DatasetCache; cache != nil {
		all = append(all, cacheVolume(cache))
	}
	return all
}

func cacheVolume(cache *v1alpha1.DatasetCache) corev1.Volume {
	v := corev1.Volume{Name: "dataset-cache"}
	if cache.ClaimName != "" {
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: cache.ClaimName}
	} else {
		v.HostPath = &corev1.HostPathVolumeSource{Path: cache.HostPath, Type: ptr.To(corev1.HostPathDirectoryOrCreate)}
	}
	return v
}

func configMapVolume(volume, configMap, key string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: configMap},
		Items:                []corev1.KeyToPath{{Key: key, Path: key}},
	}}}
}

func mounts(job *v1alpha1.HRMTrainingJob) []corev1.VolumeMount {
	all := []corev1.VolumeMount{
		{Name: "spec", MountPath: specDir, ReadOnly: true},
		{Name: "scratch", MountPath: scratchDir},
	}
	if job.Spec.Template.GPUs() > 1 {
		all = append(all, corev1.VolumeMount{Name: "shm", MountPath: sharedDir})
	}
	if job.Spec.Storage.CAConfigMapRef != nil {
		all = append(all, corev1.VolumeMount{Name: "ca", MountPath: caDir, ReadOnly: true})
	}
	if job.Spec.Template.DatasetCache != nil {
		all = append(all, corev1.VolumeMount{Name: "dataset-cache", MountPath: cacheDir})
	}
	return all
}
