package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// folder holds datasets for the processes of a machine, or of several that share a volume:
//
//	<hash>/           a whole dataset; its .used is locked by who uses it, and is as old as its last use
//	<hash>.download/  one that is being fetched, or was; who gets its lock next goes on with it
//	<hash>.build/     one that is being built
//	locks/<hash>      whose holder makes, checks or removes what belongs to the hash
//	locks/all         whose holder counts bytes and removes datasets
//	trash-*           what is being removed
//
// Nothing in a whole dataset is ever written again: it appears by a rename, and goes by one.
type folder struct {
	dir string
	// limit bounds the bytes of all datasets; 0 does not, and nothing is ever removed then.
	limit int64
	// shared is false for files that need not last.
	shared bool
	verify bool
	note   func(string)
}

const (
	usedFile     = ".used"
	stampsFile   = ".verified"
	reservedFile = ".reserved"
	trashPrefix  = "trash-"
)

// ErrTooLarge says that a dataset alone is larger than the folder may become.
var ErrTooLarge = errors.New("larger than the cache")

// errNoRoom says that datasets in use leave no room for another one.
var errNoRoom = errors.New("the datasets in use leave no room")

// FolderError is an error of the folder that datasets are kept in.
type FolderError struct {
	Dir string
	// Shared is set for a cache, and not for the scratch directory.
	Shared bool
	Err    error
}

func (e *FolderError) Error() string { return fmt.Sprintf("datasets in %s: %v", e.Dir, e.Err) }

func (e *FolderError) Unwrap() error { return e.Err }

// explain says which folder an error of the file system is about, if it is this one.
func (f *folder) explain(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	inside := errors.As(err, &path) && f.holds(path.Path) || errors.As(err, &link) && f.holds(link.Old)
	if inside || errors.Is(err, ErrTooLarge) {
		return &FolderError{f.dir, f.shared, err}
	}
	return err
}

func (f *folder) holds(name string) bool {
	dir := filepath.Clean(f.dir)
	return name == dir || strings.HasPrefix(name, dir+string(filepath.Separator))
}

func (f *folder) whole(hash string) string { return filepath.Join(f.dir, hash) }

func (f *folder) lockOf(name string) string { return filepath.Join(f.dir, "locks", name) }

// claim makes this process the only one that makes or checks the dataset of a hash. It waits for one that does.
func (f *folder) claim(ctx context.Context, hash string) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Join(f.dir, "locks"), 0o755); err != nil {
		return nil, err
	}
	began := time.Now()
	next := began.Add(time.Second)
	l, err := waitLock(ctx, f.lockOf(hash), func() {
		if now := time.Now(); now.After(next) {
			next = now.Add(noteEvery)
			holder, _ := os.ReadFile(f.lockOf(hash))
			there := diskUse(f.whole(hash)+".download") + diskUse(f.whole(hash)+".build")
			f.note(fmt.Sprintf("waiting for %s, which gets the same dataset into %s: %s so far", holder, f.dir, byteCount(there)))
		}
	})
	if err != nil {
		return nil, err
	}
	l.sign()
	return l, nil
}

// use keeps the dataset of a hash from being removed. The caller has claimed it.
func (f *folder) use(hash string) (*fileLock, error) {
	name := filepath.Join(f.whole(hash), usedFile)
	l, err := tryLock(name, unix.LOCK_SH)
	if err == nil && l == nil {
		err = fmt.Errorf("%s is locked by a stranger", name)
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := os.Chtimes(name, now, now); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// stamp is how a file looked when its content was last known to be right.
type stamp struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
}

func stampOf(name string) (stamp, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return stamp{}, fs.ErrNotExist
	}
	return stamp{info.Size(), info.ModTime().UTC()}, nil
}

// check reads the manifest of a dataset and compares the files with it: by size and time if they look as they did when
// they were hashed, otherwise, or with verify, by hash. The error wraps ErrIncomplete if they are not what it says.
func (f *folder) check(hash string) (manifest, error) {
	dir := f.whole(hash)
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, errAbsent
	}
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return manifest{}, err
	}
	known := map[string]stamp{}
	if text, err := os.ReadFile(filepath.Join(dir, stampsFile)); err == nil && !f.verify {
		_ = json.Unmarshal(text, &known) // what cannot be read is not known
	}
	seen, hashed := map[string]stamp{}, false
	for _, name := range m.names() {
		local := filepath.Join(dir, filepath.FromSlash(name))
		now, err := stampOf(local)
		seen[name] = now
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && now.Size != m.Files[name].Size:
			return manifest{}, fmt.Errorf("%w: %s is missing or has another size", ErrIncomplete, local)
		case err != nil:
			return manifest{}, err
		case now == known[name]:
			continue
		}
		sum, err := sumFile(local)
		if err != nil {
			return manifest{}, err
		}
		if sum != m.Files[name] {
			return manifest{}, fmt.Errorf("%w: %s is not what was written", ErrIncomplete, local)
		}
		hashed = true
	}
	if hashed {
		return m, writeJSON(filepath.Join(dir, stampsFile), seen)
	}
	return m, nil
}

