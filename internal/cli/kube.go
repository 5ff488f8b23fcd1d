package cli

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// kubeFlags choose a cluster as kubectl does.
type kubeFlags struct{ kubeconfig, context, namespace string }

// job fetches a job from the cluster, to learn where it keeps its checkpoints.
func (f *kubeFlags) job(ctx context.Context, name string) (*v1alpha1.HRMTrainingJob, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
	rest, err := config.ClientConfig()
	if err != nil {
		return nil, configurationError{fmt.Errorf("no cluster to ask about job %s: %w; set KUBECONFIG, or name its store with --store", name, err)}
	}
	namespace := f.namespace
	if namespace == "" {
		if namespace, _, err = config.Namespace(); err != nil {
			return nil, configurationError{fmt.Errorf("namespace of the kubeconfig: %w", err)}
		}
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	cluster, err := client.New(rest, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	job := &v1alpha1.HRMTrainingJob{}
	if err := cluster.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, job); err != nil {
		return nil, fmt.Errorf("job %s/%s: %w", namespace, name, err)
	}
	return job, nil
}
