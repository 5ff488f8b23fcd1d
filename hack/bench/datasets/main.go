// Command datasets measures how a large dataset travels and is loaded, the plain way and the product's way in one run: one
// stream against parts side by side to and from a bucket, and reading into memory against mapping.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

func main() {
	gigabytes := flag.Float64("gigabytes", 4, "size of the dataset")
	dir := flag.String("dir", os.TempDir(), "directory with room for three times the size")
	store := flag.String("store", "", "bucket to measure with, s3://bucket/prefix")
	endpoint := flag.String("endpoint", "", "URL of the S3 service; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	rate := flag.Int64("connection-rate", 0, "megabytes per second that one connection to the service carries, as far away; 0 is as fast as it can")
	flag.Parse()
	reach, err := throttled(*endpoint, *rate*1e6)
	if err == nil {
		err = run(context.Background(), *gigabytes, *dir, *store, reach)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// throttled returns an endpoint at which a server answers with so many bytes per second and connection.
func throttled(endpoint string, rate int64) (string, error) {
	if rate == 0 {
		return endpoint, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	pass := func(to, from net.Conn) {
		defer to.Close()
		const chunk = 64 << 10
		began := time.Now()
		for n := int64(0); ; n += chunk {
			if _, err := io.CopyN(to, from, chunk); err != nil {
				return
			}
			ahead := time.Duration(float64(n)/float64(rate)*float64(time.Second)) - time.Since(began)
			if ahead < -time.Second {
				began, n = time.Now(), 0 // it was idle
			}
			time.Sleep(ahead)
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if server, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://")); err == nil {
				go pass(server, client)
				go pass(client, server)
			}
		}
	}()
	return "http://" + l.Addr().String(), nil
}

// boards are the files that hold nearly all of a dataset.
var boards = []string{"train/all__inputs.npy", "train/all__labels.npy"}

func run(ctx context.Context, gigabytes float64, dir, uri, endpoint string) error {
	dir, err := os.MkdirTemp(dir, "datasets-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := write(dir, gigabytes); err != nil {
		return err
	}
	sums, size, err := contents(dir)
	if err != nil {
		return err
	}
	fmt.Println("| work | time | rate | peak memory of the process that is no page cache |\n|---|---|---|---|")
	measure := func(what string, do func() error) error {
		debug.FreeOSMemory()
		stop, began := watchMemory(), time.Now()
		err := do()
		took := time.Since(began)
		fmt.Printf("| %s | %.2f s | %.0f MB/s | %d MB |\n", what, took.Seconds(), float64(size)/1e6/took.Seconds(), stop()/1e6)
		return err
	}
	err = errors.Join(
		measure("load, reading", func() error { return read(dir) }),
		measure("load, mapping", func() error { return load(dir) }),
	)
	if uri == "" || err != nil {
		return err
	}
	s, err := objectstore.Open(ctx, uri, objectstore.S3Config{Endpoint: endpoint, PathStyle: true})
	if err != nil {
		return err
	}
	each := func(do func(ctx context.Context, name string) error) func() error {
		return func() error {
			group, ctx := errgroup.WithContext(ctx)
			for _, name := range boards {
				group.Go(func() error { return do(ctx, name) })
			}
			return group.Wait()
		}
	}
	oneByOne := func(do func(ctx context.Context, name string) error) func() error {
		return func() error { return errors.Join(do(ctx, boards[0]), do(ctx, boards[1])) }
	}
	plain, parts := filepath.Join(dir, "plain"), filepath.Join(dir, "parts")
	return errors.Join(
		measure("upload, one stream", oneByOne(func(ctx context.Context, name string) error { return put(ctx, s, dir, name, false) })),
		measure("upload, in parts", each(func(ctx context.Context, name string) error { return put(ctx, s, dir, name, true) })),
		measure("download, one stream", oneByOne(func(ctx context.Context, name string) error { return get(ctx, s, plain, name, sums[name]) })),
		os.RemoveAll(plain),
		measure("download, in parts", each(func(ctx context.Context, name string) error {
			return objectstore.Fetch(ctx, s, name, filepath.Join(parts, name), sums[name], nil)
		})),
		s.Delete(ctx, boards[0]), s.Delete(ctx, boards[1]),
	)
}

// write makes a dataset of ARC's shape.
func write(dir string, gigabytes float64) error {
	const length, variants = 900, 1000
	groups := int(gigabytes * 1e9 / 2 / length / variants)
	tokens := make([]uint8, groups*variants*length)
	for i := range tokens {
		tokens[i] = uint8(i * 7 % 12)
	}
	offsets := func(n, step int) []int32 {
		v := make([]int32, n+1)
		for i := range v {
			v[i] = int32(i * step)
		}
		return v
	}
	return dataset.WriteSplit(dir, dataset.Train, dataset.Arrays{
		Metadata: dataset.Metadata{VocabSize: 12, SeqLen: length, NumPuzzleIdentifiers: 1, TotalGroups: groups, MeanPuzzleExamples: 1,
			TotalPuzzles: groups * variants, Sets: []string{"all"}},
		Inputs: tokens, Labels: tokens, Identifiers: make([]int32, groups*variants), Puzzles: offsets(groups*variants, 1), Groups: offsets(groups, variants),
	})
}

func contents(dir string) (map[string]objectstore.Content, int64, error) {
	all, size := map[string]objectstore.Content{}, int64(0)
	for _, name := range boards {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, 0, err
		}
		h := sha256.New()
		n, err := io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, 0, err
		}
		all[name], size = objectstore.Content{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, size+n
	}
	return all, size, nil
}

// read loads the boards into memory, and looks at every byte.
func read(dir string) error {
	var kept [][]byte
	for _, name := range boards {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		a, err := dataset.ReadNPY(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		for _, v := range a.Data {
			if v >= 12 {
				return errors.New("a token outside the vocabulary")
			}
		}
		kept = append(kept, a.Data)
	}
	if len(kept[0]) != len(kept[1]) {
		return errors.New("arrays of different lengths")
	}
	return nil
}

func load(dir string) error {
	d, err := dataset.Load(dir, dataset.Train)
	if err != nil {
		return err
	}
	return d.Close()
}

// put sends a file; as a mere stream it cannot be cut into parts.
func put(ctx context.Context, s objectstore.Store, dir, name string, parts bool) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var r io.Reader = f
	if !parts {
		r = struct{ io.Reader }{f}
	}
	_, err = s.Put(ctx, name, r, info.Size(), objectstore.Condition{})
	return err
}

// get copies an object in one stream and hashes it on the way.
func get(ctx context.Context, s objectstore.Store, dir, name string, want objectstore.Content) error {
	r, _, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	w, h := bufio.NewWriterSize(f, 1<<20), sha256.New()
	_, err = io.Copy(io.MultiWriter(w, h), r)
	if err = errors.Join(err, w.Flush(), f.Close()); err == nil && hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		err = objectstore.ErrContent
	}
	return err
}

// watchMemory returns a function that ends the watching and returns the most anonymous memory that the process had.
func watchMemory() func() int64 {
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		peak := anonymous()
		for {
			select {
			case <-tick.C:
				peak = max(peak, anonymous())
			case <-end:
				most <- max(peak, anonymous())
				return
			}
		}
	}()
	return func() int64 { close(end); return <-most }
}

// anonymous is the resident memory that belongs to no file.
func anonymous() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		var kilobytes int64
		if text, found := strings.CutPrefix(string(line), "RssAnon:"); found {
			if _, err := fmt.Sscan(text, &kilobytes); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}
