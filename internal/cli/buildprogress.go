package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// buildDataset builds a dataset in out, within the bounds that a job has, and shows how far it is. Sources in buckets are
// reached as the flags say.
func (a *app) buildDataset(ctx context.Context, spec v1alpha1.DatasetSpec, store *storeFlags, out string) (dataset.Summary, error) {
	if out == "" {
		return dataset.Summary{}, usageError{errors.New("--out is missing: name a directory for the dataset")}
	}
	if err := spec.Validate(); err != nil {
		return dataset.Summary{}, usageError{errors.New(asFlags.Replace(err.Error()))}
	}
	s3, err := store.config()
	if err != nil {
		return dataset.Summary{}, err
	}
	show, done := a.buildProgress()
	defer done()
	return dataset.Build(ctx, spec, sourcesOf(ctx, s3), out, show)
}

// asFlags names the fields of a dataset's spec as its flags.
var asFlags = strings.NewReplacer("dataset.source.uri", "--source", "dataset.testFraction", "--test-fraction", "dataset.subsample", "--subsample",
	"dataset.augmentations", "--augmentations", "dataset.maxBlanks", "--max-blanks", "dataset.minRating", "--min-rating",
	"dataset.maxRating", "--max-rating", "minRating", "--min-rating", "dataset.maze.size", "--size", "dataset.maze.minPathLength", "--min-path",
	"dataset.maze.count", "--generate", "dataset.seed", "--seed")

// buildProgress says on standard error how far the building of a dataset is: on a terminal in one line that is redrawn,
// elsewhere in a line now and then.
func (a *app) buildProgress() (show dataset.Progress, done func()) {
	if file, ok := a.err.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		show = seldom(200*time.Millisecond, time.Now, func(text string) { fmt.Fprint(file, "\r\x1b[K"+text) })
		return show, func() { fmt.Fprint(file, "\r\x1b[K") }
	}
	return seldom(10*time.Second, time.Now, func(text string) { a.log.Info(text) }), func() {}
}

// seldom passes on at most one report in so long, beginning when it has passed.
func seldom(every time.Duration, now func() time.Time, say func(string)) dataset.Progress {
	var mu sync.Mutex
	last := now()
	return func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if t := now(); t.Sub(last) >= every {
			last = t
			say(fmt.Sprintf("%s: %d of %d", stage, done, total))
		}
	}
}
