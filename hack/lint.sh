#!/usr/bin/env bash
# Vets and lints the code, with and without the cpu device and Gloo, the API also by the Kubernetes conventions.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${HRM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hrm-operator}/lint
mkdir -p "$cache"
(cd hack/tools/lint && go build -o "$cache/golangci-lint" sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter)

CGO_ENABLED=0 go vet ./...
"$cache/golangci-lint" run --build-tags "$(hack/tags.sh)" ./...
