package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// program is the path of a program that ensureTools built.
func (s *state) program(name string) string { return filepath.Join(s.bin, name) }

// startEtcd starts the one member that holds the cluster's objects. The cluster is thrown away whole, so it need not sync.
func (s *state) startEtcd() error {
	client, peer := "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return s.start("etcd", []string{
		s.program("etcd"), "--data-dir", s.path("etcd"), "--name", "hrm", "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "hrm=" + peer,
	})
}

func (s *state) startAPIServer(ctx context.Context) error {
	err := s.start("kube-apiserver", []string{
		s.program("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", "--bind-address=" + s.net.node(), "--secure-port=6443",
		"--advertise-address=" + s.net.node(), "--service-cluster-ip-range=" + s.net.services(),
		"--cert-dir=" + s.path("apiserver"), "--client-ca-file=" + s.path("pki/ca.crt"),
		"--tls-cert-file=" + s.path("pki/apiserver.crt"), "--tls-private-key-file=" + s.path("pki/apiserver.key"),
		"--kubelet-client-certificate=" + s.path("pki/apiserver.crt"), "--kubelet-client-key=" + s.path("pki/apiserver.key"),
		"--kubelet-certificate-authority=" + s.path("pki/ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file=" + s.path("pki/service-account.key"),
		"--service-account-signing-key-file=" + s.path("pki/service-account.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + dnsDomain,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=false",
		"--default-not-ready-toleration-seconds=10", "--default-unreachable-toleration-seconds=10",
	})
	if err != nil {
		return err
	}
	return s.waitAPIServer(ctx)
}

func (s *state) waitAPIServer(ctx context.Context) error {
	return s.waitFor(ctx, "kube-apiserver", func(ctx context.Context) error {
		_, err := s.kubectl(ctx, "", "get", "--raw", "/readyz")
		return err
	})
}

func (s *state) startControllers(context.Context) error {
	return errors.Join(
		s.start("kube-controller-manager", []string{
			s.program("kube-controller-manager"),
			"--kubeconfig=" + s.path("controller-manager.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--cert-dir=" + s.path("controller-manager"), "--root-ca-file=" + s.path("pki/ca.crt"),
			"--service-account-private-key-file=" + s.path("pki/service-account.key"), "--use-service-account-credentials=true",
			// A node that is gone is noticed in seconds: nobody waits for minutes in a test.
			"--node-monitor-period=2s", "--node-monitor-grace-period=16s",
		}),
		s.start("kube-scheduler", []string{
			s.program("kube-scheduler"),
			"--kubeconfig=" + s.path("scheduler.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false", "--cert-dir=" + s.path("scheduler"),
		}),
		s.startProxy())
}

// startProxy leads packets for Services to pods. Limits on conntrack belong to the machine, so it is told to leave them.
func (s *state) startProxy() error {
	return s.start("kube-proxy", []string{
		s.program("kube-proxy"),
		"--kubeconfig=" + s.path("proxy.kubeconfig"), "--proxy-mode=iptables", "--cluster-cidr=" + s.net.pods(),
		"--hostname-override=" + s.nodeName(), "--bind-address=" + s.address(), "--metrics-bind-address=127.0.0.1:10249",
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
	})
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
func (s *state) startDNS(ctx context.Context) error {
	if _, err := s.kubectl(ctx, dnsAccess, "apply", "-f", "-"); err != nil {
		return err
	}
	config := fmt.Sprintf(corefile, s.net.node(), s.net.node(), dnsDomain, s.path("coredns.kubeconfig"))
	if err := s.writeFile("Corefile", []byte(config), 0o644); err != nil {
		return err
	}
	if err := s.start("coredns", []string{s.program("coredns"), "-conf", s.path("Corefile")}); err != nil {
		return err
	}
	return s.waitFor(ctx, "coredns", func(ctx context.Context) error {
		return httpOK(ctx, "http://"+s.net.node()+":8181/ready")
	})
}

// waitNode waits until the node takes pods.
func (s *state) waitNode(ctx context.Context) error { return s.waitFor(ctx, "kubelet", s.nodeReady) }

func (s *state) nodeReady(ctx context.Context) error {
	if err := s.nodeTakesPods(ctx, s.nodeName()); err != nil {
		return err
	}
	// Pods of a namespace are refused until its account exists.
	_, err := s.kubectl(ctx, "", "get", "serviceaccount", "default", "-n", "default")
	return err
}

func (s *state) nodeTakesPods(ctx context.Context, name string) error {
	out, err := s.kubectl(ctx, "", "get", "node", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key}`)
	if err != nil {
		return err
	}
	if strings.TrimSpace(out) != "True" {
		return fmt.Errorf("node %s is not ready yet: %s", name, out)
	}
	return nil
}
