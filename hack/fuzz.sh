#!/usr/bin/env bash
# Throws random bytes at every reader: hack/fuzz.sh [SECONDS] runs each fuzz target for so long, 5 if not said.
set -euo pipefail
cd "$(dirname "$0")/.."
tags=$(hack/tags.sh)

go list -tags "$tags" -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... | while read -r dir; do
  { grep -hoE "^func Fuzz[A-Za-z0-9_]+" "$dir"/*_test.go || true; } | cut -d" " -f2 | while read -r target; do
    go test -tags "$tags" -run '^$' -fuzz "^$target\$" -fuzztime "${1:-5}s" "$dir" </dev/null
  done || exit 1
done
