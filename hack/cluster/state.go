package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

const (
	dnsDomain  = "cluster.local"
	pauseImage = "hrm.local/pause:1"
	// maxDir keeps the sockets below the folder within the 107 bytes that the kernel gives a socket's path.
	maxDir = 70
)

// state is a cluster: the folder that holds everything it writes, and what follows from the folder's name. Clusters in
// different folders do not touch each other.
type state struct {
	dir string
	// bin holds the programs that ensureTools built.
	bin string
	// net is where the cluster lives; zero until makeNetwork has chosen it.
	net network
	// first is the cluster's first node, whose folder holds this one's; nil for the first node itself.
	first *state
}

// second is the cluster's other node, whether it runs or not: a machine of its own, as far as the first can tell.
func (s *state) second() *state {
	return &state{dir: s.path("node2"), bin: s.bin, net: s.net, first: s}
}

// nodes are all that may run.
func (s *state) nodes() []*state { return []*state{s, s.second()} }

// newState finds the cluster that the environment names.
func newState() (*state, error) {
	dir := os.Getenv("HRM_CLUSTER_DIR")
	if dir == "" {
		dir = "/var/lib/hrm-operator-cluster"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if dir == "/" || len(dir) > maxDir {
		return nil, fmt.Errorf("HRM_CLUSTER_DIR is %q; name a folder of its own with a path of at most %d characters", dir, maxDir)
	}
	s := &state{dir: dir}
	s.net, err = readNetwork(s.path("network"))
	return s, err
}

// id tells this cluster's interface and cgroup from another's.
func (s *state) id() string {
	if s.first != nil {
		return s.first.id() + "-2"
	}
	sum := sha256.Sum256([]byte(s.dir))
	return hex.EncodeToString(sum[:4])
}

func (s *state) cgroup() string { return "hrm-cluster-" + s.id() }

// nodeName is the node's in the cluster.
func (s *state) nodeName() string {
	if s.first != nil {
		return "hrm-node-2"
	}
	return "hrm-node"
}

// address, pods and gateway are the node's own part of the network.
func (s *state) address() string { return s.net.address(0, 2+s.index()) }
func (s *state) pods() string    { return s.net.address(2+s.index(), 0) + "/24" }
func (s *state) gateway() string { return s.net.address(2+s.index(), 1) }

func (s *state) index() byte {
	if s.first != nil {
		return 1
	}
	return 0
}

// link is the machine's end of the cable to the node. An interface's name has at most 15 characters.
func (s *state) link() string { return "hrm-" + s.id() }

// path names a file below the state folder.
func (s *state) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

func (s *state) kubeconfig() string       { return s.path("kubeconfig") }
func (s *state) containerdSocket() string { return s.path("run", "containerd.sock") }
func (s *state) holderSocket() string     { return s.path("run", "holder.sock") }

// writeFile writes a file below the state folder, making its folder.
func (s *state) writeFile(name string, content []byte, mode os.FileMode) error {
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
