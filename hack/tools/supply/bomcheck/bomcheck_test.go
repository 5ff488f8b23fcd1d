package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

const whole = `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"type":"application","name":"us","version":"v1.0.0"}},
"components":[{"type":"library","name":"std","version":"go1.26.0","purl":"pkg:golang/std"},
{"type":"library","name":"m","version":"v1.2.3","purl":"pkg:golang/m@v1.2.3"}]}`

func TestCheck(t *testing.T) {
	for _, test := range []struct{ name, old, replacement, want string }{
		{name: "whole"},
		{name: "not JSON", old: "{", replacement: "", want: "not the JSON"},
		{name: "another format", old: "CycloneDX", replacement: "SPDX", want: "no format"},
		{name: "of another module", old: `"name":"us"`, replacement: `"name":"them"`, want: `its subject is "them"`},
		{name: "subject without a version", old: `"version":"v1.0.0"`, replacement: `"version":""`, want: "want a version of us"},
		{name: "component without a version", old: `"version":"v1.2.3",`, replacement: "", want: `component "m" has version ""`},
		{name: "component without a package URL", old: `"purl":"pkg:golang/std"`, replacement: `"purl":""`, want: `component "std"`},
		{name: "another version", old: `"v1.2.3"`, replacement: `"v1.2.4"`, want: `m is listed in version "v1.2.4"`},
		{name: "module missing", old: `"name":"m"`, replacement: `"name":"n"`, want: `m is listed in version ""`},
		{name: "another Go", old: "go1.26.0", replacement: "go1.25.0", want: "the standard library is listed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Path: "us"}, Deps: []*debug.Module{{Path: "m", Version: "v1.2.3"}}}
			_, err := check(strings.NewReader(strings.Replace(whole, test.old, test.replacement, 1)), info)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
