package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// operatorPods lists the operator's pods that run.
func (w *world) operatorPods() []corev1.Pod {
	w.Helper()
	var list corev1.PodList
	w.eventually("a list of the operator's pods", func() error {
		return cluster.client.List(w.ctx, &list, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "operator"})
	})
	var running []corev1.Pod
	for _, pod := range list.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			running = append(running, pod)
		}
	}
	return running
}

// scaleOperator sets the number of replicas and waits for them.
func (w *world) scaleOperator(n int) {
	w.Helper()
	_, err := output(w.ctx, "", "kubectl", "-n", systemNamespace, "scale", "deployment/"+operatorName, fmt.Sprintf("--replicas=%d", n))
	w.must(err)
	w.eventually(fmt.Sprintf("%d operators", n), func() error {
		if got := len(w.operatorPods()); got != n {
			return fmt.Errorf("%d run", got)
		}
		return nil
	})
}

// keepOperatorOn moves the operator to a node that stays, for this case.
func (w *world) keepOperatorOn(node string) {
	w.Helper()
	w.must(installOperator("charts/hrm-operator", `nodeSelector.kubernetes\.io/hostname=`+node))
	w.Cleanup(w.restoreOperator)
}

// restoreOperator installs the operator as the other cases expect it.
func (w *world) restoreOperator() {
	if err := installOperator("charts/hrm-operator"); err != nil {
		w.Error(err)
	}
}

func TestOperatorKilledAgainAndAgain(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("abandoned"))
	for range 5 {
		for _, pod := range w.operatorPods() {
			for _, pid := range processes(pod.UID) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(2 * time.Second) // a moment of work between two kills; how much is not the point
	}
	w.expect(job, complete)
	w.awaitEvent(job, "AttemptStarted")
	w.awaitEvent(job, v1alpha1.ReasonTrained)
}

func TestOperatorDownWhileTheJobFinishes(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("unseen"))
	w.awaitStep(job, 100)
	w.scaleOperator(0)
	w.eventually("the end of the batch Job", func() error {
		var child batchv1.Job
		if err := cluster.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: job + "-1"}, &child); err != nil {
			return err
		}
		for _, c := range child.Status.Conditions {
			if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("it is not complete")
	})
	w.scaleOperator(1)
	w.expect(job, complete)
	w.awaitEvent(job, v1alpha1.ReasonTrained)
}

func TestTwoOperators(t *testing.T) {
	w := alone(t)
	w.scaleOperator(2)
	defer w.scaleOperator(1)
	job := w.submit(smallJob("shared"))
	w.awaitStep(job, 100)
	leader := w.leader()
	for _, pod := range w.operatorPods() {
		if strings.HasPrefix(leader, pod.Name+"_") {
			for _, pid := range processes(pod.UID) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	w.eventually("another leader", func() error {
		if now := w.leader(); now == leader || now == "" {
			return fmt.Errorf("%q still leads", now)
		}
		return nil
	})
	w.expect(job, complete)
}

// leader is who holds the operators' Lease.
func (w *world) leader() string {
	w.Helper()
	var lease coordinationv1.Lease
	w.must(cluster.client.Get(w.ctx, client.ObjectKey{Namespace: systemNamespace, Name: "hrm-operator.hrm.dev"}, &lease))
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestAPIServerRestarts(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("patient"))
	w.awaitStep(job, 300)
	withoutPart(t, "kube-apiserver", func() {
		time.Sleep(8 * time.Second) // the length of the outage is what is tried
	})
	w.expect(job, complete)
}

func TestControllersAndSchedulerRestart(t *testing.T) {
	w := alone(t)
	job := ""
	withoutPart(t, "kube-scheduler", func() {
		withoutPart(t, "kube-controller-manager", func() {
			job = w.submit(smallJob("early"))
			w.await(job, v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonQueued)
		})
	})
	w.expect(job, complete)
}

// The apiserver's books say that a node is there while its kubelet is not: training goes on, and its end is seen late.
func TestKubeletStopsForAWhile(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("lonely").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Template.NodeSelector = map[string]string{"kubernetes.io/hostname": secondNode}
	}))
	w.keepOperatorOn(firstNode)
	w.awaitStep(job, 300)
	part(t, "stop", "kubelet", "2")
	w.awaitStep(job, 600)
	part(t, "start", "kubelet", "2")
	w.expect(job, complete)
}
