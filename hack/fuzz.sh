#!/usr/bin/env bash
# Throws random bytes at every reader: hack/fuzz.sh [INPUTS] gives each fuzz target so many, 3000 if not said. The end is
# a count because one in seconds fails at times without an input to blame: https://go.dev/issue/75804.
set -euo pipefail
cd "$(dirname "$0")/.."
tags=$(hack/tags.sh)

go list -tags "$tags" -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... | while read -r dir; do
  { grep -hoE "^func Fuzz[A-Za-z0-9_]+" "$dir"/*_test.go || true; } | cut -d" " -f2 | while read -r target; do
    go test -tags "$tags" -run '^$' -fuzz "^$target\$" -fuzztime "${1:-3000}x" -fuzzminimizetime 100x "$dir" </dev/null
  done || exit 1
done
