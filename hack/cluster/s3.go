package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// s3Credentials are made anew with every cluster and kept beside its kubeconfig.
func (s *state) s3Credentials() (access, secret string, err error) {
	raw, err := os.ReadFile(s.path("s3-credentials"))
	if err == nil {
		access, secret, _ = strings.Cut(strings.TrimSpace(string(raw)), " ")
		return access, secret, nil
	}
	random := make([]byte, 20)
	if _, err := rand.Read(random); err != nil {
		return "", "", err
	}
	access, secret = "hrm"+hex.EncodeToString(random[:4]), hex.EncodeToString(random[4:])
	return access, secret, s.writeFile("s3-credentials", []byte(access+" "+secret+"\n"), 0o600)
}

// startS3 starts the S3 server over a folder, on the address that pods and the machine both reach.
func (s *state) startS3(ctx context.Context) error {
	access, secret, err := s.s3Credentials()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.path("s3"), 0o755); err != nil {
		return err
	}
	// By the environment, because every user of the machine can read a command line.
	err = s.start("versitygw",
		[]string{s.program("versitygw"), "--port", s.net.s3(), "--health", "/health", "posix", s.path("s3")},
		"ROOT_ACCESS_KEY="+access, "ROOT_SECRET_KEY="+secret)
	if err != nil {
		return err
	}
	return s.waitFor(ctx, "versitygw", func(ctx context.Context) error { return httpOK(ctx, "http://"+s.net.s3()+"/health") })
}

// s3 starts or stops the S3 server alone, also below running pods: that is how a store's absence is tried. It starts the
// node's namespaces if there are none, and keeps the data.
func (s *state) s3(ctx context.Context, what string) error {
	switch what {
	case "stop":
		_, err := s.ask(request{Do: "stop", Name: "versitygw"})
		return err
	case "start":
		if s.alive("versitygw") == nil {
			return nil
		}
		if _, err := s.ask(request{Do: "list"}); err == nil {
			return s.startS3(ctx)
		}
		return s.fresh(ctx, stage{"start the S3 server", func(ctx context.Context) error { return s.startS3(ctx) }})
	}
	return fmt.Errorf("s3 takes start or stop, not %q", what)
}

// direct asks without a proxy: what it asks is on this machine.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func httpOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := direct.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
