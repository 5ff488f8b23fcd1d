package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// cgroupHierarchies returns the mount points of the cgroup file systems: one for version 2, one per controller for 1.
func cgroupHierarchies(mounts string) []string {
	var out []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 3 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			out = append(out, fields[1])
		}
	}
	return out
}

// cgroupTrees names our cgroup in every hierarchy, whether it exists or not.
func (s *state) cgroupTrees() []string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	var out []string
	for _, hierarchy := range cgroupHierarchies(string(mounts)) {
		out = append(out, filepath.Join(hierarchy, s.cgroup()))
	}
	return out
}

// removeCgroups removes our cgroups, children first, and returns those that still hold processes.
func (s *state) removeCgroups() []string {
	var left []string
	for _, tree := range s.cgroupTrees() {
		var folders []string
		_ = filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		for _, folder := range slices.Backward(folders) {
			_ = syscall.Rmdir(folder)
		}
		if _, err := os.Stat(tree); err == nil {
			left = append(left, tree)
		}
	}
	return left
}
