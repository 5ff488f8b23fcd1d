package controllers

import (
	"fmt"
	"os"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// operatorRules are the rights that the operator is installed with.
func operatorRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	text, err := os.ReadFile("../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

// grant gives a user the operator's rights within the world's namespace, and those of leader election.
func (w *world) grant(user string) {
	w.t.Helper()
	rules := append(operatorRules(w.t),
		rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{"hrm-operator.hrm.dev"}, Verbs: []string{"get", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}})
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: "hrm-operator"}
	w.create(&rbacv1.Role{ObjectMeta: meta, Rules: rules})
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "hrm-operator"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

func TestNamespacedMode_needsRolesOnly(t *testing.T) {
	w := newWorldWithout(t)
	user := "operator-of-" + w.namespace
	w.grant(user)
	w.launch(operator{lead: true, user: user})
	w.submit(builders.Job("local").Credentials("s3"))
	w.finishEventually("local-1", batchv1.JobFailed)
	w.finishEventually("local-2", batchv1.JobComplete)
	w.awaitCondition("local", v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	w.awaitEvents("local", "AttemptStarted", v1alpha1.ReasonTrained)
}

func (w *world) finishEventually(name string, kind batchv1.JobConditionType) {
	w.t.Helper()
	w.attempt(name)
	w.finish(name, kind, batchv1.JobReasonBackoffLimitExceeded)
}

func TestAccess_isNoMoreThanNeeded(t *testing.T) {
	w := newWorldWithout(t)
	user := "inspected-in-" + w.namespace
	w.grant(user)
	elsewhere := newWorldWithout(t)
	for _, c := range []struct {
		group, resource, verb string
		want                  bool
	}{
		{"hrm.dev", "hrmtrainingjobs", "list", true},
		{"batch", "jobs", "create", true},
		{"batch", "jobs", "update", false},
		{"batch", "jobs", "patch", false},
		{"", "pods", "delete", true},
		{"", "pods", "create", false},
		{"", "secrets", "get", false},
		{"", "secrets", "list", false},
		{"", "secrets", "watch", false},
		{"", "serviceaccounts", "create", false},
		{"", "configmaps", "delete", false},
		{"rbac.authorization.k8s.io", "roles", "create", false},
		{"hrm.dev", "hrmtrainingjobs", "update", false},
	} {
		for _, namespace := range []string{w.namespace, elsewhere.namespace, ""} {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: c.group, Resource: c.resource, Verb: c.verb},
			}}
			w.create(review)
			if want := c.want && namespace == w.namespace; review.Status.Allowed != want {
				t.Errorf("%s %s.%s in %q: allowed %t, want %t", c.verb, c.resource, c.group, namespace, review.Status.Allowed, want)
			}
		}
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "s3"}, StringData: map[string]string{"AWS_ACCESS_KEY_ID": "x"}})
	cluster := rest.CopyConfig(controlPlane)
	cluster.Impersonate.UserName = user
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "s3"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Error(fmt.Errorf("the operator can read a Secret: %w", err))
	}
}
