package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	sample     = "config/samples/sudoku-quickstart.yaml"
	namespace  = "hrm-demo"
	secretName = "hrm-s3"
	// prefix is the demo's own part of the bucket, which may be the user's.
	prefix = "hrm-demo"
	// wantExact is the share of held-out boards that the quickstart must solve completely.
	wantExact = 0.80
)

// quickstart reads the sample and points it at the demo's bucket and puzzles.
func quickstart(e environment, source string) (string, string, error) {
	raw, err := os.ReadFile(sample)
	if err != nil {
		return "", "", err
	}
	var job unstructured.Unstructured
	if err := yaml.Unmarshal(raw, &job.Object); err != nil {
		return "", "", fmt.Errorf("%s: %w", sample, err)
	}
	job.SetNamespace(namespace)
	storage := map[string]any{
		"endpoint": e.endpoint, "bucket": e.bucket, "prefix": prefix, "pathStyle": true,
		"credentialsSecretRef": map[string]any{"name": secretName},
	}
	err = errors.Join(
		unstructured.SetNestedMap(job.Object, storage, "spec", "storage"),
		unstructured.SetNestedField(job.Object, source, "spec", "dataset", "source", "uri"))
	if err != nil {
		return "", "", err
	}
	out, err := yaml.Marshal(job.Object)
	return job.GetName(), string(out), err
}

// tool runs kubectl, helm or hrm against the environment and returns what it printed.
func (e environment) tool(ctx context.Context, input, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.find(program), args...)
	cmd.Env = append(os.Environ(), e.variables...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), nil
}

// find looks a program up on the environment's PATH, which is not this process's.
func (e environment) find(program string) string {
	for _, dir := range append([]string{"bin"}, filepath.SplitList(e.variable("PATH"))...) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			if absolute, err := filepath.Abs(path); err == nil {
				return absolute
			}
		}
	}
	return program
}

// install brings the operator into the cluster with helm, as a user would. Images keep their names from demo to demo, so
// that only a change of the pod starts the new one.
func (e environment) install(ctx context.Context) error {
	args := []string{"upgrade", "--install", "hrm-operator", "charts/hrm-operator",
		"--namespace", "hrm-system", "--create-namespace", "--wait", "--timeout", "3m",
		"--set-string", "podAnnotations.startedAt=" + time.Now().UTC().Format(time.RFC3339)}
	for name, image := range map[string]string{"image": e.operatorImage, "trainerImage": e.trainerImage} {
		colon := strings.LastIndex(image, ":")
		if colon < 0 {
			return fmt.Errorf("%s %q has no tag; name it as repository:tag in DEMO_OPERATOR_IMAGE and DEMO_TRAINER_IMAGE", name, image)
		}
		args = append(args, "--set", name+".repository="+image[:colon]+","+name+".tag="+image[colon+1:])
	}
	_, err := e.tool(ctx, "", "helm", args...)
	return err
}

// clear removes an earlier demo's job, which might still train.
func (e environment) clear(ctx context.Context) error {
	_, err := e.tool(ctx, "", "kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait")
	return err
}

// apply makes the namespace, the credentials and the job.
func (e environment) apply(ctx context.Context, job string) error {
	access := fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: %s}
stringData: {AWS_ACCESS_KEY_ID: %q, AWS_SECRET_ACCESS_KEY: %q}
`, namespace, secretName, namespace, e.variable("AWS_ACCESS_KEY_ID"), e.variable("AWS_SECRET_ACCESS_KEY"))
	if _, err := e.tool(ctx, access, "kubectl", "apply", "-f", "-"); err != nil {
		return err
	}
	out, err := e.tool(ctx, job, "kubectl", "apply", "-f", "-")
	fmt.Print(out)
	return err
}

// jobStatus is what the demo reads of a job.
type jobStatus struct {
	Status struct {
		State      string
		Conditions []struct{ Type, Status, Reason, Message string }
		Progress   struct {
			Step, TotalSteps                                         int64
			Loss, ExactAccuracy, EvalExactAccuracy, SamplesPerSecond string
		}
	}
}

func (s jobStatus) condition(kind string) (message string, isTrue bool) {
	for _, c := range s.Status.Conditions {
		if c.Type == kind {
			return c.Reason + ": " + c.Message, c.Status == "True"
		}
	}
	return "", false
}

// line is one look at the job, as the terminal shows it; what is not known yet is left out.
func (s jobStatus) line() string {
	p := s.Status.Progress
	line := fmt.Sprintf("%-16s", s.Status.State)
	if p.TotalSteps > 0 {
		done := int(20 * p.Step / p.TotalSteps)
		line += fmt.Sprintf("  [%s%s] %d/%d", strings.Repeat("#", done), strings.Repeat(".", 20-done), p.Step, p.TotalSteps)
	}
	for _, part := range [][2]string{
		{"loss", p.Loss}, {"exact", p.ExactAccuracy}, {"held-out exact", p.EvalExactAccuracy}, {"samples/s", p.SamplesPerSecond},
	} {
		if part[1] != "" {
			line += "  " + part[0] + " " + part[1]
		}
	}
	return line
}

// follow shows the job's progress until it is complete or has failed.
func (e environment) follow(ctx context.Context, name string, terminal bool) error {
	last := ""
	for {
		out, err := e.tool(ctx, "", "kubectl", "get", "hrmtrainingjob", name, "-n", namespace, "-o", "json")
		if err != nil {
			return err
		}
		var status jobStatus
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			return err
		}
		if line := status.line(); line != last {
			last = line
			if terminal {
				fmt.Printf("\r\033[K%s", line)
			} else {
				fmt.Println(line)
			}
		}
		if _, done := status.condition("Complete"); done {
			fmt.Println()
			return nil
		}
		if why, failed := status.condition("Failed"); failed {
			return fmt.Errorf("job %s failed: %s\n%s", name, why, e.evidence(ctx))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// evidence is what one would look at first when a job fails.
func (e environment) evidence(ctx context.Context) string {
	var out strings.Builder
	for _, args := range [][]string{
		{"get", "events", "-n", namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", namespace, "--tail=40", "--prefix", "-l", "hrm.dev/job"},
		{"logs", "-n", "hrm-system", "--tail=40", "deployment/hrm-operator"},
	} {
		text, err := e.tool(ctx, "", "kubectl", args...)
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(&out, "--- kubectl %s\n%s\n", strings.Join(args, " "), text)
	}
	return out.String()
}
