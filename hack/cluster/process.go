package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startHolder starts the node's process number 1 in namespaces of its own. It outlives the command that starts it.
func (s *state) startHolder(ctx context.Context) error {
	for _, folder := range []string{"run", "logs", "tmp"} {
		if err := os.MkdirAll(s.path(folder), 0o755); err != nil {
			return err
		}
	}
	log, err := os.Create(s.path("logs/holder.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/proc/self/exe", holderCommand, s.dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	// A proxy of the user's must not come between the cluster's parts, so that little of the environment goes along.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + s.dir, "TMPDIR=" + s.path("tmp")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: new namespaces are refused: %w", errUnsupported, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if _, err := s.ask(request{Do: "list"}); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("%w: the node's first process ended: %w: %s", errUnsupported, err, s.logTail("holder"))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// holders returns the process numbers of this node's holders, as the machine counts them.
func (s *state) holders() []int { return holders(func(dir string) bool { return dir == s.dir }) }

// holders returns the process numbers of the holders whose cluster's folder is wanted.
func holders(wanted func(dir string) bool) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		args := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
		if len(args) != 3 || args[1] != holderCommand || !wanted(args[2]) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *state) holderPID() (int, error) {
	pids := s.holders()
	if len(pids) != 1 {
		return 0, fmt.Errorf("%d processes hold the node of %s, not one", len(pids), s.dir)
	}
	return pids[0], nil
}

// ask sends the holder a request and returns its answer.
func (s *state) ask(r request) (reply, error) {
	connection, err := net.Dial("unix", s.holderSocket())
	if err != nil {
		return reply{}, fmt.Errorf("no cluster runs in %s: %w", s.dir, err)
	}
	defer func() { _ = connection.Close() }()
	var answer reply
	err = errors.Join(json.NewEncoder(connection).Encode(r), json.NewDecoder(connection).Decode(&answer))
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer, err
}

// start starts one of the cluster's programs, its output in logs/<name>.log.
func (s *state) start(name string, args []string, env ...string) error {
	_, err := s.ask(request{Do: "start", Name: name, Args: args, Env: env})
	return err
}

// inNode runs a program to its end inside the node.
func (s *state) inNode(args ...string) error {
	_, err := s.ask(request{Do: "run", Name: "setup", Args: args})
	if err != nil {
		return fmt.Errorf("%w: %s", err, s.logTail("setup"))
	}
	return nil
}

// alive says whether a daemon runs, and if not, what became of it.
func (s *state) alive(name string) error {
	answer, err := s.ask(request{Do: "list"})
	if err != nil {
		return err
	}
	if end, started := answer.Daemons[name]; !started {
		return fmt.Errorf("%s was not started", name)
	} else if end != "" {
		return fmt.Errorf("%s %s", name, end)
	}
	return nil
}

// waitFor polls until ready returns nil. It gives up when ctx ends or the named daemon has died, with its last words.
func (s *state) waitFor(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if dead := s.alive(name); dead != nil {
			return fmt.Errorf("%w; its log %s ends:\n%s", dead, s.path("logs", name+".log"), s.logTail(name))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log %s ends:\n%s", name, errors.Join(err, ctx.Err()), s.path("logs", name+".log"), s.logTail(name))
		case <-time.After(150 * time.Millisecond):
		}
	}
}

func (s *state) logTail(name string) string {
	return tail(s.path("logs", name+".log"), 15)
}

// tail returns the last lines of a file.
func tail(file string, count int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
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
func (s *state) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "kubectl"), append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// together runs functions at the same time and returns what went wrong. The first error cancels the others.
func together(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, len(functions))
	for _, f := range functions {
		go func() { ended <- f(ctx) }()
	}
	var first error
	for range functions {
		if err := <-ended; err != nil && first == nil {
			first = err
			cancel(err)
		}
	}
	return first
}
