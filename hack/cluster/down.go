package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// down removes everything that a cluster leaves on the machine, also after any part of it was killed: processes,
// mounts, interfaces, iptables chains, cgroups, sockets and files. It looks at what is there, not at what was noted.
func (s state) down(ctx context.Context) error {
	deadline := time.Now().Add(time.Minute)
	for {
		s.killProcesses()
		killCgroups()
		s.unmountAll()
		if len(s.processes()) == 0 && len(s.mounts()) == 0 && removeCgroups() {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v, mounts %v or cgroups %v do not go away", s.processes(), s.mounts(), cgroupTrees())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return errors.Join(removeInterfaces(ctx), removeChains(ctx), s.removeFiles())
}

// processes returns the process numbers whose command line names the state folder. The caller itself does not.
func (s state) processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && bytes.Contains(cmdline, []byte(s.dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s state) killProcesses() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// mounts returns the mount points below the state folder, innermost first.
func (s state) mounts() []string {
	raw, _ := os.ReadFile("/proc/self/mounts")
	return mountsBelow(string(raw), s.dir)
}

func mountsBelow(mounts, dir string) []string {
	var out []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			out = append(out, strings.ReplaceAll(fields[1], `\040`, " "))
		}
	}
	sort.Slice(out, func(i, j int) bool { return len(out[i]) > len(out[j]) })
	return out
}

func (s state) unmountAll() {
	for _, mount := range s.mounts() {
		_ = syscall.Unmount(mount, syscall.MNT_DETACH)
	}
}

// removeInterfaces deletes the bridge and the pods' ends on it.
func removeInterfaces(ctx context.Context) error {
	ports, _ := os.ReadDir(filepath.Join("/sys/class/net", bridgeName, "brif"))
	for _, port := range ports {
		_ = exec.CommandContext(ctx, "ip", "link", "delete", port.Name()).Run()
	}
	if _, err := os.Stat(filepath.Join("/sys/class/net", bridgeName)); err != nil {
		return nil
	}
	_, err := output(ctx, "ip", "link", "delete", bridgeName)
	return err
}

// removeChains takes kube-proxy's and the kubelet's chains out of iptables and leaves the rest as it is.
func removeChains(ctx context.Context) error {
	for _, family := range []string{"iptables", "ip6tables"} {
		rules, err := output(ctx, family+"-save")
		if err != nil || !strings.Contains(rules, "KUBE-") {
			continue
		}
		restore := exec.CommandContext(ctx, family+"-restore")
		restore.Stdin = strings.NewReader(withoutKubernetes(rules))
		if out, err := restore.CombinedOutput(); err != nil {
			return fmt.Errorf("%s-restore: %w: %s", family, err, out)
		}
	}
	return nil
}

// withoutKubernetes drops the lines of iptables-save that declare, fill or use Kubernetes' chains.
func withoutKubernetes(rules string) string {
	var kept strings.Builder
	for line := range strings.Lines(rules) {
		if !strings.Contains(line, "KUBE-") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// removeFiles deletes the state folder and the few things that containerd and the kubelet write elsewhere.
func (s state) removeFiles() error {
	links, _ := filepath.Glob("/var/log/containers/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, s.dir) {
			_ = os.Remove(link)
		}
	}
	results, _ := filepath.Glob("/var/lib/cni/results/" + cniName + "-*")
	loopbacks, _ := filepath.Glob("/var/lib/cni/results/cni-loopback-*")
	sockets, _ := filepath.Glob("/run/containerd/s/*")
	for _, file := range append(append(results, loopbacks...), sockets...) {
		_ = os.Remove(file)
	}
	for _, folder := range []string{
		"/var/log/containers", "/var/lib/cni/results", "/var/lib/cni", "/run/containerd/s", "/run/containerd",
		"/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
	} {
		_ = syscall.Rmdir(folder) // only if it is empty
	}
	return os.RemoveAll(s.dir)
}
