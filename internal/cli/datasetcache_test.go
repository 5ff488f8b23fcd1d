package cli

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// tollgate stands before a server, counts what it serves of datasets, and can hold that back.
type tollgate struct {
	endpoint string
	served   atomic.Int64
	// open is closed to let pass.
	open chan struct{}
}

// ofDataset says whether a path is that of one of a dataset's files; whether there is a dataset may be asked at any time.
func ofDataset(path string) bool {
	return strings.Contains(path, "/datasets/") && !strings.HasSuffix(path, "/_COMPLETE.json")
}

func newTollgate(t *testing.T, to string) *tollgate {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	g := &tollgate{open: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		ErrorLog: stdlog.New(io.Discard, "", 0), // processes that are killed, and lists that are not read to their end
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && ofDataset(r.Request.URL.Path) {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.TeeReader(r.Body, (*toll)(&g.served)), r.Body}
			}
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && ofDataset(r.URL.Path) {
			select {
			case <-g.open:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.endpoint = server.URL
	return g
}

type toll atomic.Int64

func (c *toll) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}

// node is a machine with a cache, and a bucket that holds a trained model and its dataset.
type node struct {
	t           *testing.T
	gate        *tollgate
	cache       string
	datasetSize int64
}

func newNode(t *testing.T) *node {
	t.Helper()
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	if code, said := trainInto(t.Context(), t, server.Endpoint, nil); code != exitDone {
		t.Fatalf("training ends with %d:\n%s", code, said)
	}
	n := &node{t: t, gate: newTollgate(t, server.Endpoint), cache: filepath.Join(t.TempDir(), "cache")}
	files, err := filepath.Glob(filepath.Join(server.Dir, "hrm/tiny/datasets/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(server.Dir, "hrm/tiny/datasets/*/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, more...) {
		if info, err := os.Stat(name); err == nil && !info.IsDir() && ofDataset(name) {
			n.datasetSize += info.Size()
		}
	}
	if n.datasetSize == 0 {
		t.Fatal("the bucket holds no dataset")
	}
	return n
}

// evaluate starts a process that needs the dataset.
func (n *node) evaluate(more ...string) *process {
	n.t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"eval", "--store", "s3://hrm/tiny", "--endpoint", n.gate.endpoint, "--max-examples", "1",
		"--device", "reference", "--dataset-cache", n.cache, "--scratch", n.t.TempDir()}, more...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return startProcess(n.t, cmd)
}

func (n *node) wantEnd(p *process, want int) {
	n.t.Helper()
	if code := p.code(); code != want {
		n.t.Errorf("ends with %d, want %d:\n%s", code, want, p.said())
	}
}

// The processes of a machine that want the same dataset at once download it once.
func TestDatasetCache_isFilledOnceForAll(t *testing.T) {
	n := newNode(t)
	var all []*process
	for range 8 {
		all = append(all, n.evaluate())
	}
	waiting := make(chan bool)
	for _, p := range all {
		go func() { waiting <- p.hears("waiting for process") }()
	}
	for range 7 {
		if !<-waiting {
			t.Error("a process ended instead of waiting")
		}
	}
	close(n.gate.open)
	for _, p := range all {
		n.wantEnd(p, exitDone)
	}
	<-waiting
	if got := n.gate.served.Load(); got != n.datasetSize {
		t.Errorf("%d bytes were served of a dataset of %d", got, n.datasetSize)
	}
	n.wantEnd(n.evaluate("--dataset-cache-verify"), exitDone)
	if got := n.gate.served.Load(); got != n.datasetSize {
		t.Errorf("a later process downloads it again: %d bytes were served", got)
	}
}

// The one that downloads may be killed.
func TestDatasetCache_isFilledByAnotherIfTheFirstDies(t *testing.T) {
	n := newNode(t)
	both := []*process{n.evaluate(), n.evaluate()}
	waiting := make(chan *process)
	for _, p := range both {
		go func() {
			if p.hears("waiting for process") {
				waiting <- p
			}
		}()
	}
	heir := <-waiting
	holder := both[0]
	if heir == holder {
		holder = both[1]
	}
	if !strings.Contains(heir.said(), fmt.Sprintf("waiting for process %d of ", holder.cmd.Process.Pid)) {
		t.Errorf("it does not say for whom it waits:\n%s", heir.said())
	}
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-holder.done
	close(n.gate.open)
	n.wantEnd(heir, exitDone)
}

// A cached dataset whose bytes were changed is replaced.
func TestDatasetCache_replacesWhatIsBroken(t *testing.T) {
	n := newNode(t)
	close(n.gate.open)
	n.wantEnd(n.evaluate(), exitDone)
	inputs, err := filepath.Glob(filepath.Join(n.cache, "*/test/all__inputs.npy"))
	if err != nil || len(inputs) != 1 {
		t.Fatalf("%v, %v", inputs, err)
	}
	if err := os.Truncate(inputs[0], 200); err != nil {
		t.Fatal(err)
	}
	p := n.evaluate()
	n.wantEnd(p, exitDone)
	if !p.hears("replacing the dataset") || n.gate.served.Load() != 2*n.datasetSize {
		t.Errorf("%d bytes were served:\n%s", n.gate.served.Load(), p.said())
	}
}

// What only a human can mend says where and how.
func TestDatasetCache_saysWhatToDo(t *testing.T) {
	n := newNode(t)
	close(n.gate.open)
	t.Run("it is too small", func(t *testing.T) {
		p := n.evaluate("--dataset-cache-size", "1Ki")
		n.wantEnd(p, exitConfiguration)
		if !regexp.MustCompile(`raise the size of the dataset cache \(--dataset-cache-size.*larger than the cache`).MatchString(p.said()) {
			t.Error(p.said())
		}
	})
	t.Run("its size is none", func(*testing.T) { n.wantEnd(n.evaluate("--dataset-cache-size", "much"), exitUsage) })
	t.Run("it may not be written", func(t *testing.T) {
		if os.Getuid() == 0 {
			n.cache = "/sys/hrm-datasets" // root may write everywhere else
		} else if err := os.Mkdir(n.cache, 0o500); err != nil {
			t.Fatal(err)
		}
		p := n.evaluate()
		n.wantEnd(p, exitConfiguration)
		if !strings.Contains(p.said(), "may not write to the dataset cache "+n.cache) {
			t.Error(p.said())
		}
	})
}

func TestExplainFolder_tellsACacheFromScratch(t *testing.T) {
	denied := &os.PathError{Op: "mkdir", Path: "/cache/locks", Err: os.ErrPermission}
	for want, err := range map[string]error{
		"may not write to the dataset cache /cache": &dataset.FolderError{Dir: "/cache", Shared: true, Err: denied},
		"datasets in /tmp/hrm: mkdir":               &dataset.FolderError{Dir: "/tmp/hrm", Err: denied},
	} {
		if got := explainFolder(err, "/tmp"); !strings.Contains(got.Error(), want) {
			t.Errorf("got %q, want it to say %q", got, want)
		}
	}
}

// ranked is a rank of a group whose peers say what the test wants.
type ranked struct {
	collective.Single
	rank       int
	said, sums []byte
}

func (r ranked) Rank() int { return r.rank }

func (r ranked) Broadcast(_ context.Context, data []byte) ([]byte, error) {
	if r.rank == 0 {
		return data, nil
	}
	return r.said, nil
}

func (r ranked) AllGather(_ context.Context, own []byte) ([][]byte, error) {
	return [][]byte{r.sums, own}, nil
}

func TestSharedDataset_isRank0sAtAllRanks(t *testing.T) {
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	store, err := objectstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var subsample int32 = 5
	spec := v1alpha1.DatasetSpec{Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: source}, TestFraction: "0.001", Subsample: &subsample}
	get := func(hash string) (*dataset.Copy, error) {
		local := dataset.Local{Scratch: t.TempDir()}
		if hash != "" {
			return dataset.Retrieve(t.Context(), store, "", hash, local)
		}
		return dataset.Cached(t.Context(), store, "", spec, dataset.Sources{}, local, nil)
	}
	first, err := sharedDataset(t.Context(), collective.Single{}, get)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	sums := []byte(first.Hash + " " + first.Sum)
	second, err := sharedDataset(t.Context(), ranked{rank: 1, said: []byte(first.Hash), sums: sums}, get)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Sum != first.Sum || !second.Hit {
		t.Errorf("rank 1 has %+v, rank 0 %+v", second, first)
	}
	_, err = sharedDataset(t.Context(), ranked{rank: 1, said: []byte(first.Hash), sums: []byte("another")}, get)
	if err == nil || !strings.Contains(err.Error(), "rank 1 has another dataset") {
		t.Errorf("got %v", err)
	}
}
