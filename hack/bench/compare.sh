#!/bin/sh
# Times the same training step with hrm and with the PyTorch peer, alternately, and prints both lines and their ratio.
#
#   hack/bench/compare.sh PEER.py [flags of both, such as --batch 8 --dtype bfloat16]
#
# HRM names the binary (bin/hrm), PYTHON the interpreter (python3), ROUNDS how often each is run (3); the best counts,
# because a machine that others use too is only ever slower than it could be.
set -eu

if [ $# -lt 1 ] || [ ! -f "$1" ]; then
    echo "usage: $0 PEER.py [flags]: PEER.py is the PyTorch peer, hrm_torch.py" >&2
    exit 64
fi
peer=$1
shift
hrm=${HRM:-bin/hrm}
python=${PYTHON:-python3}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

i=0
while [ $i -lt "${ROUNDS:-3}" ]; do
    "$hrm" bench "$@" | tee -a "$out/hrm"
    "$python" "$peer" "$@" | tee -a "$out/peer"
    i=$((i + 1))
done

rate() {
    sed 's/.*"samples_per_s": *\([0-9.]*\).*/\1/' "$1" | sort -g | tail -1
}
awk -v a="$(rate "$out/hrm")" -v b="$(rate "$out/peer")" 'BEGIN { printf "hrm %.2f samples/s, peer %.2f samples/s, ratio %.2f\n", a, b, a / b }'
