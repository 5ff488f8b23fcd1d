package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The holder is the node's process number 1. It holds namespaces of processes, mounts and network in which all of the
// cluster runs, starts the cluster's programs on request and buries the dead. When it is killed the kernel kills
// everything inside, undoes every mount and drops the network with its chains: nothing can be forgotten.

// holderCommand is the hidden command that `up` runs in new namespaces.
const holderCommand = "hold-node"

// nodeFolders are places outside the state folder that containerd, the kubelet and the CNI plugins insist on. Inside
// the node, folders of the state folder lie over them.
var nodeFolders = []string{"/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"}

// request asks the holder for something, one per connection.
type request struct {
	// Do is start (a daemon), again (start one as it was started before), stop (one), run (a program to its end) or list
	// (the daemons).
	Do   string
	Name string
	Args []string
	Env  []string
}

// reply is its answer. Daemons maps each daemon that was started to how it ended, or to "" while it runs.
type reply struct {
	Error   string
	Daemons map[string]string
}

// process is a child of the holder.
type process struct {
	pid int
	// made is the request that started it.
	made request
	// ended is closed once the process is gone and status says how.
	ended  chan struct{}
	status string
}

type holder struct {
	dir string
	mu  sync.Mutex
	// children are the running ones by process number, daemons the latest of each name.
	children map[int]*process
	daemons  map[string]*process
}

// hold runs as process number 1 of new namespaces until it is killed.
func hold(dir string) error {
	if os.Getpid() != 1 {
		return errors.New(holderCommand + " is run by up")
	}
	if err := prepareNode(dir); err != nil {
		return err
	}
	h := &holder{dir: dir, children: map[int]*process{}, daemons: map[string]*process{}}
	dead := make(chan os.Signal, 1)
	signal.Notify(dead, syscall.SIGCHLD)
	go h.bury(dead)
	socket := filepath.Join(dir, "run/holder.sock")
	_ = os.Remove(socket) // of a holder that was killed
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go h.serve(connection)
	}
}

// prepareNode makes the namespaces fit to live in.
func prepareNode(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep the node's mounts apart: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount the node's /proc: %w", err)
	}
	for _, folder := range nodeFolders {
		below := filepath.Join(dir, "node", folder)
		if err := errors.Join(os.MkdirAll(below, 0o755), os.MkdirAll(folder, 0o755)); err != nil {
			return err
		}
		if err := syscall.Mount(below, folder, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("lay %s over %s: %w", below, folder, err)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switch on ip forwarding in the node: %w", err)
	}
	return nil
}

// bury reaps the dead: the holder's children, and the orphans that the kernel hands to process number 1.
func (h *holder) bury(dead <-chan os.Signal) {
	for range dead {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err != nil || pid <= 0 {
				break
			}
			h.mu.Lock()
			if child := h.children[pid]; child != nil {
				child.status = describe(status)
				close(child.ended)
				delete(h.children, pid)
			}
			h.mu.Unlock()
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + status.Signal().String()
	}
	return fmt.Sprintf("ended with status %d", status.ExitStatus())
}

func (h *holder) serve(connection net.Conn) {
	defer func() { _ = connection.Close() }()
	var r request
	if err := json.NewDecoder(connection).Decode(&r); err != nil {
		return
	}
	answer := reply{}
	if err := h.answer(r); err != nil {
		answer.Error = err.Error()
	}
	h.mu.Lock()
	answer.Daemons = map[string]string{}
	for name, p := range h.daemons {
		answer.Daemons[name] = p.status
	}
	h.mu.Unlock()
	_ = json.NewEncoder(connection).Encode(answer)
}

func (h *holder) answer(r request) error {
	switch r.Do {
	case "start":
		_, err := h.spawn(r)
		return err
	case "again":
		h.mu.Lock()
		p := h.daemons[r.Name]
		h.mu.Unlock()
		if p == nil {
			return fmt.Errorf("%s was never started", r.Name)
		}
		if p.status == "" {
			return nil
		}
		_, err := h.spawn(p.made)
		return err
	case "run":
		p, err := h.spawn(r)
		if err != nil {
			return err
		}
		<-p.ended
		if p.status != describe(0) {
			return fmt.Errorf("%s %s; see %s", strings.Join(r.Args, " "), p.status, h.log(r.Name))
		}
	case "stop":
		h.mu.Lock()
		p := h.daemons[r.Name]
		h.mu.Unlock()
		if p != nil {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
			<-p.ended
		}
	}
	return nil
}

func (h *holder) log(name string) string { return filepath.Join(h.dir, "logs", name+".log") }

// spawn starts a program with its output in its log. The lock is held so that bury cannot meet a child before it is noted.
func (h *holder) spawn(r request) (*process, error) {
	log, err := os.OpenFile(h.log(r.Name), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	program, err := exec.LookPath(r.Args[0])
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &process{made: r, ended: make(chan struct{})}
	p.pid, err = syscall.ForkExec(program, r.Args, &syscall.ProcAttr{
		Dir: h.dir, Env: append(os.Environ(), r.Env...), Files: []uintptr{0, log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	h.children[p.pid] = p
	if r.Do == "start" {
		h.daemons[r.Name] = p
	}
	return p, nil
}
