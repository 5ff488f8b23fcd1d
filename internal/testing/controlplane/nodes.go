package controlplane

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// PodIP is the address of every pod. A server that listens there on progress.Port plays all their rank 0s.
const PodIP = "127.77.0.1"

// RunsFor and RunsForAtMost are keys of tolerations, which a job may put on its pods without any effect of their own:
// their values are the shortest and the longest time that the pod runs before it succeeds. A pod without them runs on.
const (
	RunsFor       = "kwok.hrm.dev/runs-for"
	RunsForAtMost = "kwok.hrm.dev/runs-for-at-most"
)

// NodeLabel is on every node, with the node's name.
const NodeLabel = "kwok.hrm.dev/node"

//go:embed stages.yaml
var stages []byte

// startNodes starts KWOK and waits until its nodes take pods.
func (p *Plane) startNodes(ctx context.Context) error {
	kubeconfig, _, err := p.User("kwok", admins)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.Path("stages.yaml"), stages, 0o600); err != nil {
		return err
	}
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	kwok, err := p.Run("kwok", p.Program("kwok"), []string{
		"--kubeconfig=" + kubeconfig, "--config=" + p.Path("stages.yaml"), "--manage-all-nodes",
		"--node-lease-duration-seconds=40", "--node-ip=" + PodIP, "--server-address=" + address,
	})
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(p.Admin)
	if err != nil {
		return err
	}
	for i := range p.options.Nodes {
		name := fmt.Sprintf("kwok-%d", i)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{NodeLabel: name}}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create node %s: %w", name, err)
		}
	}
	return Poll(ctx, time.Minute, func() error {
		if err := kwok.Alive(); err != nil {
			return err
		}
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if !ready(node) || len(node.Spec.Taints) > 0 {
				return fmt.Errorf("node %s is not ready: %v", node.Name, node.Spec.Taints)
			}
		}
		return nil
	})
}

func ready(node corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
