// Command hrm-operator watches HRMTrainingJobs and runs the pods that train them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
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

// run builds the manager and works until ctx ends.
func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.namespace == "" {
		text, err := os.ReadFile(namespaceFile)
		if err != nil {
			return fmt.Errorf("the operator's namespace is unknown: set --namespace: %w", err)
		}
		o.namespace = strings.TrimSpace(string(text))
	}
	cluster, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no cluster to work for: run in a pod or set KUBECONFIG: %w", err)
	}
	limitRequests(cluster, o)
	manager, err := ctrl.NewManager(cluster, managerOptions(o))
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if err := setUp(manager, o); err != nil {
		return err
	}
	return manager.Start(ctx)
}

// limitRequests applies --kube-api-qps and --kube-api-burst.
func limitRequests(cluster *rest.Config, o options) {
	if o.qps == 0 {
		return
	}
	cluster.QPS, cluster.Burst = float32(o.qps), o.burst
	if o.burst == 0 {
		cluster.Burst = max(1, int(2*o.qps))
	}
}

func managerOptions(o options) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return ctrl.Options{
		Scheme:                  scheme,
		Cache:                   controllers.CacheOptions(names(o.watchNamespaces)...),
		Controller:              config.Controller{MaxConcurrentReconciles: o.concurrency},
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
		Client: manager.GetClient(),
		Live:   manager.GetAPIReader(),
		Clock:  clock.RealClock{},
		Poller: poller,
		Config: controllers.Config{
			TrainerImage:      o.trainerImage,
			GPUTrainerImage:   o.gpuTrainerImage,
			GPURuntimeClass:   o.gpuRuntimeClass,
			ImagePullSecrets:  names(o.pullSecrets),
			ImagePullPolicy:   corev1.PullPolicy(o.pullPolicy),
			OperatorNamespace: o.namespace,
			NetworkPolicies:   o.networkPolicies,
			RestartBackoff:    o.restartBackoff,
			Storage:           o.storage,
		},
	}
	if o.gangs == gangsAuto {
		gangs, err := controllers.DiscoverGangs(manager.GetConfig(), manager.GetHTTPClient())
		if err != nil {
			return err
		}
		manager.GetLogger().Info("gang scheduling", "by", gangs.String())
		reconciler.Config.Gangs = gangs
	}
	if err := reconciler.SetupWithManager(manager); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return manager.AddReadyzCheck("ping", healthz.Ping)
}
