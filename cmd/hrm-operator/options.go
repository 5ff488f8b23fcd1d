package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/hrm-operator/hrm-operator/controllers"
)

// options are what the command line decides.
type options struct {
	trainerImage    string
	gpuTrainerImage string
	gpuRuntimeClass string
	pullSecrets     string
	pullPolicy      string
	namespace       string
	watchNamespaces string
	metricsAddress  string
	healthAddress   string
	leaderElect     bool
	networkPolicies bool
	pollInterval    time.Duration
	restartBackoff  time.Duration
	storage         controllers.StorageDefaults
	gangs           string
	concurrency     int
	qps             float64
	burst           int
	version         bool
	zap             zap.Options
}

// The values of --gang-scheduling.
const (
	gangsAuto = "auto"
	gangsOff  = "off"
)

func parseFlags(flags *flag.FlagSet, args []string) options {
	var o options
	flags.StringVar(&o.trainerImage, "trainer-image", "", "image of training pods whose job names none (required)")
	flags.StringVar(&o.gpuTrainerImage, "gpu-trainer-image", "", "image of training pods that ask for NVIDIA GPUs and whose job names none; --trainer-image when empty")
	flags.StringVar(&o.gpuRuntimeClass, "gpu-runtime-class", "", "RuntimeClass of training pods that ask for NVIDIA GPUs and whose job names none; the nodes' own runtime when empty")
	flags.StringVar(&o.pullSecrets, "trainer-image-pull-secrets", "", "comma-separated names of Secrets, in the jobs' namespaces, that training pods pull their image with")
	flags.StringVar(&o.pullPolicy, "trainer-image-pull-policy", "", "pull policy of training pods: Always, IfNotPresent or Never; Kubernetes' own choice when empty")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace the operator runs in; read from the pod when empty")
	flags.StringVar(&o.watchNamespaces, "watch-namespaces", "", "comma-separated namespaces whose jobs are run; all when empty")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of /metrics; 0 serves none")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "let only one of several replicas work, by a Lease in the operator's namespace")
	flags.BoolVar(&o.networkPolicies, "network-policies", true, "let only the operator and a job's own pods connect to its pods")
	flags.DurationVar(&o.pollInterval, "poll-interval", 10*time.Second, "how often running jobs are asked for their progress")
	flags.DurationVar(&o.restartBackoff, "restart-backoff", 10*time.Second, "wait before the first restart of a job; doubles with each further one, up to 5 minutes")
	storageFlags(flags, &o.storage)
	flags.StringVar(&o.gangs, "gang-scheduling", gangsAuto, "auto places the pods of a job with several nodes all at once where the cluster's own scheduler can; off never asks it to")
	flags.IntVar(&o.concurrency, "max-concurrent-reconciles", 4, "how many jobs are looked at at the same time")
	flags.Float64Var(&o.qps, "kube-api-qps", 0, "most requests per second to the apiserver; 0 leaves the limit to the apiserver's own fairness")
	flags.IntVar(&o.burst, "kube-api-burst", 0, "requests that may exceed --kube-api-qps for a moment; twice as many when 0")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	o.zap.BindFlags(flags)
	_ = flags.Parse(args) // the command line's flag set exits on errors
	return o
}

// storageFlags are the store of jobs whose spec.storage names no endpoint.
func storageFlags(flags *flag.FlagSet, s *controllers.StorageDefaults) {
	const whose = " of jobs whose spec.storage names no endpoint"
	flags.StringVar(&s.Endpoint, "default-s3-endpoint", "", "S3 endpoint"+whose+"; AWS when empty")
	flags.StringVar(&s.Region, "default-s3-region", "", "S3 region"+whose)
	flags.BoolVar(&s.PathStyle, "default-s3-path-style", false, "put the bucket into the path of requests"+whose)
	flags.StringVar(&s.CredentialsSecret, "default-s3-credentials-secret", "", "Secret with S3 credentials, in the jobs' namespaces,"+whose+" and no Secret")
	flags.StringVar(&s.CAConfigMap, "default-s3-ca-configmap", "", "ConfigMap with the S3 server's authority, in the jobs' namespaces,"+whose+" and no ConfigMap")
}

// validate finds what flags cannot mean.
func (o options) validate() error {
	switch {
	case o.trainerImage == "":
		return errors.New("no trainer image: set --trainer-image to the image that holds the hrm command")
	case o.pollInterval <= 0:
		return fmt.Errorf("--poll-interval is %s: it must be positive", o.pollInterval)
	case o.concurrency <= 0:
		return fmt.Errorf("--max-concurrent-reconciles is %d: it must be positive", o.concurrency)
	case o.qps < 0 || o.burst < 0:
		return errors.New("--kube-api-qps and --kube-api-burst must not be negative")
	case o.gangs != gangsAuto && o.gangs != gangsOff:
		return fmt.Errorf("--gang-scheduling is %q: it must be %s or %s", o.gangs, gangsAuto, gangsOff)
	}
	if problems := validation.IsDNS1123Subdomain(o.gpuRuntimeClass); o.gpuRuntimeClass != "" && len(problems) > 0 {
		return fmt.Errorf("--gpu-runtime-class is %q: %s", o.gpuRuntimeClass, strings.Join(problems, ", "))
	}
	switch corev1.PullPolicy(o.pullPolicy) {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
		return nil
	}
	return fmt.Errorf("--trainer-image-pull-policy is %q: it must be Always, IfNotPresent or Never", o.pullPolicy)
}

// names splits a comma-separated list.
func names(list string) []string {
	var all []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}
