package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const head = `{"config":{"db":"file:///db","go_version":"go1.26.10"}}
{"osv":{"id":"GO-2026-0001","summary":"It breaks"}}
`

const (
	called   = `{"finding":{"osv":"GO-2026-0001","fixed_version":"v1.2.0","trace":[{"module":"m","version":"v1.1.0","package":"m/p","function":"F"},{"module":"us","package":"us","function":"main"}]}}`
	imported = `{"finding":{"osv":"GO-2026-0001","fixed_version":"v1.2.0","trace":[{"module":"m","version":"v1.1.0","package":"m/p"}]}}`
)

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name, stream, accepted string
		want                   string // of the error; empty for none
	}{
		{name: "nothing found", stream: head},
		{name: "called", stream: head + imported + called, want: "1 known vulnerabilities are called (GO-2026-0001)"},
		{name: "called and accepted", stream: head + called, accepted: "# why\nGO-2026-0001 only on Windows\n"},
		{name: "another one accepted", stream: head + called, accepted: "GO-2026-0002 no", want: "GO-2026-0002 is accepted but not called"},
		{name: "imported, not called", stream: head + imported},
		{name: "accepted, but not called", stream: head + imported, accepted: "GO-2026-0001 x", want: "not called any more"},
		{name: "accepted without a reason", stream: head + called, accepted: "GO-2026-0001 ", want: "line 1: want an ID"},
		{name: "accepted twice", stream: head + called, accepted: "GO-2026-0001 a\nGO-2026-0001 b", want: "line 2: GO-2026-0001 is there twice"},
		{name: "no answer", stream: "", want: "did not say what it checked with"},
		{name: "half an answer", stream: head + `{"finding":{`, want: "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := readReport(strings.NewReader(test.stream))
			if err == nil {
				var accepted map[string]string
				if accepted, err = parseAccepted(test.accepted); err == nil {
					err = judge(io.Discard, found, accepted)
				}
			}
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A module that calls a function known to be vulnerable must be found by the database that hack/vulncheck.sh uses.
func TestCheck_findsAKnownVulnerability(t *testing.T) {
	db := os.Getenv("HRM_VULNDB")
	if db == "" {
		t.Skip("HRM_VULNDB names no database: run hack/vulncheck.sh")
	}
	const id = "GO-2021-0113"
	for version, vulnerable := range map[string]bool{"v0.3.6": true, "v0.3.7": false} {
		found, err := check(t.Context(), db, scratchModule(t, version), "", []string{"./..."})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := found.called[id]; ok != vulnerable {
			t.Errorf("golang.org/x/text %s: %s found: %t, want %t", version, id, ok, vulnerable)
		}
		if err := judge(io.Discard, found, nil); vulnerable && err == nil {
			t.Errorf("golang.org/x/text %s passed", version)
		}
	}
}

// scratchModule is a module that parses a language with a version of golang.org/x/text.
func scratchModule(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module scratch\n\ngo 1.26.0\n\nrequire golang.org/x/text " + version + "\n",
		"main.go": "package main\n\nimport \"golang.org/x/text/language\"\n\nfunc main() { _, _ = language.Parse(\"en\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir = dir
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	return dir
}
