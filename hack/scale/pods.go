package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

// stepsPerSecond is how fast the played pods train: fast enough for every answer to be news.
const stepsPerSecond = 10

// servePods answers for all pods. KWOK gives them one address, and every one of them is as far as the clock says.
func servePods() (*http.Server, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(controlplane.PodIP, strconv.Itoa(progress.Port)))
	if err != nil {
		return nil, fmt.Errorf("play the pods' progress server: %w; another measurement may be running", err)
	}
	start := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+progress.Path, func(w http.ResponseWriter, _ *http.Request) {
		step := int64(time.Since(start).Seconds() * stepsPerSecond)
		loss := 1 / float64(step+1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(progress.Report{
			Step: step, TotalSteps: 1e6, Loss: &loss, SamplesPerSecond: 1000, Phase: progress.Training,
		})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, nil
}
