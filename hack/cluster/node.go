package main

import (
	"context"
	"fmt"
	"os"
)

func (s *state) containerdConfig() string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[ttrpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Inside many virtual machines the score cannot be lowered, and runc would fail.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`, s.path("containerd"), s.path("run", "containerd"), s.containerdSocket(), s.containerdSocket()+".ttrpc",
		s.path("opt"), pauseImage, s.path("cni"))
}

func (s *state) cniConfig() string {
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "hrm", "plugins": [
  {"type": "bridge", "bridge": %q, "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q, "gateway": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`, bridgeName, s.path("ipam"), s.pods(), s.gateway())
}

func (s *state) kubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
healthzBindAddress: %[1]s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[2]q}}
authorization: {mode: Webhook}
tlsCertFile: %[3]q
tlsPrivateKeyFile: %[4]q
containerRuntimeEndpoint: unix://%[5]s
cgroupDriver: cgroupfs
cgroupRoot: /%[6]s
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
clusterDNS: [%[11]s]
clusterDomain: %[7]s
resolvConf: %[8]q
podLogsDir: %[9]q
volumePluginDir: %[10]q
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 12
shutdownGracePeriod: 0s
`, s.address(), s.path("pki/ca.crt"), s.path("pki/kubelet.crt"), s.path("pki/kubelet.key"), s.containerdSocket(), s.cgroup(), dnsDomain,
		s.path("resolv.conf"), s.path("pod-logs"), s.path("volume-plugins"), s.net.node())
}

// startContainerd starts a containerd of our own, apart from one that the machine may run, and gives it the pause image.
func (s *state) startContainerd(ctx context.Context) error {
	if err := s.writeFile("containerd.toml", []byte(s.containerdConfig()), 0o644); err != nil {
		return err
	}
	if err := s.writeFile("cni/10-hrm.conflist", []byte(s.cniConfig()), 0o644); err != nil {
		return err
	}
	if err := s.start("containerd", []string{"containerd", "--config", s.path("containerd.toml")}); err != nil {
		return err
	}
	err := s.waitFor(ctx, "containerd", func(ctx context.Context) error {
		_, err := output(ctx, "ctr", "--address", s.containerdSocket(), "version")
		return err
	})
	if err != nil {
		return err
	}
	archive := s.path("pause.tar")
	if err := writeImage(ctx, "hack/cluster/pause", pauseImage, archive); err != nil {
		return fmt.Errorf("make the pause image: %w", err)
	}
	return s.load(ctx, archive)
}

// load imports docker-archives into the containerd of every node that runs.
func (s *state) load(ctx context.Context, archives ...string) error {
	if err := s.loadHere(ctx, archives...); err != nil || s.first != nil {
		return err
	}
	if second := s.second(); second.alive("containerd") == nil {
		return second.loadHere(ctx, archives...)
	}
	return nil
}

func (s *state) loadHere(ctx context.Context, archives ...string) error {
	if err := s.alive("containerd"); err != nil {
		return fmt.Errorf("%w; go run ./hack/cluster up starts it", err)
	}
	for _, archive := range archives {
		if _, err := output(ctx, "ctr", "--address", s.containerdSocket(), "--namespace", "k8s.io", "images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

// startKubelet registers the node with the cluster.
func (s *state) startKubelet(context.Context) error {
	if err := s.writeFile("kubelet.yaml", []byte(s.kubeletConfig()), 0o644); err != nil {
		return err
	}
	if err := s.writeFile("resolv.conf", []byte("nameserver "+s.net.node()+"\n"), 0o644); err != nil {
		return err
	}
	for _, tree := range s.cgroupTrees() {
		if err := os.MkdirAll(tree, 0o755); err != nil {
			return fmt.Errorf("make the node's cgroup: %w", err)
		}
	}
	return s.start("kubelet", []string{
		s.program("kubelet"), "--config", s.path("kubelet.yaml"), "--kubeconfig", s.path("kubelet.kubeconfig"),
		"--root-dir", s.path("kubelet"), "--cert-dir", s.path("kubelet-pki"), "--hostname-override", s.nodeName(), "--node-ip", s.address(),
	})
}
