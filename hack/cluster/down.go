package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// down removes everything that a cluster leaves on the machine, also after any part of it was killed. It looks at what
// is there, not at what was noted. Most of it ends with the holder: see holder.go.
func (s *state) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, node := range s.nodes() {
		if err := node.cut(ctx); err != nil {
			return err
		}
	}
	return errors.Join(s.removeLink(ctx), s.removeFiles())
}

// cut ends everything on a node at once, as a cut of its power would.
func (s *state) cut(ctx context.Context) error {
	for {
		for _, pid := range s.holders() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		left := s.removeCgroups()
		if len(s.holders())+len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("holders %v and cgroups %v do not go away: %w; a process in them may wait for a disk", s.holders(), left, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// removeLink deletes the machine's end of the cable and with it the routes. The kernel does so too, but only some time
// after the node's last process has ended.
func (s *state) removeLink(ctx context.Context) error {
	path := filepath.Join("/sys/class/net", s.link())
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	_, err := output(ctx, "ip", "link", "delete", s.link())
	if _, gone := os.Stat(path); gone != nil {
		return nil // the kernel came first
	}
	return err
}

// removeFiles deletes the state folder and the empty folders that were made for the node to lay its own over.
func (s *state) removeFiles() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	// Deleting a folder that something is mounted on would delete what was mounted.
	for _, mount := range mountsBelow(string(mounts), s.dir) {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", mount, err)
		}
	}
	if len(holders(func(string) bool { return true })) == 0 {
		// Under another cluster the kernel would take away what that one laid over them.
		for _, folder := range nodeFolders {
			_ = syscall.Rmdir(folder) // fails unless it is empty
		}
	}
	return os.RemoveAll(s.dir)
}

// mountsBelow returns the mount points below a folder, innermost first.
func mountsBelow(mounts, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if point := unescape.Replace(fields[1]); strings.HasPrefix(point, dir+"/") {
			out = append(out, point)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// removeCache deletes what was built: programs and images.
func removeCache() error {
	dir, err := cacheDir()
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
