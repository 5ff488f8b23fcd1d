// Command probe tries from inside a pod what training pods and the operator need of a cluster.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		fmt.Println("usage: probe gang|wait|hello")
		os.Exit(64)
	}
	switch os.Args[1] {
	case "hello":
		fmt.Println("hello")
	case "wait":
		wait()
	case "gang":
		if err := gang(); err != nil {
			fmt.Println("probe:", err)
			os.Exit(1)
		}
		fmt.Println("all is well")
	}
}

// serve answers on port 8080 and calls asked with each answer.
func serve(asked func()) *http.Server {
	s := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
		asked()
	})}
	go func() {
		if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println("probe:", err)
		}
	}()
	return s
}

// wait ends two seconds after SIGTERM, as a trainer does that saves first.
func wait() {
	serve(func() {})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Println("waiting")
	<-signals
	fmt.Println("saving")
	time.Sleep(2 * time.Second)
	fmt.Println("saved")
	os.Exit(75)
}

// patience is how long a pod waits for another, which may start much later: on a busy machine, or on a node just added.
const patience = time.Minute

// gang meets the other pod of the Job by name, and then everything else. It leaves once the peer has met it too, which
// may take the peer longer: that a name is not known yet is remembered by DNS for some seconds.
func gang() error {
	met := make(chan struct{})
	server := serve(sync.OnceFunc(func() { close(met) }))
	peer := map[string]string{"0": "1", "1": "0"}[os.Getenv("JOB_COMPLETION_INDEX")]
	err := errors.Join(
		eventually("the peer", func() error { return get(http.DefaultClient, "http://gang-"+peer+".gang:8080/", "") }),
		eventually("the S3 server", func() error { return get(http.DefaultClient, os.Getenv("S3_ENDPOINT")+"/health", "") }),
		eventually("the apiserver", apiserver),
		files(),
	)
	select {
	case <-met:
		// The answer may still be on its way: that is waited for.
		return errors.Join(err, server.Shutdown(context.Background()))
	case <-time.After(patience):
		return errors.Join(err, errors.New("the peer has not asked for this pod"))
	}
}

func eventually(what string, try func() error) error {
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		err := try()
		if err == nil {
			fmt.Println("reached", what)
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// apiserver asks the apiserver the way a client with in-cluster configuration does.
func apiserver() error {
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return errors.Join(
		get(client, "https://"+host+"/version", string(token)),
		get(client, "https://kubernetes.default.svc/version", string(token)))
}

func get(client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// files checks who the pod is and where it may write.
func files() error {
	if os.Getuid() == 0 {
		return errors.New("the pod runs as root")
	}
	if os.WriteFile("/file", nil, 0o644) == nil {
		return errors.New("the root file system can be written")
	}
	return os.WriteFile("/scratch/file", []byte("x"), 0o644)
}
