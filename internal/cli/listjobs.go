package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func (a *app) listJobsCommand() *cobra.Command {
	var kube kubeFlags
	var all bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List a cluster's jobs: how far they are, and why they are not further",
		Example: "  kubectl hrm list\n  kubectl hrm list -A",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := kube.connect()
			if err != nil {
				return err
			}
			if all {
				k.namespace = ""
			}
			var jobs v1alpha1.HRMTrainingJobList
			if err := k.List(c.Context(), &jobs, client.InNamespace(k.namespace)); err != nil {
				return fmt.Errorf("list jobs: %w", err)
			}
			return a.printJobs(jobs.Items, time.Now())
		},
	}
	kube.add(c)
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "list the jobs of all namespaces")
	return c
}

// printJobs writes a table, the newest job first.
func (a *app) printJobs(jobs []v1alpha1.HRMTrainingJob, now time.Time) error {
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(a.err, "no jobs")
		return err
	}
	slices.SortStableFunc(jobs, func(x, y v1alpha1.HRMTrainingJob) int { return y.CreationTimestamp.Compare(x.CreationTimestamp.Time) })
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tNAME\tSTATE\tSTEP\tLOSS\tEXACT\tATTEMPTS\tRESTARTS\tDISRUPTIONS\tAGE\tWHY")
	for i := range jobs {
		j := &jobs[i]
		p := j.Status.Progress
		if p == nil {
			p = &v1alpha1.ProgressStatus{}
		}
		age := duration.HumanDuration(now.Sub(j.CreationTimestamp.Time))
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", j.Namespace, j.Name, orDash(j.Status.State), orDash(p.StepOfTotal),
			orDash(p.Loss), orDash(p.EvalExactAccuracy), j.Status.Attempts, j.Status.Restarts, j.Status.Disruptions, age, firstLine(explanation(&j.Status)))
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
