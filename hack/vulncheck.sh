#!/usr/bin/env bash
# Fails if the code calls something with a known vulnerability that hack/vulncheck-accepted.txt does not list. The database is
# made from a pinned Go module, so that no other server than the module proxy is asked; HRM_VULNDB=URL takes another one, such
# as the public https://vuln.go.dev, which knows what was found since.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${HRM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hrm-operator}
mkdir -p "$cache/supply"

# The standard library of the Go that go.mod names is checked.
here=$(go env GOVERSION)
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod)
export GOTOOLCHAIN
if [ "$here" != "$GOTOOLCHAIN" ] && [ "$(printf '%s\n' "$here" "$GOTOOLCHAIN" | sort -V | tail -1)" = "$GOTOOLCHAIN" ]; then
  echo "vulncheck: this machine builds with $here, but $GOTOOLCHAIN is checked: raise Go, or unset GOTOOLCHAIN, before you build a release" >&2
fi

(cd hack/tools/supply && go build -o "$cache/supply/vulncheck" ./vulncheck)

if [ -z "${HRM_VULNDB:-}" ]; then
  version=$(cd hack/tools/supply && go list -m -f '{{.Version}}' golang.org/x/vulndb)
  db=$cache/vulndb-$version
  if [ ! -d "$db" ]; then
    new=$(mktemp -d "$db.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    (cd hack/tools/supply && go run golang.org/x/vulndb/cmd/indexdb -out "$new" \
      -vulns "$(go mod download -json golang.org/x/vulndb | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/data/osv")
    mv -T "$new" "$db" || [ -d "$db" ]
  fi
  export HRM_VULNDB=file://$db
fi

# First that the check can fail: a module with a known vulnerability must not pass.
(cd hack/tools/supply && go test ./vulncheck)
"$cache/supply/vulncheck" -db "$HRM_VULNDB" -tags "$(hack/tags.sh)" -accepted hack/vulncheck-accepted.txt ./...
