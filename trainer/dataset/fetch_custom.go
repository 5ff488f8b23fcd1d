package dataset

import (
	"context"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// fetchCustom fetches a file of examples, or from a folder its train.jsonl and, if there is one, its test.jsonl, both
// possibly with .gz behind, or the files of a dataset that is in the official layout already.
func (f *fetcher) fetchCustom(ctx context.Context, uri string) error {
	err := f.fetch(ctx, uri, Train)
	if err == nil || !missing(err) {
		return err
	}
	folder := strings.TrimSuffix(uri, "/")
	found, err := f.fetchEither(ctx, folder+"/train.jsonl", Train)
	if err != nil {
		return err
	}
	if found {
		_, err = f.fetchEither(ctx, folder+"/test.jsonl", Test)
		return err
	}
	return f.fetchArrays(ctx, folder, uri)
}

// fetchArrays fetches the files of the official layout, as far as they are there.
func (f *fetcher) fetchArrays(ctx context.Context, folder, uri string) error {
	for _, name := range requiredFiles() {
		if err := f.fetch(ctx, folder+"/"+name, name); err != nil && !missing(err) {
			return err
		}
	}
	if f.fetched.file("train/dataset.json") == nil {
		return dataerror.New(sourceName(uri), 0,
			"no such file, nor a folder with a train.jsonl or with train/dataset.json and its arrays: correct dataset.source.uri")
	}
	return nil
}
