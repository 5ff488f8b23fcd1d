package cuda

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// CacheVariable names the directory of compiled kernels.
const CacheVariable = "HRM_CUDA_CACHE"

// compiler makes cubins of kernel files and keeps them on disk. It may be used from several goroutines.
type compiler struct {
	nvrtc   *binding.NVRTC
	info    Info
	options *Options
	// directory is where cubins are kept, empty for nowhere.
	directory string
	complain  sync.Once
}

func newCompiler(n *binding.NVRTC, info Info, o *Options) *compiler {
	c := &compiler{nvrtc: n, info: info, options: o, directory: o.Cache}
	if c.directory == "" {
		c.directory = os.Getenv(CacheVariable)
	}
	if c.directory == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			c.notKept(err)
			return c
		}
		c.directory = filepath.Join(cache, "hrm-operator", "cuda")
	}
	return c
}

// notKept says once that kernels will be compiled again next time.
func (c *compiler) notKept(err error) {
	c.complain.Do(func() {
		c.options.note("compiled kernels are not kept, so that every start compiles them: %v; %s names another directory", err, CacheVariable)
	})
}

// request is a kernel file to be compiled.
type request struct {
	file    string
	defines []string
}

func (r request) key() string { return strings.Join(append([]string{r.file}, r.defines...), " ") }

// cubin returns the code, from the disk if it is there. fresh compiles it in any case.
func (c *compiler) cubin(r request, fresh bool) ([]byte, error) {
	source, err := kernel.Source(r.file)
	if err != nil {
		return nil, err
	}
	arch, err := architecture(c.nvrtc, c.info)
	if err != nil {
		return nil, err
	}
	options := []string{"--gpu-architecture=" + arch, "--std=c++17"}
	for _, d := range r.defines {
		options = append(options, "--define-macro="+d)
	}
	path := c.path(r, source, options)
	if !fresh {
		if code, ok := c.read(path); ok {
			return code, nil
		}
	}
	code, err := c.nvrtc.Compile(r.file, source, options)
	if err != nil {
		return nil, err
	}
	if c.directory != "" {
		if err := write(path, code); err != nil {
			c.notKept(err)
		}
	}
	return code, nil
}

// path is where the code of a source, compiled with these options by this compiler, is kept.
func (c *compiler) path(r request, source string, options []string) string {
	h := sha256.New()
	// A zero byte stands in none of them.
	_, _ = fmt.Fprintf(h, "%s\x00%s\x00%s", c.info.NVRTC, strings.Join(options, "\x00"), source)
	return filepath.Join(c.directory, fmt.Sprintf("%s-%x.cubin", strings.TrimSuffix(r.file, ".cu"), h.Sum(nil)[:16]))
}

// cacheHeader begins a kept cubin; the hash of the code follows, then the code.
const cacheHeader = "hrm cubin 1\n"

// read returns kept code. What is damaged is not there.
func (c *compiler) read(path string) ([]byte, bool) {
	if c.directory == "" {
		return nil, false
	}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.notKept(err)
	}
	return unwrap(raw)
}

// unwrap returns the code of a kept file if it is whole.
func unwrap(raw []byte) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(raw, []byte(cacheHeader))
	if !ok || len(rest) < sha256.Size {
		return nil, false
	}
	// The driver gets it at an address of its own, aligned like code that was just compiled.
	code := bytes.Clone(rest[sha256.Size:])
	sum := sha256.Sum256(code)
	return code, bytes.Equal(sum[:], rest[:sha256.Size])
}

// write keeps code: the file is there as a whole or not at all.
func write(path string, code []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(code)
	_, err = f.Write(bytes.Join([][]byte{[]byte(cacheHeader), sum[:], code}, nil))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
