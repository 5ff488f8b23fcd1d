package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

func config(server *s3server.Server) objectstore.S3Config {
	return objectstore.S3Config{Endpoint: server.Endpoint, Bucket: "hrm", Prefix: "a/b", PathStyle: true,
		AccessKeyID: s3server.AccessKeyID, SecretAccessKey: s3server.SecretAccessKey, MaxRetries: 2}
}

// Every store must pass the same contract.
func TestStores(t *testing.T) {
	stores := map[string]func(t *testing.T) objectstore.Store{
		"directory": func(t *testing.T) objectstore.Store {
			s, err := objectstore.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"part of a directory": func(t *testing.T) objectstore.Store {
			s, err := objectstore.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return objectstore.Sub(s, "/a/b/")
		},
		"bucket": func(t *testing.T) objectstore.Store {
			server := s3server.Start(t)
			server.Bucket(t, "hrm")
			s, err := objectstore.OpenS3(t.Context(), config(server))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			for name, check := range contract {
				t.Run(name, func(t *testing.T) {
					// Each check has a place of its own, so that they do not see each other.
					check(t, objectstore.Sub(store, strings.ReplaceAll(name, " ", "-")))
				})
			}
		})
	}
}

func put(t *testing.T, s objectstore.Store, key, content string, c objectstore.Condition) objectstore.Info {
	t.Helper()
	info, err := objectstore.PutBytes(t.Context(), s, key, []byte(content), c)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, s objectstore.Store, key string) string {
	t.Helper()
	raw, _, err := objectstore.ReadAll(t.Context(), s, key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var contract = map[string]func(t *testing.T, s objectstore.Store){
	"what is put is got": func(t *testing.T, s objectstore.Store) {
		written := put(t, s, "x/y.txt", "hello", objectstore.Condition{})
		stat, err := s.Stat(t.Context(), "x/y.txt")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(written, stat); diff != "" {
			t.Error(diff)
		}
		if stat.Size != 5 || stat.Key != "x/y.txt" || stat.ETag == "" || get(t, s, "x/y.txt") != "hello" {
			t.Errorf("got %+v", stat)
		}
	},
	"empty and large objects": func(t *testing.T, s objectstore.Store) {
		put(t, s, "empty", "", objectstore.Condition{})
		if got := get(t, s, "empty"); got != "" {
			t.Errorf("got %q", got)
		}
		large := strings.Repeat("0123456789abcdef", 20<<16)
		first := put(t, s, "large", large, objectstore.Condition{IfAbsent: true})
		if get(t, s, "large") != large {
			t.Error("a large object came back changed")
		}
		second := put(t, s, "large", large[1:], objectstore.Condition{IfMatch: first.ETag})
		if first.ETag == second.ETag {
			t.Error("the ETag did not change")
		}
	},
	"a range is a part of the object that was described": func(t *testing.T, s objectstore.Store) {
		// Of large objects, directories do not read the content to tell whether it is the same.
		for name, content := range map[string]string{"small": "0123456789", "large": strings.Repeat("0123456789", 200_000)} {
			info := put(t, s, name, content, objectstore.Condition{})
			for _, x := range []struct{ from, size int64 }{{0, 1}, {3, 4}, {info.Size - 1, 1}, {0, info.Size}} {
				r, err := s.GetRange(t.Context(), name, info.ETag, x.from, x.size)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				r.Close()
				if err != nil || string(got) != content[x.from:x.from+x.size] {
					t.Errorf("%s: %d bytes from %d on: got %d bytes, %v", name, x.size, x.from, len(got), err)
				}
			}
			if _, err := s.GetRange(t.Context(), name, info.ETag, info.Size-1, 2); err == nil {
				t.Errorf("%s: a range beyond the end is given", name)
			}
			put(t, s, name, strings.ToUpper(content[1:])+"x", objectstore.Condition{})
			if _, err := s.GetRange(t.Context(), name, info.ETag, 0, 1); !errors.Is(err, objectstore.ErrPrecondition) {
				t.Errorf("%s: a range of what was written since: %v", name, err)
			}
		}
		if _, err := s.GetRange(t.Context(), "none", "x", 0, 1); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("a range of nothing: %v", err)
		}
	},
	"a missing object is not found": func(t *testing.T, s objectstore.Store) {
		if _, _, err := s.Get(t.Context(), "none"); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("get: %v", err)
		}
		if _, err := s.Stat(t.Context(), "none"); !errors.Is(err, objectstore.ErrNotFound) || !strings.Contains(err.Error(), "none") {
			t.Errorf("stat: %v", err)
		}
		if err := s.Delete(t.Context(), "none"); err != nil {
			t.Errorf("delete: %v", err)
		}
	},
	"if absent writes once": func(t *testing.T, s objectstore.Store) {
		put(t, s, "k", "first", objectstore.Condition{IfAbsent: true})
		_, err := objectstore.PutBytes(t.Context(), s, "k", []byte("second"), objectstore.Condition{IfAbsent: true})
		if !errors.Is(err, objectstore.ErrPrecondition) {
			t.Errorf("error is %v", err)
		}
		if got := get(t, s, "k"); got != "first" {
			t.Errorf("content is %q", got)
		}
	},
	"if match writes over what was read": func(t *testing.T, s objectstore.Store) {
		first := put(t, s, "k", "first", objectstore.Condition{})
		second := put(t, s, "k", "second", objectstore.Condition{IfMatch: first.ETag})
		_, err := objectstore.PutBytes(t.Context(), s, "k", []byte("stale"), objectstore.Condition{IfMatch: first.ETag})
		if !errors.Is(err, objectstore.ErrPrecondition) {
			t.Errorf("a stale writer: %v", err)
		}
		if got := get(t, s, "k"); got != "second" || first.ETag == second.ETag {
			t.Errorf("content is %q", got)
		}
		_, err = objectstore.PutBytes(t.Context(), s, "other", []byte("x"), objectstore.Condition{IfMatch: first.ETag})
		if !errors.Is(err, objectstore.ErrPrecondition) {
			t.Errorf("a missing object: %v", err)
		}
	},
	"one of many writers wins": func(t *testing.T, s objectstore.Store) {
		var won atomic.Int32
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				_, err := objectstore.PutBytes(t.Context(), s, "k", []byte{byte('0' + i)}, objectstore.Condition{IfAbsent: true})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, objectstore.ErrPrecondition) {
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers won", won.Load())
		}
	},
	"list is sorted and below the prefix": func(t *testing.T, s objectstore.Store) {
		for _, key := range []string{"b/2", "b-1", "b/1/x", "a", "bc"} {
			put(t, s, key, key, objectstore.Condition{})
		}
		keys := func(prefix string) (keys []string) {
			all, err := s.List(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range all {
				keys = append(keys, info.Key)
				if info.Size != int64(len(info.Key)) {
					t.Errorf("%s has size %d", info.Key, info.Size)
				}
			}
			return keys
		}
		for prefix, want := range map[string][]string{"": {"a", "b-1", "b/1/x", "b/2", "bc"}, "b/": {"b/1/x", "b/2"}, "b": {"b-1", "b/1/x", "b/2", "bc"}, "c": nil} {
			if diff := cmp.Diff(want, keys(prefix)); diff != "" {
				t.Errorf("prefix %q: %s", prefix, diff)
			}
		}
		if err := s.Delete(t.Context(), "b/1/x"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"b/2"}, keys("b/")); diff != "" {
			t.Error(diff)
		}
	},
	"a write that ends early leaves nothing": func(t *testing.T, s objectstore.Store) {
		if _, err := s.Put(t.Context(), "k", strings.NewReader("short"), 100, objectstore.Condition{}); err == nil {
			t.Error("no error")
		}
		if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("stat: %v", err)
		}
	},
	"keys that leave the store are refused": func(t *testing.T, s objectstore.Store) {
		for name, key := range hostileKeys {
			_, _, getErr := s.Get(t.Context(), key)
			_, statErr := s.Stat(t.Context(), key)
			_, putErr := objectstore.PutBytes(t.Context(), s, key, nil, objectstore.Condition{})
			_, rangeErr := s.GetRange(t.Context(), key, "x", 0, 1)
			for what, err := range map[string]error{"get": getErr, "get range": rangeErr, "stat": statErr, "put": putErr, "delete": s.Delete(t.Context(), key)} {
				if !errors.Is(err, objectstore.ErrKey) {
					t.Errorf("%s: %s %.40q: got %v, want a bad key", name, what, key, err)
				}
			}
		}
		for _, prefix := range []string{"../", "/", "a/../..", "a//", "a\x00", `a\`} {
			if _, err := s.List(t.Context(), prefix); !errors.Is(err, objectstore.ErrKey) {
				t.Errorf("list %q: got %v, want a bad key", prefix, err)
			}
		}
	},
	"neighbours do not see each other": func(t *testing.T, s objectstore.Store) {
		job, neighbour := objectstore.Sub(s, "sudoku"), objectstore.Sub(s, "sudoku2")
		put(t, job, "k", "mine", objectstore.Condition{})
		put(t, neighbour, "k", "yours", objectstore.Condition{})
		all, err := job.List(t.Context(), "")
		if err != nil || len(all) != 1 || all[0].Key != "k" || all[0].Size != 4 {
			t.Errorf("got %+v and %v, want the job's own object alone", all, err)
		}
		if err := job.Delete(t.Context(), "../sudoku2/k"); err == nil || get(t, neighbour, "k") != "yours" {
			t.Errorf("the neighbour's object can be reached: %v", err)
		}
	},
	"a context that ended ends the request": func(t *testing.T, s objectstore.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := objectstore.PutBytes(ctx, s, "k", []byte("x"), objectstore.Condition{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	},
}

// hostileKeys would leave a job's prefix, or name different objects in a bucket and in a directory.
var hostileKeys = map[string]string{
	"parent":            "../x",
	"absolute":          "/etc/passwd",
	"up and further up": "a/../../b",
	"up and down":       "a/../b",
	"here":              "a/./b",
	"empty segment":     "a//b",
	"slash at the end":  "a/",
	"only dots":         "..",
	"NUL":               "a\x00b",
	"newline":           "a\nb",
	"backslash":         `a\..\..\b`,
	"not UTF-8":         "a\xffb",
	"very long":         strings.Repeat("a/", 600) + "b",
	"a very long part":  strings.Repeat("a", 256),
}

// Below prefixes of one bucket, not only below Sub, jobs are apart.
func TestJobsOfOneBucketDoNotSeeEachOther(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	open := func(prefix string) objectstore.Store {
		c := config(server)
		c.Prefix = prefix
		s, err := objectstore.OpenS3(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	job, neighbour := open("sudoku"), open("sudoku2")
	put(t, neighbour, "checkpoints/k", "yours", objectstore.Condition{})
	for _, prefix := range []string{"", "checkpoints/"} {
		if all, err := job.List(t.Context(), prefix); err != nil || len(all) != 0 {
			t.Errorf("%q: got %+v and %v, want nothing", prefix, all, err)
		}
	}
	contract["keys that leave the store are refused"](t, job)
	for _, prefix := range []string{"../x", "/x", "/", "a//b", "a/../b", "a\x00b", `a\b`} {
		c := config(server)
		c.Prefix = prefix
		if _, err := objectstore.OpenS3(t.Context(), c); !errors.Is(err, objectstore.ErrKey) || !strings.Contains(err.Error(), "correct storage.prefix") {
			t.Errorf("prefix %q: got %v, want it refused", prefix, err)
		}
	}
}

func TestAnAnswerOfUnknownLengthIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
			return
		}
		w.Header().Set("Last-Modified", "Sun, 01 Nov 2026 12:00:00 GMT")
		w.Header().Set("ETag", `"x"`)
		_, _ = io.WriteString(w, "content")
		w.(http.Flusher).Flush() // sends it in chunks, without a Content-Length
	}))
	defer server.Close()
	s, err := objectstore.OpenS3(t.Context(), objectstore.S3Config{Endpoint: server.URL, Bucket: "hrm", PathStyle: true, AccessKeyID: "a", SecretAccessKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := objectstore.ReadAll(t.Context(), s, "k", 1<<20); err == nil || !strings.Contains(err.Error(), "does not say how long") {
		t.Errorf("got %v", err)
	}
}

func TestOpenS3SaysWhatIsWrong(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cases := map[string]struct {
		change func(c *objectstore.S3Config)
		want   string
	}{
		"an unknown key":            {func(c *objectstore.S3Config) { c.AccessKeyID = "stranger" }, "credentials"},
		"a wrong secret":            {func(c *objectstore.S3Config) { c.SecretAccessKey = "wrong" }, "credentials"},
		"a missing bucket":          {func(c *objectstore.S3Config) { c.Bucket = "none" }, "create it or correct storage.bucket"},
		"no bucket":                 {func(c *objectstore.S3Config) { c.Bucket = "" }, "set storage.bucket"},
		"nobody at the endpoint":    {func(c *objectstore.S3Config) { c.Endpoint = "http://" + closed.Addr().String() }, "cannot be reached: check storage.endpoint"},
		"an endpoint without http":  {func(c *objectstore.S3Config) { c.Endpoint = "s3.example.org" }, "want a URL"},
		"a certificate without PEM": {func(c *objectstore.S3Config) { c.CA = []byte("x") }, "not PEM"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			config := config(server)
			c.change(&config)
			_, err := objectstore.OpenS3(ctx, config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want it to say %q", err, c.want)
			}
		})
	}
}

// breaking forwards to a server, but cuts every connection after some bytes of answer.
func breaking(t *testing.T, to string, limit int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.CopyN(client, server, limit)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestADownloadGoesOnAfterItsConnectionBroke(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	s, err := objectstore.OpenS3(t.Context(), config(server))
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	put(t, s, "k", string(content), objectstore.Condition{})
	c := config(server)
	c.Endpoint = breaking(t, strings.TrimPrefix(server.Endpoint, "http://"), 70_000)
	broken, err := objectstore.OpenS3(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, broken, "k"); got != string(content) {
		t.Errorf("got %d bytes, want %d, or they differ", len(got), len(content))
	}
}

func TestALargeObjectGoesInParts(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	s, err := objectstore.OpenS3(t.Context(), config(server))
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 5<<20) // 80 MiB
	info := put(t, s, "k", string(content), objectstore.Condition{})
	if !strings.HasSuffix(info.ETag, "-2") {
		t.Errorf("the ETag is %s, want that of two parts", info.ETag)
	}
	if got := get(t, s, "k"); got != string(content) {
		t.Errorf("got %d bytes, want %d, or they differ", len(got), len(content))
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		want objectstore.Location
		fail bool
	}{
		"s3://bucket/a/b/":   {want: objectstore.Location{Bucket: "bucket", Prefix: "a/b"}},
		"s3://bucket":        {want: objectstore.Location{Bucket: "bucket"}},
		"file:///data/x":     {want: objectstore.Location{Dir: "/data/x"}},
		"data/x/":            {want: objectstore.Location{Dir: "data/x"}},
		"":                   {fail: true},
		"s3:///x":            {fail: true},
		"file://host/x":      {fail: true},
		"https://example":    {fail: true},
		"s3://b/x?region=eu": {fail: true},
	}
	for uri, c := range cases {
		got, err := objectstore.Parse(uri)
		if (err != nil) != c.fail {
			t.Errorf("%q: error is %v", uri, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", uri, diff)
		}
	}
}

func TestBucketURI_isReadAsItWasMeant(t *testing.T) {
	for _, want := range []objectstore.Location{{Bucket: "hrm"}, {Bucket: "hrm.eu", Prefix: "a/b"}, {Bucket: "hrm", Prefix: "lr 1e-3 #1?/a%20b:c"}} {
		uri := objectstore.BucketURI(want.Bucket, want.Prefix)
		if got, err := objectstore.Parse(uri); err != nil || got != want {
			t.Errorf("%s is %+v, want %+v: %v", uri, got, want, err)
		}
	}
}
