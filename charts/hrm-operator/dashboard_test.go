package chart

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	_ "github.com/hrm-operator/hrm-operator/controllers" // registers the operator's metrics
)

const dashboard = "dashboards/hrm.json"

// Every query of the dashboard and of the alerts parses, and reads only metrics that the operator or the trainer has.
func TestQueries_readMetricsThatExist(t *testing.T) {
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct{ Alert, Expr string }
			}
		}
	}
	render(t, "metrics.prometheusRule.enabled=true").find(t, "PrometheusRule", "hrm-operator", &rules)
	arguments := []string{"run", ".", "check", "--file", "../../charts/hrm-operator/" + dashboard, "--"}
	for _, rule := range rules.Spec.Groups[0].Rules {
		arguments = append(arguments, rule.Expr)
	}
	if len(arguments) < 6+5 {
		t.Errorf("only %d alerts", len(arguments)-6)
	}
	check := exec.Command("go", arguments...)
	check.Dir = "../../hack/dashboard"
	var problems strings.Builder
	check.Stderr = &problems
	out, err := check.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problems.String())
	}
	names, known := strings.Fields(string(out)), registered(t)
	if len(names) < 20 {
		t.Errorf("only %d metrics are read: %v", len(names), names)
	}
	for _, name := range names {
		if !known[name] && !known[strings.TrimSuffix(name, "_bucket")] && name != "up" {
			t.Errorf("nothing has the metric %s", name)
		}
	}
}

// registered names the metrics of operator and trainer: what is in the operator's registry, and what the sources describe.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		metrics.Registry.(prometheus.Collector).Describe(descriptions)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descriptions {
		known[name.FindStringSubmatch(d.String())[1]] = true
	}
	for file, described := range map[string]struct{ pattern, prefix string }{
		"../../controllers/metrics.go":      {`NewDesc\("(hrm_\w+)"`, ""},
		"../../trainer/progress/metrics.go": {`describe\("(\w+)"`, "hrm_training_"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(described.pattern).FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s describes no metric as %s", file, described.pattern)
		}
		for _, match := range found {
			known[described.prefix+string(match[1])] = true
		}
	}
	return known
}

func TestDashboard_isWhatGrafanaTakes(t *testing.T) {
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ H, W, X, Y int }
			Datasource               struct{ UID string }
			Targets                  []struct{ RefID, Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Templating.List) != 3 {
		t.Errorf("uid %q, title %q, schema version %d, variables %v", d.UID, d.Title, d.SchemaVersion, d.Templating.List)
	}
	var ids []int
	covered := map[[2]int]string{}
	for _, p := range d.Panels {
		if slices.Contains(ids, p.ID) {
			t.Errorf("panel %q has the id %d of another one", p.Title, p.ID)
		}
		ids = append(ids, p.ID)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := covered[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or beyond the grid", p.Title, other)
				}
				covered[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q: description %q, data source %q, %d queries", p.Title, p.Description, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.RefID == "" || target.LegendFormat == "" {
				t.Errorf("panel %q: query %q has no name or no legend", p.Title, target.Expr)
			}
		}
	}
}

// Every flag that the chart can set is one that the operator knows.
func TestChart_passesOnlyArgumentsThatTheOperatorKnows(t *testing.T) {
	help, err := exec.Command("go", "run", "../../cmd/hrm-operator", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	rendered, err := template(t, "--values", "testdata/full.yaml", "--set", "metrics.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ +- "?--([a-z0-9-]+)`).FindAllSubmatch(rendered, -1)
	if len(flags) < 15 {
		t.Errorf("only %d arguments", len(flags))
	}
	for _, flag := range flags {
		switch name := string(flag[1]); {
		case strings.HasPrefix(name, "set"), name == "timeout", name == "delete", name == "out", name == "endpoint", name == "region", name == "path-style":
			// of the test's pod
		case !strings.Contains(string(help), "  -"+name+" ") && !strings.Contains(string(help), "  -"+name+"\n"):
			t.Errorf("the operator has no --%s", name)
		}
	}
}
