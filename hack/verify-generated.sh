#!/usr/bin/env bash
# Fails if a generated file is not what its source would give.
set -euo pipefail
cd "$(dirname "$0")/.."

before=$(git status --porcelain; git diff)
hack/generate.sh
if [ "$before" != "$(git status --porcelain; git diff)" ]; then
  git --no-pager diff --stat
  echo "generated files are not current: run make generate and commit the result" >&2
  exit 1
fi
