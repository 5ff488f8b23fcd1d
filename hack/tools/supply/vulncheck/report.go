package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// message is the part of govulncheck's JSON stream that decides.
type message struct {
	Config *struct {
		DB        string `json:"db"`
		GoVersion string `json:"go_version"`
	} `json:"config"`
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *finding `json:"finding"`
}

// finding is one way to a vulnerability; one whose first frame names a function is called.
type finding struct {
	OSV          string  `json:"osv"`
	FixedVersion string  `json:"fixed_version"`
	Trace        []frame `json:"trace"`
}

type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
	Position *struct {
		Filename string `json:"filename"`
		Line     int    `json:"line"`
	} `json:"position"`
}

// report is what was found: called by ID, and the IDs of what is required or imported but not called.
type report struct {
	database, goVersion string
	summaries           map[string]string
	called              map[string]finding
	uncalled            map[string]finding
}

// readReport reads a stream of govulncheck. A stream without its head is an error: an empty answer clears nobody.
func readReport(r io.Reader) (*report, error) {
	found := &report{summaries: map[string]string{}, called: map[string]finding{}, uncalled: map[string]finding{}}
	for decoder := json.NewDecoder(r); ; {
		var m message
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read what govulncheck says: %w", err)
		}
		found.add(m)
	}
	if found.goVersion == "" || found.database == "" {
		return nil, errors.New("govulncheck did not say what it checked with")
	}
	for id := range found.called {
		delete(found.uncalled, id)
	}
	return found, nil
}

func (r *report) add(m message) {
	switch {
	case m.Config != nil:
		r.database, r.goVersion = m.Config.DB, m.Config.GoVersion
	case m.OSV != nil:
		r.summaries[m.OSV.ID] = m.OSV.Summary
	case m.Finding == nil || len(m.Finding.Trace) == 0:
	case m.Finding.Trace[0].Function == "":
		r.uncalled[m.Finding.OSV] = *m.Finding
	default:
		if _, ok := r.called[m.Finding.OSV]; !ok {
			r.called[m.Finding.OSV] = *m.Finding
		}
	}
}

var acceptedLine = regexp.MustCompile(`^(GO-\d{4}-\d{4,})\s+(\S.*)$`)

// parseAccepted reads lines of an ID and a reason; empty lines and comments do not count.
func parseAccepted(text string) (map[string]string, error) {
	accepted := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := acceptedLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("line %d: want an ID such as GO-2026-0001 and a reason, not %q", i+1, line)
		}
		if _, ok := accepted[parts[1]]; ok {
			return nil, fmt.Errorf("line %d: %s is there twice; remove one", i+1, parts[1])
		}
		accepted[parts[1]] = parts[2]
	}
	return accepted, nil
}

// judge tells what was found, and fails for what is called and not accepted, or accepted and not called.
func judge(w io.Writer, found *report, accepted map[string]string) error {
	fmt.Fprintf(w, "checked with %s and the database %s\n", found.goVersion, found.database)
	var bad []string
	for _, id := range slices.Sorted(maps.Keys(found.called)) {
		reason, ok := accepted[id]
		if !ok {
			bad = append(bad, id)
			reason = "not accepted"
		}
		fmt.Fprintf(w, "called: %s (%s)\n  %s\n", describe(id, found), reason, path(found.called[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(found.uncalled)) {
		fmt.Fprintf(w, "required, not called: %s\n", describe(id, found))
	}
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		if _, ok := found.called[id]; !ok {
			return fmt.Errorf("%s is accepted but not called any more: remove its line", id)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d known vulnerabilities are called (%s): raise the versions, or accept them with a reason",
			len(bad), strings.Join(bad, ", "))
	}
	fmt.Fprintln(w, "no known vulnerability is called that is not accepted")
	return nil
}

func describe(id string, found *report) string {
	f, ok := found.called[id]
	if !ok {
		f = found.uncalled[id]
	}
	fixed := f.FixedVersion
	if fixed == "" {
		fixed = "none"
	}
	return fmt.Sprintf("%s in %s %s, fixed in %s: %s", id, f.Trace[0].Module, f.Trace[0].Version, fixed, found.summaries[id])
}

// path tells how the vulnerable function is reached, from the caller's side.
func path(f finding) string {
	var steps []string
	for _, s := range slices.Backward(f.Trace) {
		name := s.Package + "." + s.Function
		if len(steps) == 0 && s.Position != nil {
			name += fmt.Sprintf(" (%s:%d)", s.Position.Filename, s.Position.Line)
		}
		steps = append(steps, name)
	}
	if len(steps) > 4 {
		steps = append(append(steps[:2:2], "…"), steps[len(steps)-1])
	}
	return strings.Join(steps, " → ")
}
