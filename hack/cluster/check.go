package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// errUnsupported says that a cluster cannot run on this machine; its message says why and what would help.
var errUnsupported = errors.New("a cluster cannot run here")

//go:embed packages.txt
var packageList string

// packages are the Debian packages that the cluster and the images need, and a command of each that proves it is there.
func packages() map[string]string {
	needed := map[string]string{}
	for line := range strings.Lines(packageList) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] != "#" {
			needed[fields[0]] = fields[1]
		}
	}
	return needed
}

func missingPackages() []string {
	var missing []string
	for name, proof := range packages() {
		if _, err := os.Stat(proof); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// checkMachine returns an error that wraps errUnsupported if this machine cannot run a node.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: a node needs root (containers, network interfaces); run as root", errUnsupported)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains(string(release), "debian") {
		return fmt.Errorf("%w: this is not Debian, whose packages the node is made of", errUnsupported)
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || !strings.Contains(string(mounts), " cgroup") {
		return fmt.Errorf("%w: no cgroup file system is mounted, so no container can be limited", errUnsupported)
	}
	for _, hierarchy := range cgroupHierarchies(string(mounts)) {
		probe, err := os.MkdirTemp(hierarchy, cgroupName+"-probe")
		if err != nil {
			return fmt.Errorf("%w: %s cannot be written: %w", errUnsupported, hierarchy, err)
		}
		_ = os.Remove(probe)
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
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: apt-get %s: %w: %s", errUnsupported, args[0], err, out)
		}
	}
	return nil
}
