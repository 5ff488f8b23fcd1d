#!/usr/bin/env bash
# Checks formatting and vets the code, with and without the cpu device.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
  echo "not gofmt-clean: $unformatted" >&2
  exit 1
fi
CGO_ENABLED=0 go vet ./...
if [ -f /usr/include/dnnl.h ] && command -v gcc >/dev/null; then
  go vet -tags onednn ./...
fi
