package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is a long-running program of the cluster. It outlives the command that starts it.
type daemon struct {
	name string
	args []string
	env  []string
}

// start runs a program detached, its output in logs/<name>.log and its process number in pids/<name>.
func (s state) start(program string, d daemon) error {
	if err := os.MkdirAll(s.path("logs"), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(s.path("logs", d.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, d.args...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.name, err)
	}
	if err := s.writeFile("pids/"+d.name, []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return err
	}
	// Reap the process should it die while we still wait for it.
	go func() { _ = cmd.Wait() }()
	return nil
}

// alive says whether the daemon's process is still ours: its number may have gone to another program.
func (s state) alive(name string) bool {
	raw, err := os.ReadFile(s.path("pids", name))
	if err != nil {
		return false
	}
	cmdline, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(raw)), "cmdline"))
	return err == nil && bytes.Contains(cmdline, []byte(s.dir))
}

// waitFor polls until ready returns nil. It gives up when ctx ends or the named daemon has died, with its last words.
func (s state) waitFor(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !s.alive(name) {
			return fmt.Errorf("%s stopped: %w; its log ends:\n%s", name, err, s.logTail(name))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log ends:\n%s", name, errors.Join(err, ctx.Err()), s.logTail(name))
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s state) logTail(name string) string {
	raw, err := os.ReadFile(s.path("logs", name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// output runs a command and returns what it printed; an error carries what it said on stderr.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// kubectl runs kubectl as the cluster's administrator with input on stdin.
func (s state) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "kubectl"), append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
