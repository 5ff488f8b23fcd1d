package loop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// Recipe is a hash of all of a job's spec that decides what is computed: processes that train together must have the
// same, and a run that has ended is known by it. Where and on how many nodes it is computed is no part of it.
func Recipe(s *v1alpha1.HRMTrainingJobSpec) string {
	raw, err := json.Marshal(struct {
		Model      v1alpha1.ModelSpec
		Dataset    v1alpha1.DatasetSpec
		Training   v1alpha1.TrainingSpec
		Evaluation v1alpha1.EvaluationSpec
	}{s.Model, s.Dataset, s.Training, s.Evaluation})
	if err != nil {
		// The types are plain data: they always encode.
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// Finished is the last checkpoint of a run that has come to its end.
type Finished struct {
	Checkpoint apiprogress.Checkpoint
	// EvalExactAccuracy is the last evaluation's, nil if there was none.
	EvalExactAccuracy *float64
	// Early says why it ended before its last step; empty if it did not.
	Early string
}

// FindFinished returns the end of the job's run if the store holds it, nil if there is something left to train. A process
// that is started once more after the end, in a group perhaps alone, learns here that it has nothing to wait for.
func FindFinished(ctx context.Context, store objectstore.Store, s *v1alpha1.HRMTrainingJobSpec) (*Finished, error) {
	ref := checkpoint.Last(ctx, store)
	if ref == nil {
		return nil, ctx.Err()
	}
	scalars, err := checkpoint.ReadScalars(ctx, store, *ref)
	if err != nil || scalars[scalarFinished] != Recipe(s) {
		// Whether it can be trusted is for the run to say.
		return nil, ctx.Err()
	}
	f := &Finished{Checkpoint: apiprogress.Checkpoint{URI: store.URI(ref.Folder), Step: ref.Step, Time: ref.Time}, Early: scalars[scalarEarly]}
	if evaluated, err := strconv.ParseInt(scalars[scalarEvaluated], 10, 64); err == nil && evaluated >= 0 {
		exact, err := strconv.ParseFloat(scalars[scalarLast], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Checkpoint.URI, err)
		}
		f.EvalExactAccuracy = &exact
	}
	return f, nil
}
