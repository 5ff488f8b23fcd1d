package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// errUnsupported says that a cluster cannot run on this machine; its message says why and what would help.
var errUnsupported = errors.New("a cluster cannot run here")

//go:embed packages.txt
var packageList string

// packages are the Debian packages that the cluster and the images need, and a file of each that proves it is there.
func packages(list string) map[string]string {
	needed := map[string]string{}
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] != "#" {
			needed[fields[0]] = fields[1]
		}
	}
	return needed
}

func missingPackages() []string {
	var missing []string
	needed := packages(packageList)
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if _, err := os.Stat(needed[name]); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// check installs what is missing and returns an error that wraps errUnsupported if this machine cannot run a node.
func check(ctx context.Context) error {
	if err := checkMachine(); err != nil {
		return err
	}
	if err := installPackages(ctx); err != nil {
		return err
	}
	return checkKernel(ctx)
}

// checkMachine looks at what no package can change.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: a node needs root (containers, network interfaces); run as root", errUnsupported)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains(string(release), "debian") {
		return fmt.Errorf("%w: this is not Debian, whose packages the node is made of; use a Debian 12 machine", errUnsupported)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || len(cgroupHierarchies(string(mounts))) == 0 {
		return fmt.Errorf("%w: no cgroup file system is mounted, so no container can be limited; mount one at /sys/fs/cgroup", errUnsupported)
	}
	for _, hierarchy := range cgroupHierarchies(string(mounts)) {
		probe, err := os.MkdirTemp(hierarchy, "hrm-cluster-probe-")
		if err != nil {
			return fmt.Errorf("%w: %s cannot be written: %w; in a container, run it privileged", errUnsupported, hierarchy, err)
		}
		_ = os.Remove(probe)
	}
	return nil
}

// checkKernel tries what a node does to the kernel, in namespaces that vanish with the attempt.
func checkKernel(ctx context.Context) error {
	for _, attempt := range [][]string{
		{"true"},
		{"ip", "link", "add", "type", "bridge"},
		{"ip", "link", "add", "type", "veth"},
		{"iptables", "-t", "nat", "-N", "HRM"},
	} {
		cmd := exec.CommandContext(ctx, attempt[0], attempt[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %q fails in new namespaces: %w: %s; in a container, run it privileged", errUnsupported,
				strings.Join(attempt, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// installPackages installs the Debian packages that are missing.
func installPackages(ctx context.Context) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: packages %s are missing and only root can install them", errUnsupported, strings.Join(missing, " "))
	}
	fmt.Fprintln(os.Stderr, "installing", strings.Join(missing, " "))
	// A source that has nothing to do with these packages may be out of reach: whether the update served, installing tells.
	updated := aptGet(ctx, "update")
	if err := aptGet(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...); err != nil {
		return fmt.Errorf("%w: %w", errUnsupported, errors.Join(updated, err))
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
