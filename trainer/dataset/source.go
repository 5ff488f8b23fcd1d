package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// Open opens a source. The error wraps fs.ErrNotExist or objectstore.ErrNotFound if there is no such file.
type Open func(ctx context.Context, uri string) (io.ReadCloser, error)

// Sources opens files, http and https URLs, and objects of s3://bucket/key.
type Sources struct {
	// Client fetches URLs; nil is http.DefaultClient.
	Client *http.Client
	// Bucket returns the store of a bucket. Without it, s3 URIs are an error.
	Bucket func(name string) (objectstore.Store, error)
}

// Open implements the function type Open.
func (s Sources) Open(ctx context.Context, uri string) (io.ReadCloser, error) {
	scheme, rest, found := strings.Cut(uri, "://")
	switch {
	case !found:
		return openFile(uri)
	case scheme == "file":
		return openFile(rest)
	case scheme == "http" || scheme == "https":
		return s.openURL(ctx, uri)
	case scheme == "s3":
		return s.openObject(ctx, rest)
	default:
		return nil, dataerror.New(sourceName(uri), 0, "unknown scheme %q: expected s3, http, https or file", scheme)
	}
}

func openFile(name string) (io.ReadCloser, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: %w", name, fs.ErrNotExist)
	}
	return os.Open(name)
}

func (s Sources) openURL(ctx context.Context, uri string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, dataerror.New(sourceName(uri), 0, "not a valid URL")
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", sourceName(uri), errors.Unwrap(err))
	}
	switch code := response.StatusCode; {
	case code == http.StatusOK:
		return response.Body, nil
	case code == http.StatusNotFound || code == http.StatusGone:
		err = fs.ErrNotExist
	default:
		err = errors.New("the server answers " + response.Status)
	}
	response.Body.Close()
	return nil, fmt.Errorf("fetch %s: %w", sourceName(uri), err)
}

func (s Sources) openObject(ctx context.Context, rest string) (io.ReadCloser, error) {
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" || s.Bucket == nil {
		return nil, dataerror.New("s3://"+rest, 0, "no bucket to read from: write s3://bucket/key and configure the storage")
	}
	if key == "" {
		return nil, objectstore.ErrNotFound
	}
	store, err := s.Bucket(bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	r, _, err := store.Get(ctx, key)
	return r, err
}

// sourceName is a URI without what may be secret in it: user, password and query.
func sourceName(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return uri
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// source is what was fetched: one file to be split, or a training and a test file.
type source struct {
	train, test *sourceFile // test is nil if there is only one
}

type sourceFile struct {
	name   string // for messages
	path   string
	sha256 string
}

// hash identifies the content, wherever it lies.
func (s source) hash() string {
	if s.test == nil {
		return s.train.sha256
	}
	return s.train.sha256 + "+" + s.test.sha256
}

// fetch copies a source into a directory, hashing it on the way. If the URI is a folder, its train.csv and, if there is
// one, its test.csv are the source, both possibly with .gz behind. A file of more than maxBytes is refused.
func fetch(ctx context.Context, uri string, open Open, dir string, maxBytes int64) (source, error) {
	open = bounded(open, maxBytes)
	train, err := fetchFile(ctx, uri, open, filepath.Join(dir, "train"))
	if err == nil {
		return source{train: train}, nil
	}
	if !missing(err) {
		return source{}, err
	}
	folder := strings.TrimSuffix(uri, "/")
	if train, err = fetchEither(ctx, folder+"/train.csv", open, filepath.Join(dir, "train")); err != nil {
		return source{}, err
	}
	if train == nil {
		return source{}, dataerror.New(sourceName(uri), 0, "no such file, nor a folder with a train.csv: correct dataset.source.uri")
	}
	test, err := fetchEither(ctx, folder+"/test.csv", open, filepath.Join(dir, "test"))
	return source{train: train, test: test}, err
}

// bounded opens files that end with an error after maxBytes: a URL may give bytes without an end.
func bounded(open Open, maxBytes int64) Open {
	return func(ctx context.Context, uri string) (io.ReadCloser, error) {
		r, err := open(ctx, uri)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{dataerror.Limit(r, sourceName(uri), maxBytes), r}, nil
	}
}

// fetchEither fetches a file or its compressed form; it returns nil if there is neither.
func fetchEither(ctx context.Context, uri string, open Open, to string) (*sourceFile, error) {
	for _, suffix := range []string{"", ".gz"} {
		if f, err := fetchFile(ctx, uri+suffix, open, to); err == nil || !missing(err) {
			return f, err
		}
	}
	return nil, nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrNotFound)
}

func fetchFile(ctx context.Context, uri string, open Open, to string) (*sourceFile, error) {
	r, err := open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", sourceName(uri), err)
	}
	return &sourceFile{sourceName(uri), to, hex.EncodeToString(h.Sum(nil))}, f.Close()
}
