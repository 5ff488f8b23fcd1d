package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// failureKey is where a run leaves why it has failed, beside its checkpoints: whoever looks there later need not know the job.
const failureKey = "failure.json"

// failure is the content of failureKey.
type failure struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
}

// recordFailure leaves why a run has failed in its store. An interruption is no failure. The store may be the very thing that
// has failed, so that nothing depends on it.
func recordFailure(ctx context.Context, store objectstore.Store, reason error) {
	if reason == nil || exitCode(reason) == exitInterrupted {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	raw, err := json.Marshal(failure{time.Now().UTC(), reason.Error()})
	if err == nil {
		_, _ = objectstore.PutBytes(ctx, store, failureKey, raw, objectstore.Condition{})
	}
}

// clearFailure removes what an earlier attempt has left.
func clearFailure(ctx context.Context, store objectstore.Store) {
	if _, err := store.Stat(ctx, failureKey); err == nil {
		_ = store.Delete(ctx, failureKey)
	}
}

// readFailure is why the last attempt has failed; empty if it has not, or nothing says so.
func readFailure(ctx context.Context, store objectstore.Store) string {
	raw, _, err := objectstore.ReadAll(ctx, store, failureKey, 1<<20)
	var f failure
	if err != nil || json.Unmarshal(raw, &f) != nil {
		return ""
	}
	return f.Message
}
