package progress

import (
	"fmt"
	"os"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// TerminationLog is where Kubernetes looks for a container's last words.
const TerminationLog = "/dev/termination-log"

// WriteTermination writes the final report to path if that file exists: on a laptop it does not, and nothing is written.
func WriteTermination(path string, r progress.Report) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	message, err := r.TerminationMessage()
	if err != nil {
		return fmt.Errorf("termination message: %w", err)
	}
	if err := os.WriteFile(path, message, 0o644); err != nil {
		return fmt.Errorf("termination message: %w", err)
	}
	return nil
}
