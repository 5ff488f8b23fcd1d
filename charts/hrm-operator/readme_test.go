package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// whole are values that are described as they stand, not field by field: what is in them is Kubernetes'.
var whole = []string{"resources", "podSecurityContext", "securityContext", "test.resources", "metrics.dashboard.labels"}

// Every value is in the README's table with its default, and nothing else is.
func TestREADME_describesEveryValue(t *testing.T) {
	text, err := os.ReadFile("values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]*)` \\| .{4,} \\|$").FindAllSubmatch(readme, -1) {
		described[string(row[1])] = string(row[2])
	}
	if diff := cmp.Diff(leaves(t, "", values), described); diff != "" {
		t.Errorf("README.md and values.yaml differ (-values +described):\n%s", diff)
	}
}

// leaves maps the path of every value to its default.
func leaves(t *testing.T, path string, value any) map[string]string {
	t.Helper()
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 || slices.Contains(whole, path) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{path: string(text)}
	}
	all := map[string]string{}
	for name, child := range object {
		below := name
		if path != "" {
			below = fmt.Sprintf("%s.%s", path, name)
		}
		for k, v := range leaves(t, below, child) {
			all[k] = v
		}
	}
	return all
}