// writeStamps notes that the files below dir, which this process has just written, are what the manifest says.
func (m manifest) writeStamps(dir string) error {
	stamps := map[string]stamp{}
	for name := range m.Files {
		var err error
		if stamps[name], err = stampOf(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, stampsFile), stamps)
}

// keep gives a dataset that is whole its name.
func (f *folder) keep(hash, staging string, m manifest) error {
	if err := m.writeStamps(staging); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(staging, usedFile), nil, 0o644); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(staging, reservedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.shared {
		// The stamps must not outlive what they vouch for when the power goes.
		if err := syncFiles(staging); err != nil {
			return err
		}
	}
	return os.Rename(staging, f.whole(hash))
}

func syncFiles(dir string) error {
	names, err := listFolder(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a folder, all at once for whoever looks.
func (f *folder) discard(path string) error {
	trash := filepath.Join(f.dir, fmt.Sprintf("%s%s-%d-%d", trashPrefix, filepath.Base(path), os.Getpid(), time.Now().UnixNano()))
	if err := os.Rename(path, trash); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(trash)
}

// reserve makes room for the size bytes of a dataset that is made in staging, by removing those that were not used for the
// longest time. The error wraps ErrTooLarge or errNoRoom if that is not possible. The caller has claimed the hash.
func (f *folder) reserve(ctx context.Context, staging string, size int64) error {
	if f.limit == 0 {
		return nil
	}
	if size > f.limit {
		return fmt.Errorf("the dataset has %s, the cache may have %s: %w", byteCount(size), byteCount(f.limit), ErrTooLarge)
	}
	all, err := waitLock(ctx, f.lockOf("all"), func() {})
	if err != nil {
		return err
	}
	defer all.release()
	others, err := f.items(filepath.Base(staging))
	if err != nil {
		return err
	}
	var used int64
	for _, o := range others {
		used += o.size
	}
	missing := size - diskUse(staging)
	for _, o := range others {
		if used+size <= f.limit && f.free() >= missing {
			break
		}
		removed, err := f.evict(o)
		if err != nil {
			return err
		}
		if removed {
			used -= o.size
		}
	}
	if used+size > f.limit {
		return fmt.Errorf("%s of %s are taken: %w", byteCount(used), byteCount(f.limit), errNoRoom)
	}
	if free := f.free(); free < missing {
		return &fs.PathError{Op: fmt.Sprintf("reserve %s, of which %s are free,", byteCount(missing), byteCount(free)), Path: f.dir, Err: unix.ENOSPC}
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(staging, reservedFile), fmt.Append(nil, size), 0o644)
}

// free is what the folder's disk has left.
func (f *folder) free() int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(f.dir, &s); err != nil {
		return 1 << 62 // writing will tell
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // Its type is not the same everywhere.
}

// item is something in a folder that takes room.
type item struct {
	name, hash string
	size       int64
	lastUse    time.Time
}

var itemName = regexp.MustCompile(`^([0-9a-f]{32})(\.download|\.build)?$`)

// items lists what takes room, except that of a name, from the one that was not used for the longest time.
func (f *folder) items(except string) ([]item, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var all []item
	for _, e := range entries {
		path := filepath.Join(f.dir, e.Name())
		if strings.HasPrefix(e.Name(), trashPrefix) {
			// Whoever was removing it has ended, as this process has the lock of all, or is about to be done.
			_ = os.RemoveAll(path)
			continue
		}
		parts := itemName.FindStringSubmatch(e.Name())
		if parts == nil || !e.IsDir() || e.Name() == except {
			continue
		}
		i := item{name: e.Name(), hash: parts[1], size: diskUse(path)}
		if text, err := os.ReadFile(filepath.Join(path, reservedFile)); err == nil {
			var reserved int64
			if _, err := fmt.Sscan(string(text), &reserved); err == nil {
				i.size = max(i.size, reserved)
			}
		}
		for _, name := range []string{path, filepath.Join(path, usedFile)} {
			if info, err := os.Stat(name); err == nil {
				i.lastUse = info.ModTime()
			}
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b item) int { return a.lastUse.Compare(b.lastUse) })
	return all, nil
}

// evict removes an item unless somebody makes or uses it.
func (f *folder) evict(i item) (bool, error) {
	claimed, err := tryLock(f.lockOf(i.hash), unix.LOCK_EX)
	if claimed == nil || err != nil {
		return false, err
	}
	defer claimed.release()
	path := filepath.Join(f.dir, i.name)
	if _, err := os.Stat(filepath.Join(path, usedFile)); err == nil {
		used, err := tryLock(filepath.Join(path, usedFile), unix.LOCK_EX)
		if used == nil || err != nil {
			return false, err
		}
		defer used.release()
	}
	f.note(fmt.Sprintf("removing %s from %s to make room: %s, last used %s", i.name, f.dir, byteCount(i.size), i.lastUse.Format(time.RFC3339)))
	return true, f.discard(path)
}

// diskUse is what the files below a folder take of the disk; files that go away meanwhile take nothing.
func diskUse(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		var s unix.Stat_t
		if err == nil && e.Type().IsRegular() && unix.Lstat(path, &s) == nil {
			sum += s.Blocks * 512
		}
		return nil
	})
	return sum
}
