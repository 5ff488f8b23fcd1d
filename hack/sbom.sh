#!/usr/bin/env bash
# Writes bin/NAME.cdx.json, what bin/NAME is made of, as CycloneDX: hack/sbom.sh NAME TAGS. It fails if the list is not valid
# or does not name every module that the binary was built from, in that version.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 tags=$2 root=$PWD

cache=${HRM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hrm-operator}/supply
mkdir -p "$cache"
(cd hack/tools/supply && CGO_ENABLED=0 GOFLAGS= go build -o "$cache/" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod ./bomcheck)

# The generator takes the version from the repository, but cannot read one that is a linked worktree.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git clone -q --no-checkout . "$copy"
git ls-files -z -- '*.go' go.mod go.sum trainer api internal | xargs -0 cp --parents -t "$copy"
(cd "$copy" && GOFLAGS="$(go env GOFLAGS) -tags=$tags" "$cache/cyclonedx-gomod" app -json -std -main "cmd/$name" \
  -output "$root/bin/$name.cdx.json" .)

"$cache/bomcheck" "bin/$name.cdx.json" "bin/$name"
