package cli

import (
	"fmt"
	"strings"

	"github.com/hrm-operator/hrm-operator/internal/fieldpath"
)

// applySet sets the field of object, a pointer to a struct, that assignment names: path=value.
func applySet(object any, assignment string) error {
	path, value, ok := strings.Cut(assignment, "=")
	if !ok || path == "" {
		return usageError{fmt.Errorf("--set %s: want path=value, such as training.learningRate=1e-3", assignment)}
	}
	if err := fieldpath.SetText(object, path, value); err != nil {
		return usageError{fmt.Errorf("--set %s: %w", assignment, err)}
	}
	return nil
}
