package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// authority signs the certificates of one cluster; it is made anew with every cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

const certificateLife = 365 * 24 * time.Hour

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hrm-operator-cluster"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// issue returns a certificate for client and server use, and its key, as PEM.
func (a *authority) issue(now time.Time, user, group string, names []string, ips []string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: user}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), nil
}

// writePKI makes the authority, the servers' certificates and a kubeconfig for every component.
func (s *state) writePKI(now time.Time) error {
	ca, err := newAuthority(now)
	if err != nil {
		return fmt.Errorf("make the cluster's certificate authority: %w", err)
	}
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + dnsDomain, "localhost"}
	cert, key, err := ca.issue(now, "kube-apiserver", "system:masters", names, []string{s.net.node(), s.net.apiService(), "127.0.0.1"})
	if err != nil {
		return fmt.Errorf("issue the certificate of the apiserver: %w", err)
	}
	if err := s.writePair("pki/apiserver", cert, key); err != nil {
		return err
	}
	for _, node := range s.nodes() {
		if err := node.writeNodePKI(ca, now); err != nil {
			return err
		}
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	signerPEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signer)})
	if err := s.writeFile("pki/service-account.key", signerPEM, 0o600); err != nil {
		return err
	}
	return s.writeKubeconfigs(ca, now, []identity{
		{"kubeconfig", "admin", "system:masters"},
		{"controller-manager.kubeconfig", "system:kube-controller-manager", ""},
		{"scheduler.kubeconfig", "system:kube-scheduler", ""},
		{"coredns.kubeconfig", "coredns", "hrm-cluster:dns"},
	})
}

// writeNodePKI makes what a node identifies itself with.
func (s *state) writeNodePKI(ca *authority, now time.Time) error {
	user := "system:node:" + s.nodeName()
	cert, key, err := ca.issue(now, user, "system:nodes", []string{s.nodeName(), "localhost"}, []string{s.address(), "127.0.0.1"})
	if err != nil {
		return fmt.Errorf("issue the certificate of node %s: %w", s.nodeName(), err)
	}
	if err := s.writeFile("pki/ca.crt", ca.pem, 0o644); err != nil {
		return err
	}
	if err := s.writePair("pki/kubelet", cert, key); err != nil {
		return err
	}
	return s.writeKubeconfigs(ca, now, []identity{{"kubelet.kubeconfig", user, "system:nodes"}, {"proxy.kubeconfig", "system:kube-proxy", ""}})
}

// identity is who a component is to the apiserver, and the kubeconfig that says so.
type identity struct{ file, user, group string }

func (s *state) writePair(name string, cert, key []byte) error {
	if err := s.writeFile(name+".crt", cert, 0o644); err != nil {
		return err
	}
	return s.writeFile(name+".key", key, 0o600)
}

func (s *state) writeKubeconfigs(ca *authority, now time.Time, list []identity) error {
	for _, c := range list {
		cert, key, err := ca.issue(now, c.user, c.group, nil, nil)
		if err != nil {
			return fmt.Errorf("issue the certificate of %s: %w", c.user, err)
		}
		if err := s.writeFile(c.file, kubeconfig(s.net.api(), ca.pem, cert, key), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func kubeconfig(server string, ca, cert, key []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: hrm, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: hrm, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: hrm, context: {cluster: hrm, user: hrm}}]
current-context: hrm
`, server, b64(ca), b64(cert), b64(key))
}
