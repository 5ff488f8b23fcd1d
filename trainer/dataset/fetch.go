package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// source is what was fetched to build a dataset from.
type source struct{ files []sourceFile }

type sourceFile struct {
	// role is what a task takes the file for: Train, Test, or its name below the source.
	role   string
	name   string // for messages
	path   string
	sha256 string
}

// maxHash is the longest hash of a source that lists those of its files.
const maxHash = 4 << 10

// hash identifies the content, wherever it lies.
func (s source) hash() string {
	sums := make([]string, len(s.files))
	for i, f := range s.files {
		sums[i] = f.sha256
		if f.role != Train && f.role != Test {
			sums[i] = f.role + ":" + f.sha256
		}
	}
	hash := strings.Join(sums, "+")
	if len(hash) > maxHash {
		sum := sha256.Sum256([]byte(hash))
		hash = hex.EncodeToString(sum[:])
	}
	return hash
}

// file returns the first file of a role, nil if there is none.
func (s source) file(role string) *sourceFile {
	for i := range s.files {
		if s.files[i].role == role {
			return &s.files[i]
		}
	}
	return nil
}

// fetcher copies a source into a directory, hashing it on the way.
type fetcher struct {
	files Files
	dir   string
	// maxBytes bounds each file: a URL may give bytes without an end.
	maxBytes int64
	fetched  source
}

// fetchTable fetches a task's one file. If the URI is a folder, its train.csv and, if there is one, its test.csv are the source,
// both possibly with .gz behind.
func (f *fetcher) fetchTable(ctx context.Context, uri string) error {
	err := f.fetch(ctx, uri, Train)
	if err == nil || !missing(err) {
		return err
	}
	folder := strings.TrimSuffix(uri, "/")
	found, err := f.fetchEither(ctx, folder+"/train.csv", Train)
	if err != nil {
		return err
	}
	if !found {
		return dataerror.New(sourceName(uri), 0, "no such file, nor a folder with a train.csv: correct dataset.source.uri")
	}
	_, err = f.fetchEither(ctx, folder+"/test.csv", Test)
	return err
}

// fetchEither fetches a file or its compressed form, if there is one of them.
func (f *fetcher) fetchEither(ctx context.Context, uri, role string) (bool, error) {
	for _, suffix := range []string{"", ".gz"} {
		if err := f.fetch(ctx, uri+suffix, role); err == nil || !missing(err) {
			return err == nil, err
		}
	}
	return false, nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrNotFound)
}

// fetch copies one file.
func (f *fetcher) fetch(ctx context.Context, uri, role string) error {
	r, err := f.files.Open(ctx, uri)
	if err != nil {
		return err
	}
	defer r.Close()
	to := filepath.Join(f.dir, strconv.Itoa(len(f.fetched.files)))
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), dataerror.Limit(r, sourceName(uri), f.maxBytes)); err != nil {
		return fmt.Errorf("fetch %s: %w", sourceName(uri), err)
	}
	f.fetched.files = append(f.fetched.files, sourceFile{role, sourceName(uri), to, hex.EncodeToString(h.Sum(nil))})
	return out.Close()
}
