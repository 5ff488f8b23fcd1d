package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

// auditEvent is the part of an apiserver's audit event that is counted.
type auditEvent struct {
	Stage string `json:"stage"`
	Verb  string `json:"verb"`
	User  struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
	Done     time.Time `json:"stageTimestamp"`
}

// what is the verb and the resource of a request.
func (e auditEvent) what() string {
	resource := e.ObjectRef.Resource
	if resource == "" {
		resource = "(discovery)"
	}
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	what := e.Verb + " " + resource
	if e.ResponseStatus.Code >= 400 && !(e.Verb == "get" && e.ResponseStatus.Code == 404) {
		what += fmt.Sprintf(" (%d)", e.ResponseStatus.Code)
	}
	return what
}

// readAudit returns the events whose request arrived in a time. A request is counted when it is answered, a watch when
// it begins.
func readAudit(file string, from, to time.Time) ([]auditEvent, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var events []auditEvent
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil // a last line without its end is still being written
		}
		if err != nil {
			return nil, err
		}
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		wanted := "ResponseComplete"
		if e.Verb == "watch" {
			wanted = "ResponseStarted"
		}
		if e.Stage == wanted && !e.Received.Before(from) && e.Received.Before(to) {
			events = append(events, e)
		}
	}
}

// requests counts the operator's requests by what they ask for.
func requests(events []auditEvent) map[string]int {
	counts := map[string]int{}
	for _, e := range events {
		if e.User.Username == controlplane.Operator {
			counts[e.what()]++
		}
	}
	return counts
}

// timesToJob are the times from the answer to a user's creation of an HRMTrainingJob to the answer to the operator's
// creation of its first Job, in order of size, by the apiserver's clock.
func timesToJob(events []auditEvent, names []string) []time.Duration {
	submitted, created := map[string]time.Time{}, map[string]time.Time{}
	for _, e := range events {
		if e.Verb != "create" || e.ResponseStatus.Code != 201 {
			continue
		}
		switch {
		case e.ObjectRef.Resource == "hrmtrainingjobs" && e.User.Username == submitter:
			submitted[e.ObjectRef.Name] = e.Done
		case e.ObjectRef.Resource == "jobs" && e.User.Username == controlplane.Operator:
			created[strings.TrimSuffix(e.ObjectRef.Name, "-1")] = e.Done
		}
	}
	var times []time.Duration
	for _, name := range names {
		start, end := submitted[name], created[name]
		if !start.IsZero() && !end.IsZero() {
			times = append(times, end.Sub(start))
		}
	}
	slices.Sort(times)
	return times
}

// quantile of ascending times.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[min(len(times)-1, int(q*float64(len(times))))]
}
