package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// s3Credentials are made anew with every cluster and kept beside its kubeconfig.
func (s state) s3Credentials() (access, secret string, err error) {
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
func (s state) startS3(ctx context.Context) error {
	access, secret, err := s.s3Credentials()
	if err != nil {
		return err
	}
	for _, folder := range []string{"s3/data", "s3/iam"} {
		if err := os.MkdirAll(s.path(folder), 0o755); err != nil {
			return err
		}
	}
	err = s.start(filepath.Join(s.bin, "versitygw"), daemon{
		name: "versitygw",
		args: []string{"--port", s3Address, "--health", "/health", "posix", s.path("s3/data")},
		env:  []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret},
	})
	if err != nil {
		return err
	}
	return s.waitFor(ctx, "versitygw", func(ctx context.Context) error { return httpOK(ctx, "http://"+s3Address+"/health") })
}

func httpOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
