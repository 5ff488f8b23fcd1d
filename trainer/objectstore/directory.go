package objectstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// smallFile is the size up to which an ETag is a hash of the content; above it, it is the file's identity.
const smallFile = 1 << 20

// directory keeps every object in a file of its own. Files appear by rename, so readers see whole objects; a lock on a
// file orders writers, of other processes too.
type directory struct{ root string }

// OpenDir opens the directory store at path, creating the directory.
func OpenDir(path string) (Store, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Join(root, internalFolder), 0o755); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return &directory{root}, nil
}

func (d *directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// URI implements [Store].
func (d *directory) URI(key string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(d.path(key))}).String()
}

// lock keeps other writers out until the returned function is called.
func (d *directory) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(d.root, internalFolder, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock store %s: %w", d.root, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store %s: %w", d.root, err)
	}
	return func() { f.Close() }, nil
}

// Get implements [Store].
func (d *directory) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return nil, Info{}, err
	}
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, Info{}, d.explain("read", key, err)
	}
	info, err := describe(key, f)
	if err != nil {
		f.Close()
		return nil, Info{}, d.explain("read", key, err)
	}
	return f, info, nil
}

// Stat implements [Store].
func (d *directory) Stat(ctx context.Context, key string) (Info, error) {
	r, info, err := d.Get(ctx, key)
	if err == nil {
		r.Close()
	}
	return info, err
}

// describe returns an open file's size and ETag, and leaves it at its beginning.
func describe(key string, f *os.File) (Info, error) {
	s, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	if !s.Mode().IsRegular() {
		return Info{}, fs.ErrNotExist
	}
	info := Info{Key: key, Size: s.Size()}
	if s.Size() > smallFile {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return Info{}, err
		}
		info.ETag = fmt.Sprintf("%x-%x-%x", st.Ino, s.Size(), s.ModTime().UnixNano())
		return info, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, s.Size())); err != nil {
		return Info{}, err
	}
	info.ETag = hex.EncodeToString(h.Sum(nil))
	return info, nil
}

// Put implements [Store]: write a temporary file, sync it, then check the condition and rename under the lock.
func (d *directory) Put(ctx context.Context, key string, r io.Reader, size int64, c Condition) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	temporary, err := d.writeTemporary(ctx, r, size)
	if err != nil {
		return Info{}, d.explain("write", key, err)
	}
	defer os.Remove(temporary)
	unlock, err := d.lock()
	if err != nil {
		return Info{}, err
	}
	defer unlock()
	if err := d.holds(ctx, key, c); err != nil {
		return Info{}, err
	}
	parent := filepath.Dir(d.path(key))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Info{}, d.explain("write", key, err)
	}
	if err := os.Rename(temporary, d.path(key)); err != nil {
		return Info{}, d.explain("write", key, err)
	}
	if err := syncDir(parent); err != nil {
		return Info{}, d.explain("write", key, err)
	}
	return d.Stat(ctx, key)
}

func (d *directory) writeTemporary(ctx context.Context, r io.Reader, size int64) (name string, err error) {
	f, err := os.CreateTemp(filepath.Join(d.root, internalFolder), "put-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	n, err := io.Copy(f, io.LimitReader(readerWithContext{ctx, r}, size))
	if err == nil && n != size {
		err = fmt.Errorf("the content has %d bytes, want %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	return f.Name(), errors.Join(err, f.Chmod(0o644), f.Sync())
}

// readerWithContext stops reading when the context ends.
type readerWithContext struct {
	ctx context.Context
	r   io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// holds checks a condition; the caller holds the lock.
func (d *directory) holds(ctx context.Context, key string, c Condition) error {
	if !c.IfAbsent && c.IfMatch == "" {
		return ctx.Err()
	}
	info, err := d.Stat(ctx, key)
	absent := errors.Is(err, ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if c.IfAbsent && !absent || c.IfMatch != "" && (absent || info.ETag != c.IfMatch) {
		return fmt.Errorf("write %s: %w", d.URI(key), ErrPrecondition)
	}
	return nil
}

// syncDir makes a rename in a directory durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// List implements [Store].
func (d *directory) List(ctx context.Context, prefix string) ([]Info, error) {
	var all []Info
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		rel, relErr := filepath.Rel(d.root, path)
		key := filepath.ToSlash(rel)
		if err != nil || relErr != nil || key == "." {
			return relErr
		}
		if e.IsDir() {
			if key == internalFolder || !strings.HasPrefix(key+"/", prefix) && !strings.HasPrefix(prefix, key+"/") {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		if !e.Type().IsRegular() || !strings.HasPrefix(key, prefix) {
			return nil
		}
		info, err := d.Stat(ctx, key)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		all = append(all, info)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.URI(prefix), err)
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// Delete implements [Store]. Folders that become empty go too.
func (d *directory) Delete(ctx context.Context, key string) error {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if s, err := os.Lstat(d.path(key)); err == nil && s.IsDir() {
		return nil
	}
	if err := os.Remove(d.path(key)); err != nil {
		if err := d.explain("delete", key, err); !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}
	for dir := filepath.Dir(d.path(key)); dir != d.root; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break
		}
	}
	return nil
}

// explain says which object an error is about.
func (d *directory) explain(what, key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) && what != "write":
		return fmt.Errorf("%s %s: %w", what, d.URI(key), ErrNotFound)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%s %s: %w: free space or choose another directory", what, d.URI(key), err)
	}
	return fmt.Errorf("%s %s: %w", what, d.URI(key), err)
}
