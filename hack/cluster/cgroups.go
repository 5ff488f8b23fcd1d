package main

import (
	"os"
	"path/filepath"
	"strconv"
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

// cgroupTrees returns our cgroup in every hierarchy.
func cgroupTrees() []string {
	mounts, _ := os.ReadFile("/proc/mounts")
	var out []string
	for _, hierarchy := range cgroupHierarchies(string(mounts)) {
		tree := filepath.Join(hierarchy, cgroupName)
		if _, err := os.Stat(tree); err == nil {
			out = append(out, tree)
		}
	}
	return out
}

// killCgroups ends every process of every container: those live in our cgroup whatever became of their parents.
func killCgroups() {
	for _, tree := range cgroupTrees() {
		_ = filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			raw, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(field); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return nil
		})
	}
}

// removeCgroups removes our cgroups, children first, and reports whether none is left.
func removeCgroups() bool {
	for _, tree := range cgroupTrees() {
		var folders []string
		_ = filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		for i := len(folders) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(folders[i])
		}
	}
	return len(cgroupTrees()) == 0
}
