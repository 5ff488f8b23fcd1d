package objectstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// smallFile is the size up to which an ETag is a hash of the content; above it, it is the file's identity.
const smallFile = 1 << 20

// abandonedAfter is how long nobody must have written to a temporary file for its process to count as dead.
const abandonedAfter = time.Hour

// directory keeps every object in a file of its own. Files appear by rename, so readers see whole objects; a lock on a
// file orders writers, of other processes too. Nothing outside the directory can be reached, by symbolic links neither.
type directory struct {
	name string // absolute
	root *os.Root
}

// OpenDir opens the directory store at path, creating the directory.
func OpenDir(path string) (Store, error) {
	name, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	d := &directory{name, root}
	d.sweep()
	return d, nil
}

// URI implements [Store].
func (d *directory) URI(key string) string {
	return (&url.URL{Scheme: "file", Path: path.Join(filepath.ToSlash(d.name), key)}).String()
}

// sweep removes what processes that were killed in the middle of a write have left. What cannot be removed stays: it
// takes room and does no other harm.
func (d *directory) sweep() {
	left, err := fs.ReadDir(d.root.FS(), internalFolder)
	if err != nil {
		return
	}
	for _, e := range left {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), temporaryPrefix) && time.Since(info.ModTime()) > abandonedAfter {
			_ = d.root.Remove(path.Join(internalFolder, e.Name()))
		}
	}
}

// lock keeps other writers out until the returned function is called.
func (d *directory) lock() (func(), error) {
	if err := d.root.MkdirAll(internalFolder, 0o755); err != nil {
		return nil, d.explain("lock", internalFolder, err)
	}
	f, err := d.root.OpenFile(internalFolder+"/lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, d.explain("lock", internalFolder, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, d.explain("lock", internalFolder, err)
	}
	return func() { f.Close() }, nil
}

// Get implements [Store].
func (d *directory) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return nil, Info{}, err
	}
	// A pipe that nobody writes to would block, were it opened in the ordinary way.
	f, err := d.root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
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

// GetRange implements [Store].
func (d *directory) GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error) {
	r, info, err := d.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	switch {
	case info.ETag != etag:
		err = ErrPrecondition
	case from < 0 || size < 1 || size > info.Size-from:
		err = fmt.Errorf("%d bytes from %d on are not in its %d: %w", size, from, info.Size, io.ErrUnexpectedEOF)
	default:
		_, err = r.(io.Seeker).Seek(from, io.SeekStart)
	}
	if err != nil {
		r.Close()
		return nil, d.explain("read", key, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, size), r}, nil
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
	defer func() { _ = d.root.Remove(temporary) }()
	unlock, err := d.lock()
	if err != nil {
		return Info{}, err
	}
	defer unlock()
	if err := d.holds(ctx, key, c); err != nil {
		return Info{}, err
	}
	if err := d.publish(temporary, key); err != nil {
		return Info{}, d.explain("write", key, err)
	}
	return d.Stat(ctx, key)
}

// publish gives a synced file its name, so that it keeps it when the power goes: every folder above it is synced, as
// any of them may be new.
func (d *directory) publish(temporary, key string) error {
	folder := path.Dir(key)
	if err := d.root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := d.root.Rename(temporary, key); err != nil {
		return err
	}
	for ; ; folder = path.Dir(folder) {
		if err := d.syncFolder(folder); err != nil || folder == "." {
			return err
		}
	}
}

// temporaryPrefix begins the names of files that are being written, below internalFolder.
const temporaryPrefix = "put-"

func (d *directory) writeTemporary(ctx context.Context, r io.Reader, size int64) (name string, err error) {
	if err := d.root.MkdirAll(internalFolder, 0o755); err != nil {
		return "", err
	}
	name = path.Join(internalFolder, temporaryPrefix+rand.Text())
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = d.root.Remove(name)
		}
	}()
	n, err := io.Copy(f, io.LimitReader(readerWithContext{ctx, r}, size))
	if err == nil && n != size {
		err = fmt.Errorf("the content has %d bytes, want %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return name, err
	}
	return name, f.Sync()
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

// syncFolder makes the names in a folder durable.
func (d *directory) syncFolder(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// List implements [Store].
func (d *directory) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := checkListPrefix(prefix); err != nil {
		return nil, err
	}
	var all []Info
	err := fs.WalkDir(d.root.FS(), ".", func(key string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || key == ".":
			return err
		case e.IsDir():
			if key == internalFolder || !strings.HasPrefix(key+"/", prefix) && !strings.HasPrefix(prefix, key+"/") {
				return fs.SkipDir
			}
			return ctx.Err()
		case !e.Type().IsRegular() || !strings.HasPrefix(key, prefix) || checkKey(key) != nil:
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
		return nil, d.explain("list", prefix, err)
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
	if s, err := d.root.Lstat(key); err == nil && s.IsDir() {
		return nil
	}
	if err := d.root.Remove(key); err != nil {
		if err := d.explain("delete", key, err); !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if d.root.Remove(folder) != nil {
			break
		}
	}
	return nil
}

// explain says which object an error is about, and what to do about it.
func (d *directory) explain(what, key string, err error) error {
	var linked *os.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) && what != "write":
		return fmt.Errorf("%s %s: %w", what, d.URI(key), ErrNotFound)
	case DiskFull(err):
		return &failure{ErrFull, fmt.Sprintf("%s %s: free space, raise the quota, or choose another directory", what, d.URI(key)), err}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return &failure{ErrDenied, fmt.Sprintf("%s %s: let this user write below %s, or choose another directory", what, d.URI(key), d.name), err}
	case errors.As(err, &linked) && strings.Contains(linked.Err.Error(), "escapes"):
		return &failure{ErrKey, fmt.Sprintf("%s %s: a symbolic link leads out of the store: put the files where it stands", what, d.URI(key)), err}
	}
	return fmt.Errorf("%s %s: %w", what, d.URI(key), err)
}

// DiskFull reports whether writing to a local disk failed for want of room: a full disk, a quota, or a limit on the size
// of files.
func DiskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
