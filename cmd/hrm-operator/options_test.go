package main

import (
	"flag"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestOptions_areChecked(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // a part of the error
	}{
		{nil, "set --trainer-image"},
		{[]string{"--trainer-image=a"}, ""},
		{[]string{"--trainer-image=a", "--poll-interval=0s"}, "--poll-interval"},
		{[]string{"--trainer-image=a", "--gang-scheduling=maybe"}, "must be auto or off"},
		{[]string{"--trainer-image=a", "--trainer-image-pull-policy=Sometimes"}, "must be Always"},
		{[]string{"--trainer-image=a", "--gpu-trainer-image=b", "--gpu-runtime-class=nvidia"}, ""},
		{[]string{"--trainer-image=a", "--gpu-runtime-class=NVIDIA"}, "--gpu-runtime-class"},
		{[]string{"--trainer-image=a", "--max-concurrent-reconciles=0"}, "--max-concurrent-reconciles"},
		{[]string{"--trainer-image=a", "--kube-api-qps=-1"}, "--kube-api-qps"},
	} {
		err := parseFlags(flag.NewFlagSet("hrm-operator", flag.ContinueOnError), c.args).validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestRequests_areLimitedOnlyIfWanted(t *testing.T) {
	var cluster rest.Config
	limitRequests(&cluster, options{})
	if cluster.QPS != 0 {
		t.Errorf("limited to %g", cluster.QPS)
	}
	limitRequests(&cluster, options{qps: 20})
	if cluster.QPS != 20 || cluster.Burst != 40 {
		t.Errorf("%g and %d, want 20 and 40", cluster.QPS, cluster.Burst)
	}
}
