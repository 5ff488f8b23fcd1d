// Command hrm-operator watches HRMTrainingJobs and runs the pods that train them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/controllers"
)

// version is set by the linker.
var version = "dev"

// namespaceFile tells a pod which namespace it runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// options are what the command line decides.
type options struct {
	trainerImage    string
	namespace       string
	watchNamespaces string
	metricsAddress  string
	healthAddress   string
	leaderElect     bool
	networkPolicies bool
	pollInterval    time.Duration
	restartBackoff  time.Duration
	version         bool
	zap             zap.Options
}

func main() {
	opts := parseFlags(flag.CommandLine, os.Args[1:])
	if opts.version {
		fmt.Println("hrm-operator", version)
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&opts.zap)))
	if err := run(ctrl.SetupSignalHandler(), opts); err != nil {
		ctrl.Log.Error(err, "the operator stopped")
		os.Exit(1)
	}
}

func parseFlags(flags *flag.FlagSet, args []string) options {
	var o options
	flags.StringVar(&o.trainerImage, "trainer-image", "", "image of training pods whose job names none (required)")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace the operator runs in; read from the pod when empty")
	flags.StringVar(&o.watchNamespaces, "watch-namespaces", "", "comma-separated namespaces whose jobs are run; all when empty")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of /metrics; 0 serves none")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "let only one of several replicas work, by a Lease in the operator's namespace")
	flags.BoolVar(&o.networkPolicies, "network-policies", true, "let only the operator and a job's own pods connect to its pods")
	flags.DurationVar(&o.pollInterval, "poll-interval", 10*time.Second, "how often running jobs are asked for their progress")
	flags.DurationVar(&o.restartBackoff, "restart-backoff", 10*time.Second, "wait before the first restart of a job; doubles with each further one, up to 5 minutes")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	o.zap.BindFlags(flags)
	_ = flags.Parse(args) // the command line's flag set exits on errors
	return o
}

// run builds the manager and works until ctx ends.
func run(ctx context.Context, o options) error {
	if o.trainerImage == "" {
		return errors.New("no trainer image: set --trainer-image to the image that holds the hrm command")
	}
	if o.pollInterval <= 0 {
		return fmt.Errorf("--poll-interval is %s: it must be positive", o.pollInterval)
	}
	if o.namespace == "" {
		text, err := os.ReadFile(namespaceFile)
		if err != nil {
			return fmt.Errorf("the operator's namespace is unknown: set --namespace: %w", err)
		}
		o.namespace = strings.TrimSpace(string(text))
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no cluster to work for: run in a pod or set KUBECONFIG: %w", err)
	}
	manager, err := ctrl.NewManager(config, managerOptions(o))
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if err := setUp(manager, o); err != nil {
		return err
	}
	return manager.Start(ctx)
}

func managerOptions(o options) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	cacheOptions := controllers.CacheOptions()
	if o.watchNamespaces != "" {
		cacheOptions.DefaultNamespaces = map[string]cache.Config{}
		for name := range strings.SplitSeq(o.watchNamespaces, ",") {
			cacheOptions.DefaultNamespaces[strings.TrimSpace(name)] = cache.Config{}
		}
	}
	return ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cacheOptions,
		Metrics:                 server.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:  o.healthAddress,
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        "hrm-operator.hrm.dev",
		LeaderElectionNamespace: o.namespace,
		// The process ends right after the manager does, so the next leader need not wait for the lease to run out.
		LeaderElectionReleaseOnCancel: true,
	}
}

// setUp registers the controller, the poller and the probes.
func setUp(manager ctrl.Manager, o options) error {
	poller := controllers.NewPoller(o.pollInterval, progress.Port, manager.GetLogger().WithName("poller"))
	if err := manager.Add(poller); err != nil {
		return fmt.Errorf("set up the progress poller: %w", err)
	}
	reconciler := &controllers.Reconciler{
		Client:   manager.GetClient(),
		Live:     manager.GetAPIReader(),
		Recorder: manager.GetEventRecorder("hrm-operator"),
		Clock:    clock.RealClock{},
		Poller:   poller,
		Config: controllers.Config{
			TrainerImage:      o.trainerImage,
			OperatorNamespace: o.namespace,
			NetworkPolicies:   o.networkPolicies,
			RestartBackoff:    o.restartBackoff,
		},
	}
	if err := reconciler.SetupWithManager(manager); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return manager.AddReadyzCheck("ping", healthz.Ping)
}
