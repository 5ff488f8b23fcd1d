package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// kubeFlags choose a cluster as kubectl does.
type kubeFlags struct{ kubeconfig, context, namespace string }

func (f *kubeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster that JOB is in")
	c.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig")
	c.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace of JOB")
}

// cluster is a connection to the chosen cluster.
type cluster struct {
	client.WithWatch
	// logs reads what pods print.
	logs      kubernetes.Interface
	namespace string
}

// connect opens the chosen cluster; in a pod without a kubeconfig, that is the pod's own.
func (f *kubeFlags) connect() (*cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
	rest, err := config.ClientConfig()
	if err != nil {
		return nil, configurationError{fmt.Errorf("no cluster: %w; set KUBECONFIG or name one with --kubeconfig", err)}
	}
	namespace := f.namespace
	if namespace == "" {
		if namespace, _, err = config.Namespace(); err != nil {
			return nil, configurationError{fmt.Errorf("namespace of the kubeconfig: %w", err)}
		}
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	objects, err := client.NewWithWatch(rest, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	logs, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return &cluster{WithWatch: objects, logs: logs, namespace: namespace}, nil
}

// key names an object in the chosen namespace.
func (k *cluster) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: k.namespace, Name: name}
}

// jobKind stands before a job's name where a place could be meant, as with kubectl: job/NAME.
const jobKind = "job/"

// job fetches a job, NAME or job/NAME, from the cluster, to learn where it keeps its checkpoints.
func (f *kubeFlags) job(ctx context.Context, name string) (*v1alpha1.HRMTrainingJob, error) {
	name = strings.TrimPrefix(name, jobKind)
	k, err := f.connect()
	if err != nil {
		return nil, fmt.Errorf("job %s: %w; or name the place that it trained into", name, err)
	}
	return k.job(ctx, name)
}

func (k *cluster) job(ctx context.Context, name string) (*v1alpha1.HRMTrainingJob, error) {
	job := &v1alpha1.HRMTrainingJob{}
	if err := k.Get(ctx, k.key(name), job); err != nil {
		return nil, fmt.Errorf("job %s: %w", k.key(name), err)
	}
	return job, nil
}

// passing says whether an error of the cluster may be gone in a moment: it does not answer, or not now. What it decided
// about the request stays.
func passing(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code == 0 || code == 408 || code == 410 || code == 429 || code >= 500
}

// nameIs selects one object, and since begins a watch after a version of it.
func nameIs(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }

func since(resourceVersion string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: resourceVersion}
}
