// Package officialloader checks datasets against the reader that they are made for: numpy, by the rules of the official
// implementation's loader.
package officialloader

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
)

//go:embed testdata/check.py
var script string

// Counts are what one split holds.
type Counts struct{ Groups, Puzzles, Examples int }

// Check reads the dataset in dir and fails the test if the official loader could not. It returns what numpy found in each split.
//
// Without numpy the test is skipped; where CI is set to true it fails instead, so that no gap is hidden there.
func Check(t testing.TB, dir string) map[string]Counts {
	t.Helper()
	python, err := interpreter()
	if err != nil {
		needs.Missing(t, err)
	}
	counts, err := read(python, dir)
	if err != nil {
		t.Fatalf("the official loader does not read %s: %v", dir, err)
	}
	return counts
}

// interpreter finds a Python with numpy: Debian's, which its package python3-numpy serves, or the one in the path.
func interpreter() (string, error) {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import numpy").Run() == nil {
			return python, nil
		}
	}
	return "", errors.New("no Python with numpy: install the Debian package python3-numpy (make deps)")
}

func read(python, dir string) (map[string]Counts, error) {
	out, err := exec.Command(python, "-c", script, dir).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return nil, errors.New(strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return nil, err
	}
	var counts map[string]Counts
	if err := json.Unmarshal(out, &counts); err != nil {
		return nil, fmt.Errorf("the check prints %.80q: %w", out, err)
	}
	return counts, nil
}
