package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// startEtcd starts the one member that holds the cluster's objects. The cluster is thrown away whole, so it need not sync.
func (s state) startEtcd() error {
	client, peer := "http://"+nodeIP+":2379", "http://"+nodeIP+":2380"
	return s.start(filepath.Join(s.bin, "etcd"), daemon{name: "etcd", args: []string{
		"--data-dir", s.path("etcd"), "--name", "hrm", "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "hrm=" + peer,
	}})
}

func (s state) startAPIServer(ctx context.Context) error {
	err := s.start(filepath.Join(s.bin, "kube-apiserver"), daemon{name: "kube-apiserver", args: []string{
		"--etcd-servers=http://" + nodeIP + ":2379", "--bind-address=" + nodeIP, "--secure-port=6443",
		"--advertise-address=" + nodeIP, "--service-cluster-ip-range=" + serviceCIDR,
		"--cert-dir=" + s.path("apiserver"), "--client-ca-file=" + s.path("pki/ca.crt"),
		"--tls-cert-file=" + s.path("pki/apiserver.crt"), "--tls-private-key-file=" + s.path("pki/apiserver.key"),
		"--kubelet-client-certificate=" + s.path("pki/apiserver.crt"), "--kubelet-client-key=" + s.path("pki/apiserver.key"),
		"--kubelet-certificate-authority=" + s.path("pki/ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file=" + s.path("pki/service-account.key"),
		"--service-account-signing-key-file=" + s.path("pki/service-account.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + dnsDomain,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=false",
	}})
	if err != nil {
		return err
	}
	return s.waitFor(ctx, "kube-apiserver", func(ctx context.Context) error {
		_, err := s.kubectl(ctx, "", "get", "--raw", "/readyz")
		return err
	})
}

func (s state) startControllers() error {
	err := s.start(filepath.Join(s.bin, "kube-controller-manager"), daemon{name: "kube-controller-manager", args: []string{
		"--kubeconfig=" + s.path("controller-manager.kubeconfig"), "--bind-address=" + nodeIP, "--leader-elect=false",
		"--cert-dir=" + s.path("controller-manager"), "--root-ca-file=" + s.path("pki/ca.crt"),
		"--service-account-private-key-file=" + s.path("pki/service-account.key"), "--use-service-account-credentials=true",
	}})
	if err != nil {
		return err
	}
	err = s.start(filepath.Join(s.bin, "kube-scheduler"), daemon{name: "kube-scheduler", args: []string{
		"--kubeconfig=" + s.path("scheduler.kubeconfig"), "--bind-address=" + nodeIP, "--leader-elect=false", "--cert-dir=" + s.path("scheduler"),
	}})
	if err != nil {
		return err
	}
	return s.start(filepath.Join(s.bin, "kube-proxy"), daemon{name: "kube-proxy", args: []string{
		"--kubeconfig=" + s.path("proxy.kubeconfig"), "--proxy-mode=iptables", "--cluster-cidr=" + podSubnet,
		"--hostname-override=" + nodeName, "--bind-address=" + nodeIP, "--metrics-bind-address=" + nodeIP + ":10249",
		"--healthz-bind-address=" + nodeIP + ":10256", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
		"--conntrack-tcp-timeout-close-wait=0s",
	}})
}

const corefile = `.:53 {
    bind %s
    errors
    ready %s:8181
    kubernetes %s in-addr.arpa {
        kubeconfig %s
    }
    cache 5
}
`

const dnsAccess = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hrm-cluster-dns}
rules:
- {apiGroups: [""], resources: [services, namespaces, pods, endpoints], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hrm-cluster-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hrm-cluster-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "hrm-cluster:dns"}]
`

// startDNS runs CoreDNS on the node, where pods ask for the names of Services.
func (s state) startDNS(ctx context.Context) error {
	if _, err := s.kubectl(ctx, dnsAccess, "apply", "-f", "-"); err != nil {
		return err
	}
	config := fmt.Sprintf(corefile, nodeIP, nodeIP, dnsDomain, s.path("coredns.kubeconfig"))
	if err := s.writeFile("Corefile", []byte(config), 0o644); err != nil {
		return err
	}
	if err := s.start(filepath.Join(s.bin, "coredns"), daemon{name: "coredns", args: []string{"-conf", s.path("Corefile")}}); err != nil {
		return err
	}
	return s.waitFor(ctx, "coredns", func(ctx context.Context) error {
		return httpOK(ctx, "http://"+nodeIP+":8181/ready")
	})
}

// waitNode waits until the node takes pods, and takes off the taint that a new node carries.
func (s state) waitNode(ctx context.Context) error {
	return s.waitFor(ctx, "kubelet", func(ctx context.Context) error {
		out, err := s.kubectl(ctx, "", "get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key}`)
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != "True" {
			return fmt.Errorf("node is not ready yet: %s", out)
		}
		_, err = s.kubectl(ctx, "", "get", "serviceaccount", "default", "-n", "default")
		return err
	})
}
