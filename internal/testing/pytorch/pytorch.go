// Package pytorch lets tests ask the real PyTorch, where it is installed: Debian's python3-torch.
package pytorch

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
)

// interpreter is the Python that Debian's packages belong to; another one may come first on the PATH.
const interpreter = "/usr/bin/python3"

var missing = sync.OnceValue(func() error {
	return exec.Command(interpreter, "-c", "import torch").Run()
})

// Run runs a script with its arguments and returns what it printed. Without PyTorch the test is skipped, or fails where
// CI=true says that nothing may be left out.
func Run(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	if err := missing(); err != nil {
		needs.Missing(t, fmt.Errorf("PyTorch is missing (%w): apt-get install python3-torch python3-numpy", err))
	}
	c := exec.CommandContext(t.Context(), interpreter, append([]string{script}, args...)...)
	// The scripts lie beside the tests, where no compiled copies should appear.
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "OMP_NUM_THREADS=1")
	var failure bytes.Buffer
	c.Stderr = &failure
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", script, args, err, out, &failure)
	}
	return out
}
