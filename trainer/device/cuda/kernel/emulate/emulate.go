// Package emulate runs CUDA kernels on the processor, to prove them where there is no GPU. See package kernel for what it
// can show. It needs g++ with AddressSanitizer.
package emulate

import (
	"crypto/sha256"
	_ "embed" // C++ sources
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

//go:embed cxx/emulate.h
var header string

//go:embed cxx/prelude.cuh
var prelude string

//go:embed cxx/driver.cc
var driver string

// Compiler is the C++ compiler that the emulation needs.
const Compiler = "g++"

var flags = []string{"-std=c++17", "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-strict-aliasing",
	"-fno-omit-frame-pointer", "-ffp-contract=off", "-Wall", "-Wno-unused-function", "-Werror", "-fPIC"}

// Device is the emulation. Jobs may run on it concurrently.
type Device struct {
	dir string
	exe string

	mutex     sync.Mutex
	libraries map[string]*library
	idle      []*process
}

// library is a kernel file compiled with certain macros.
type library struct {
	once sync.Once
	path string
	err  error
}

// keep is how long compiled code is kept that nobody uses.
const keep = 7 * 24 * time.Hour

// New compiles the driver. Compiled code is kept in the user's cache, under the hash of what it was made from.
func New() (*Device, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("emulation: no place for compiled kernels: %w: set HOME or XDG_CACHE_HOME", err)
	}
	d := &Device{dir: filepath.Join(cache, "hrm-operator", "emulate"), libraries: map[string]*library{}}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("emulation: %w", err)
	}
	if err := d.prune(time.Now()); err != nil {
		return nil, fmt.Errorf("emulation: %w", err)
	}
	d.exe, err = d.compile("driver", driver, "-rdynamic", "-ldl")
	return d, err
}

// prune removes compiled code that was last used long ago.
func (d *Device) prune(now time.Time) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// An entry may vanish meanwhile: another process prunes, too.
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > keep {
			if err := os.RemoveAll(filepath.Join(d.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends the processes.
func (d *Device) Close() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, p := range d.idle {
		p.kill()
	}
	d.idle = nil
}

// Compile compiles a kernel file and returns the library's path.
func (d *Device) Compile(file string, defines []string) (string, error) {
	key := strings.Join(append([]string{file}, defines...), " ")
	d.mutex.Lock()
	l, ok := d.libraries[key]
	if !ok {
		l = &library{}
		d.libraries[key] = l
	}
	d.mutex.Unlock()
	l.once.Do(func() { l.path, l.err = d.compileKernels(file, defines) })
	return l.path, l.err
}

func (d *Device) compileKernels(file string, defines []string) (string, error) {
	text, err := kernel.SourceWith(file, map[string]string{"prelude.cuh": prelude})
	if err != nil {
		return "", err
	}
	return d.compileText(file, text, defines)
}

// compileText compiles kernels that include what they need.
func (d *Device) compileText(file, text string, defines []string) (string, error) {
	var source strings.Builder
	for _, define := range defines {
		name, value, _ := strings.Cut(define, "=")
		fmt.Fprintf(&source, "#define %s %s\n", name, value)
	}
	fmt.Fprintf(&source, "#line 1 \"%s\"\n%s", file, text)
	for _, name := range kernel.Kernels(text) {
		fmt.Fprintf(&source, "EXPORT(%s)\n", name)
	}
	return d.compile(strings.TrimSuffix(file, ".cu"), source.String(), "-shared")
}

// compile compiles a C++ text unless that has been done before.
func (d *Device) compile(name, source string, more ...string) (string, error) {
	arguments := slices.Concat(flags, more)
	hash := sha256.Sum256([]byte(strings.Join(arguments, " ") + header + source))
	path := filepath.Join(d.dir, fmt.Sprintf("%s-%x", name, hash[:12]))
	// The time says when it was last used.
	if now := time.Now(); os.Chtimes(path, now, now) == nil {
		return path, nil
	}
	dir, err := os.MkdirTemp(d.dir, "build")
	if err != nil {
		return "", fmt.Errorf("compile %s: %w", name, err)
	}
	defer os.RemoveAll(dir)
	text, out := filepath.Join(dir, name+".cc"), filepath.Join(dir, name)
	for file, content := range map[string]string{text: source, filepath.Join(dir, "emulate.h"): header} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", fmt.Errorf("compile %s: %w", name, err)
		}
	}
	command := exec.Command(Compiler, append([]string{"-o", out, text}, arguments...)...)
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s: %w\n%s", name, err, said)
	}
	// Two processes may compile the same at the same time; either's result will do.
	return path, os.Rename(out, path)
}
