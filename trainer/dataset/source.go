package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// Files is where sources lie.
type Files interface {
	// Open opens a file. The error wraps fs.ErrNotExist or objectstore.ErrNotFound if there is no such file.
	Open(ctx context.Context, uri string) (io.ReadCloser, error)
	// List returns the names of all files below a folder, relative to it, with slashes, in order; none if there is no such
	// folder. The error wraps errors.ErrUnsupported where folders cannot be listed, as behind a URL.
	List(ctx context.Context, folder string) ([]string, error)
}

// Sources are files, http and https URLs, and objects of s3://bucket/key.
type Sources struct {
	// Client fetches URLs; nil is http.DefaultClient.
	Client *http.Client
	// Bucket returns the store of a bucket. Without it, s3 URIs are an error.
	Bucket func(name string) (objectstore.Store, error)
}

// Open implements Files.
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

// List implements Files.
func (s Sources) List(ctx context.Context, folder string) ([]string, error) {
	scheme, rest, found := strings.Cut(folder, "://")
	switch {
	case !found:
		return listFolder(folder)
	case scheme == "file":
		return listFolder(rest)
	case scheme == "s3":
		return s.listObjects(ctx, rest)
	case scheme == "http" || scheme == "https":
		return nil, fmt.Errorf("list %s: %w", sourceName(folder), errors.ErrUnsupported)
	default:
		return nil, dataerror.New(sourceName(folder), 0, "unknown scheme %q: expected s3, http, https or file", scheme)
	}
}

func listFolder(folder string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

func (s Sources) listObjects(ctx context.Context, rest string) ([]string, error) {
	name, prefix, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	store, err := s.bucket(name, rest)
	if err != nil {
		return nil, err
	}
	if prefix != "" {
		prefix += "/"
	}
	objects, err := store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = strings.TrimPrefix(o.Key, prefix)
	}
	return names, nil
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
	name, key, _ := strings.Cut(rest, "/")
	store, err := s.bucket(name, rest)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, objectstore.ErrNotFound
	}
	r, _, err := store.Get(ctx, key)
	return r, err
}

func (s Sources) bucket(name, rest string) (objectstore.Store, error) {
	if name == "" || s.Bucket == nil {
		return nil, dataerror.New("s3://"+rest, 0, "no bucket to read from: write s3://bucket/key and configure the storage")
	}
	store, err := s.Bucket(name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	return store, nil
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
