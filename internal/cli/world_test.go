package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
)

func TestPlaceOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes int32
		env   map[string]string
		want  collective.World
		fails string
	}{
		{name: "nothing is said: alone", nodes: 1, want: collective.World{Job: "a", Size: 1}},
		{name: "what the operator says", nodes: 2,
			env:  map[string]string{"HRM_JOB": "ns/a", "HRM_ATTEMPT": "3", "HRM_WORLD_SIZE": "2", "HRM_RANK": "1", "HRM_RENDEZVOUS": "a-3-0.a"},
			want: collective.World{Job: "ns/a", Attempt: 3, Size: 2, Rank: 1, Rendezvous: "a-3-0.a"}},
		{name: "a job of one in a cluster", nodes: 1, env: map[string]string{"HRM_WORLD_SIZE": "1", "HRM_RANK": "0"}, want: collective.World{Job: "a", Size: 1}},
		{name: "a job of several started by itself", nodes: 2, fails: "start each with HRM_WORLD_SIZE=2, HRM_RANK=0 to 1"},
		{name: "no rank", nodes: 2, env: map[string]string{"HRM_WORLD_SIZE": "2"}, fails: "HRM_RANK"},
		{name: "a rank too many", nodes: 2, env: map[string]string{"HRM_WORLD_SIZE": "2", "HRM_RANK": "2"}, fails: "want 0 to 1"},
		{name: "nobody to meet", nodes: 2, env: map[string]string{"HRM_WORLD_SIZE": "2", "HRM_RANK": "1"}, fails: "HRM_RENDEZVOUS is not set"},
		{name: "words", nodes: 2, env: map[string]string{"HRM_WORLD_SIZE": "two"}, fails: "want a number from 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.env["HRM_WORLD_SIZE"] == "2" && c.fails == "" && collective.Available() != nil {
				c.fails = "libgloo-dev"
			}
			job := builders.Job("a").Nodes(c.nodes).Obj()
			job.Default()
			got, err := placeOf(job, func(name string) string { return c.env[name] })
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || exitCode(err) != exitConfiguration {
					t.Errorf("got %v, want a configuration error with %q", err, c.fails)
				}
				return
			}
			c.want.Recipe = got.Recipe
			if err != nil || got != c.want || got.Recipe == "" {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestLabel_saysOnEveryLineWhoseItIs(t *testing.T) {
	env := map[string]string{"HRM_JOB": "ns/a", "HRM_ATTEMPT": "3", "HRM_RANK": "1"}
	var out bytes.Buffer
	label(slog.New(slog.NewTextHandler(&out, nil)), func(name string) string { return env[name] }).Info("hello")
	if want := "msg=hello job=ns/a attempt=3 rank=1"; !strings.Contains(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
