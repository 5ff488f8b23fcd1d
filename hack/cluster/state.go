package main

import (
	"os"
	"path/filepath"
)

// The cluster lives on a bridge of its own: the node's address is the bridge's, so that no port of the machine is taken
// and pods reach everything that runs on the node.
const (
	bridgeName  = "hrm0"
	nodeName    = "hrm-node"
	nodeIP      = "10.244.77.1"
	podSubnet   = "10.244.77.0/24"
	serviceCIDR = "10.96.77.0/24"
	apiService  = "10.96.77.1"
	dnsDomain   = "cluster.local"
	cgroupName  = "hrm-operator-cluster"
	s3Address   = nodeIP + ":7070"
	apiURL      = "https://" + nodeIP + ":6443"
	pauseImage  = "hrm.local/pause:1"
)

// state is the folder that holds everything the cluster writes: deleting it deletes the cluster's data.
type state struct {
	dir string
	// bin holds the programs that ensureTools built.
	bin string
}

func newState() state {
	dir := os.Getenv("HRM_CLUSTER_DIR")
	if dir == "" {
		dir = "/var/lib/hrm-operator-cluster"
	}
	return state{dir: dir}
}

// path names a file below the state folder.
func (s state) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

func (s state) kubeconfig() string       { return s.path("kubeconfig") }
func (s state) containerdSocket() string { return s.path("run", "containerd.sock") }

// writeFile writes a file below the state folder, making its folder.
func (s state) writeFile(name string, content []byte, mode os.FileMode) error {
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
