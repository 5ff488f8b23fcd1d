package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The Dockerfile's base images, which a machine without a registry makes itself.
const (
	debianBase = "docker.io/library/debian:bookworm-slim"
	golangBase = "docker.io/library/golang:1.26-bookworm"
)

// projectImages are the Dockerfile's targets and the names that the demo gives them.
var projectImages = map[string]string{"operator": "hrm-operator:dev", "trainer": "hrm-trainer:dev", "cuda": "hrm-trainer-cuda:dev"}

// usualImages are what a cluster without GPUs needs. The third takes gigabytes, and NVIDIA's libraries from PyPI.
var usualImages = []string{"operator", "trainer"}

// builder runs buildah with a store of its own in the cache.
type builder struct {
	root, cache string
}

// buildImages builds images unless the sources are as they were, and loads them if the cluster runs.
func (s *state) buildImages(ctx context.Context, root string, targets []string) error {
	if len(targets) == 0 {
		targets = usualImages
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	b := builder{root: root, cache: filepath.Join(cache, "images")}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(b.cache, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	key, err := sourceKey(ctx, root)
	if err != nil {
		return err
	}
	list := stages{}
	for _, target := range targets {
		archive := filepath.Join(b.cache, target+"-"+key+".tar")
		if _, err := os.Stat(archive); err != nil {
			list = append(list,
				stage{"make the base images", b.ensureBases},
				stage{"build " + projectImages[target], func(ctx context.Context) error { return b.build(ctx, target, archive) }})
		}
		if s.alive("containerd") == nil {
			list = append(list, stage{"load " + projectImages[target], func(ctx context.Context) error { return s.load(ctx, archive) }})
		}
	}
	return list.run(ctx)
}

// imageSources are what the Dockerfile copies, and itself.
var imageSources = []string{"api", "cmd", "controllers", "internal", "trainer", "go.mod", "go.sum", "Dockerfile", ".dockerignore", ":!*_test.go"}

// sourceKey changes with every file of the images that git knows or would add.
func sourceKey(ctx context.Context, root string) (string, error) {
	files, err := output(ctx, "git", append([]string{"-C", root, "ls-files", "-co", "--exclude-standard", "--"}, imageSources...)...)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for name := range strings.Lines(files) {
		f, err := os.Open(filepath.Join(root, strings.TrimSpace(name)))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, but not yet committed
		} else if err != nil {
			return "", err
		}
		fmt.Fprintln(h, name)
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func (b builder) buildah(ctx context.Context, args ...string) (string, error) {
	store := []string{"--root", filepath.Join(b.cache, "store"), "--runroot", filepath.Join(b.cache, "run"), "--storage-driver", "vfs"}
	return output(ctx, "buildah", append(store, args...)...)
}

// ensureBases makes the Debian and Go images from Debian's packages and this machine's Go.
func (b builder) ensureBases(ctx context.Context) error {
	if _, err := b.buildah(ctx, "inspect", "--type", "image", golangBase); err == nil {
		return nil
	}
	tree := filepath.Join(b.cache, "bookworm")
	if _, err := os.Stat(filepath.Join(tree, "etc/debian_version")); err != nil {
		if _, err := output(ctx, "debootstrap", "--variant=minbase", "bookworm", tree); err != nil {
			return errors.Join(err, os.RemoveAll(tree))
		}
	}
	if err := b.commit(ctx, "scratch", debianBase, [][2]string{{tree, "/"}}); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	return b.commit(ctx, debianBase, golangBase, [][2]string{{strings.TrimSpace(goroot), "/usr/local/go"}},
		"PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOTOOLCHAIN=local", "GOPATH=/go")
}

// commit makes an image from another by adding folders and environment.
func (b builder) commit(ctx context.Context, from, tag string, copies [][2]string, env ...string) error {
	container, err := b.buildah(ctx, "from", "--pull-never", from)
	if err != nil {
		return err
	}
	container = strings.TrimSpace(container)
	for _, c := range copies {
		if _, err := b.buildah(ctx, "copy", container, c[0], c[1]); err != nil {
			return err
		}
	}
	for _, e := range env {
		if _, err := b.buildah(ctx, "config", "--env", e, container); err != nil {
			return err
		}
	}
	if _, err := b.buildah(ctx, "commit", "--rm", container, tag); err != nil {
		return err
	}
	return nil
}

// build runs the Dockerfile to a target and exports it. The machine's module and build caches serve the build, and its
// package sources and certificates are lent to it, so that a mirror or proxy works inside as it does outside.
func (b builder) build(ctx context.Context, target, archive string) error {
	args := []string{"bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--target", target, "--tag", projectImages[target]}
	if version, err := output(ctx, "git", "-C", b.root, "describe", "--tags", "--always", "--dirty"); err == nil {
		args = append(args, "--build-arg", "VERSION="+strings.TrimSpace(version))
	}
	goCaches, err := output(ctx, "go", "env", "GOMODCACHE", "GOCACHE")
	if err != nil {
		return err
	}
	caches := strings.Fields(goCaches)
	for _, v := range [][2]string{
		{caches[0], "/go/pkg/mod"}, {caches[1], "/root/.cache/go-build"},
		{"/etc/ssl/certs", "/etc/ssl/certs"}, {"/etc/apt/sources.list.d", "/etc/apt/sources.list.d"}, {"/etc/apt/apt.conf.d", "/etc/apt/apt.conf.d"},
	} {
		if _, err := os.Stat(v[0]); err == nil {
			args = append(args, "--volume", v[0]+":"+v[1])
		}
	}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GOSUMDB", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if value := os.Getenv(name); value != "" {
			args = append(args, "--env", name+"="+value)
		}
	}
	if _, err := b.buildah(ctx, append(args, b.root)...); err != nil {
		return err
	}
	old, _ := filepath.Glob(filepath.Join(b.cache, target+"-*.tar"))
	for _, file := range old {
		_ = os.Remove(file)
	}
	partial := archive + ".partial"
	_ = os.Remove(partial)
	if _, err := b.buildah(ctx, "push", projectImages[target], "docker-archive:"+partial+":"+projectImages[target]); err != nil {
		return err
	}
	return os.Rename(partial, archive)
}
