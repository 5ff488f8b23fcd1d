#!/usr/bin/env bash
# Redraws docs/images/dashboard.png from a few minutes of real training. Wants Debian's prometheus and chromium.
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in prometheus chromium; do
  command -v "$program" >/dev/null || { echo "$program is missing: apt-get install --no-install-recommends prometheus chromium fonts-dejavu-core" >&2; exit 1; }
done
if [ "${1:-}" = draw ]; then
  (cd hack/dashboard && go run . draw --prometheus "$PROMETHEUS_URL" --window "$2" --out "$3/dashboard.html")
  mkdir -p docs/images
  size=$(grep -oE '<svg width="[0-9]+" height="[0-9]+"' "$3/dashboard.html" | grep -oE '[0-9]+' | paste -sd,)
  chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size="$size" \
    --screenshot="$PWD/docs/images/dashboard.png" "$3/dashboard.html" 2>"$3/chromium.log" || { cat "$3/chromium.log" >&2; exit 1; }
  exit
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
minutes=${MINUTES:-6}
CGO_ENABLED=0 go build -o "$dir/hrm-operator" ./cmd/hrm-operator
go build -tags "$(hack/tags.sh)" -o "$dir/hrm" ./cmd/hrm
go run ./hack/record --operator "$dir/hrm-operator" --hrm "$dir/hrm" --duration "${minutes}m" -- "$0" draw "${minutes}m" "$dir"
