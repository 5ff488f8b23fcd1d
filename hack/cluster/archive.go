package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
)

// module is this project's; its packages are named in full so that building them does not depend on the working folder.
const module = "github.com/hrm-operator/hrm-operator"

// writeImage builds a program of the project and writes it as a docker-archive that holds nothing else.
func writeImage(ctx context.Context, pkg, tag, archive string) error {
	dir, err := os.MkdirTemp("", "hrm-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := path.Base(pkg)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), module+"/"+pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return packProgram(filepath.Join(dir, name), tag, archive)
}

// packProgram writes a static program as a docker-archive that holds nothing else.
func packProgram(file, tag, archive string) error {
	name := filepath.Base(file)
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	content, err := dockerArchive(tag, map[string][]byte{name: program}, []string{"/" + name})
	if err != nil {
		return err
	}
	return os.WriteFile(archive, content, 0o644)
}

// dockerArchive packs programs into an image of one layer, in the format of docker save.
func dockerArchive(tag string, files map[string][]byte, entrypoint []string) ([]byte, error) {
	layer, err := tarball(files, 0o755)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": entrypoint, "User": "65535:65535"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{tag}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	return tarball(map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest}, 0o644)
}

func tarball(files map[string][]byte, mode int64) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}
