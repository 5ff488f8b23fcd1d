package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// OperatorProcess is the real operator, a process of its own.
type OperatorProcess struct {
	*Process
	plane   *Plane
	Metrics string // URL of its metrics
}

// InstallOperator builds the operator and gives its user the rights of config/rbac, no others.
func (p *Plane) InstallOperator(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", p.Path("hrm-operator"), "./cmd/hrm-operator")
	build.Dir, build.Stderr = p.options.Root, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the operator: %w", err)
	}
	if _, _, err := p.User(Operator); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(p.options.Root, "config/rbac/role.yaml"))
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal(text, &role); err != nil {
		return fmt.Errorf("read config/rbac/role.yaml: %w", err)
	}
	client, err := kubernetes.NewForConfig(p.Admin)
	if err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Operator},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: Operator}},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: OperatorNamespace}}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// StartOperator starts the operator and waits until it is ready. More flags may follow those that every run needs.
func (p *Plane) StartOperator(ctx context.Context, flags ...string) (*OperatorProcess, error) {
	metrics, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	health, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	process, err := p.Run(Operator, p.Path("hrm-operator"), append([]string{
		"--trainer-image=trainer:kwok", "--namespace=" + OperatorNamespace,
		"--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + health,
	}, flags...), "KUBECONFIG="+p.Path(Operator+".kubeconfig"))
	if err != nil {
		return nil, err
	}
	operator := &OperatorProcess{Process: process, plane: p, Metrics: "http://" + metrics + "/metrics"}
	return operator, Poll(ctx, time.Minute, func() error {
		if err := process.Alive(); err != nil {
			return err
		}
		return httpOK(ctx, "http://"+health+"/readyz")
	})
}

// Stop ends the operator as a node that is drained does; another may be started.
func (o *OperatorProcess) Stop() error {
	o.plane.forget(o.Process)
	return o.Process.Stop()
}

func httpOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}
