package controlplane

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a process may take to end by itself.
const stopPatience = 20 * time.Second

// Process is a running program whose output goes to a file.
type Process struct {
	Name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// Run starts a program that ends with the plane at the latest, its output in <name>.log.
func (p *Plane) Run(name, program string, args []string, env ...string) (*Process, error) {
	process := &Process{Name: name, log: p.Path(name + ".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(process.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	process.cmd = exec.Command(program, args...)
	process.cmd.Dir = p.options.Dir
	process.cmd.Env = append(os.Environ(), append([]string{"NO_PROXY=*", "no_proxy=*"}, env...)...)
	process.cmd.Stdout, process.cmd.Stderr = log, log
	process.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := process.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = process.cmd.Wait() // how it ended is in its ProcessState
		close(process.ended)
	}()
	p.running = append(p.running, process)
	return process, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive returns an error with the process's last words if it has ended.
func (p *Process) Alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %s; its log ends:\n%s", p.Name, p.cmd.ProcessState, p.tail())
	default:
		return nil
	}
}

// Stop asks the process to end and waits for it; one that does not is killed.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopPatience):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not end within %s and was killed; its log ends:\n%s", p.Name, stopPatience, p.tail())
}

func (p *Process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// forget takes a stopped process off the plane's list.
func (p *Plane) forget(process *Process) {
	p.running = slices.DeleteFunc(p.running, func(other *Process) bool { return other == process })
}
