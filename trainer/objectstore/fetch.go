package objectstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Content is what an object must hold.
type Content struct {
	Size   int64
	SHA256 string
}

// ErrContent says that an object is there, but does not hold what it should.
var ErrContent = errors.New("object is not what was written")

const (
	// partSize is what is asked for at once: large enough that a request costs little of it, small enough that what an
	// interruption loses is little.
	partSize = 16 << 20
	// partsAtOnce is how many parts of one object are read side by side.
	partsAtOnce = 8
)

// The files beside a file that is being fetched: the content so far, and which parts of it are there.
const (
	partialSuffix = ".partial"
	partsSuffix   = ".parts"
)

// Fetch copies an object to a file, which appears under its name only whole and as want says. Large objects are read in
// parts, several at a time; a part whose connection breaks goes on by itself, and what an earlier call left unfinished
// beside the file is taken over, so that an interruption costs no more than the parts under way. arrived is told of bytes as
// they come, those taken over included, and of a negative number if they have to come again, from several goroutines; it may be
// nil. The error wraps ErrNotFound, ErrContent or ErrPrecondition if the object is not there, not the wanted one, or changes. Only one process at a time may fetch to a path.
func Fetch(ctx context.Context, s Store, key, path string, want Content, arrived func(n int64)) error {
	if arrived == nil {
		arrived = func(int64) {}
	}
	if there, err := holds(path, want); err != nil {
		return err
	} else if there {
		arrived(want.Size)
		return removeJournal(path)
	}
	for attempt := 1; ; attempt++ {
		resumed, err := fetch(ctx, s, key, path, want, arrived)
		switch {
		case err == nil:
		case errors.Is(err, ErrContent) && resumed:
			// Perhaps it is what was taken over that is wrong: the machine may have lost it with its power.
			continue
		case errors.Is(err, ErrPrecondition) && attempt < 3:
			// Another process has written the object meanwhile, perhaps with the same content.
			continue
		default:
			return err
		}
		break
	}
	if err := os.Rename(path+partialSuffix, path); err != nil {
		return err
	}
	return removeJournal(path)
}

// removeJournal removes what is noted of a file that is whole. A process that was killed may have left it.
func removeJournal(path string) error {
	if err := os.Remove(path + partsSuffix); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// holds says whether a file is there already, from an earlier call.
func holds(path string, want Content) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n == want.Size && hex.EncodeToString(h.Sum(nil)) == want.SHA256, err
}

// fetch leaves the whole content beside path, or what there is of it. resumed says that not all of it was read now.
func fetch(ctx context.Context, s Store, key, path string, want Content, arrived func(int64)) (resumed bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	info, err := s.Stat(ctx, key)
	if err != nil {
		return false, err
	}
	if info.Size != want.Size {
		return false, fmt.Errorf("%s has %d bytes, not %d: %w", s.URI(key), info.Size, want.Size, ErrContent)
	}
	j, err := openJournal(path+partsSuffix, want)
	if err != nil {
		return false, err
	}
	defer j.close()
	resumed = len(j.have) > 0
	var told atomic.Int64
	defer func() {
		if err != nil {
			arrived(-told.Load())
		}
	}()
	flags := os.O_RDWR | os.O_CREATE
	if !resumed {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path+partialSuffix, flags, 0o644)
	if err != nil {
		return resumed, err
	}
	defer f.Close()
	sum, err := fetchParts(ctx, s, info, f, j, func(n int64) { told.Add(n); arrived(n) })
	if err == nil && sum != want.SHA256 {
		err = fmt.Errorf("%s: %w", s.URI(key), ErrContent)
	}
	if errors.Is(err, ErrContent) {
		err = errors.Join(err, os.Remove(path+partsSuffix))
	}
	return resumed, errors.Join(err, f.Close())
}

// fetchParts reads the parts that are missing, and hashes all of them in order behind the reading.
func fetchParts(ctx context.Context, s Store, info Info, f *os.File, j *journal, arrived func(int64)) (sum string, err error) {
	group, within := errgroup.WithContext(ctx)
	h, there := sha256.New(), make([]chan struct{}, j.parts())
	for i := range there {
		there[i] = make(chan struct{})
	}
	group.Go(func() error {
		buffer := make([]byte, 1<<20)
		for i := range there {
			select {
			case <-there[i]:
			case <-within.Done():
				return within.Err()
			}
			from, size := j.part(i)
			if _, err := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(f, from, size)}, buffer); err != nil {
				return err
			}
		}
		return nil
	})
	readers, reading := errgroup.WithContext(within)
	readers.SetLimit(partsAtOnce)
	group.Go(func() error {
		for i := range there {
			if from, size := j.part(i); j.have[i] {
				arrived(size)
				close(there[i])
			} else {
				readers.Go(func() error {
					if err := fetchPart(reading, s, info, f, from, size, arrived); err != nil {
						return err
					}
					defer close(there[i])
					return j.add(i)
				})
			}
		}
		return readers.Wait()
	})
	err = group.Wait()
	return hex.EncodeToString(h.Sum(nil)), err
}

// fetchPart copies a part to its place in f.
func fetchPart(ctx context.Context, s Store, info Info, f *os.File, from, size int64, arrived func(int64)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.GetRange(ctx, info.Key, info.ETag, from, size)
	if err != nil {
		return err
	}
	defer r.Close()
	to := struct{ io.Writer }{io.NewOffsetWriter(f, from)}
	n, err := io.CopyBuffer(to, struct{ io.Reader }{io.TeeReader(r, counter(arrived))}, make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("read %s: %d bytes of a part of %d: %w", s.URI(info.Key), n, size, io.ErrUnexpectedEOF)
	}
	return err
}

// counter tells how many bytes pass.
type counter func(n int64)

// Write implements [io.Writer].
func (c counter) Write(p []byte) (int, error) {
	c(int64(len(p)))
	return len(p), nil
}

// journal is the list of the parts of a content that are in a file.
type journal struct {
	file *os.File
	want Content
	have map[int]bool
}

// openJournal reads a journal and goes on with it. One of another content, or that is not readable, begins anew.
func openJournal(name string, want Content) (*journal, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, want: want}
	if j.have = j.read(f); j.have != nil {
		return j, nil
	}
	j.have = map[int]bool{}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteString(j.title())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// title is the first line: which content in which parts.
func (j *journal) title() string {
	return fmt.Sprintf("%s %d %d\n", j.want.SHA256, j.want.Size, partSize)
}

// read returns the parts that a journal lists, nil if it is none of this content.
func (j *journal) read(r io.Reader) map[int]bool {
	lines := bufio.NewReader(io.LimitReader(r, 16<<20))
	if title, err := lines.ReadString('\n'); err != nil || title != j.title() {
		return nil
	}
	have := map[int]bool{}
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return have
		}
		if err != nil {
			return nil
		}
		var i int
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "%d", &i); err != nil || i < 0 || i >= j.parts() {
			return nil
		}
		have[i] = true
	}
}

// add lists a part, in one write: several goroutines do.
func (j *journal) add(i int) error {
	_, err := fmt.Fprintf(j.file, "%d\n", i)
	return err
}

func (j *journal) close() { _ = j.file.Close() }

// parts is the number of parts.
func (j *journal) parts() int { return int((j.want.Size + partSize - 1) / partSize) }

// part is where a part is.
func (j *journal) part(i int) (from, size int64) {
	from = int64(i) * partSize
	return from, min(partSize, j.want.Size-from)
}
