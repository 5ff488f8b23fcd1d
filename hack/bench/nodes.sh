#!/usr/bin/env bash
# Measures how training scales with the number of processes on this machine, each with one thread:
#
#   hack/bench/nodes.sh [--set FIELD=VALUE]...     more settings of the quickstart's job
#
# HRM names the binary (bin/hrm), SIZES the numbers of processes ("1 2"), STEPS how many steps each trains (150), ROUNDS how
# often each is run (3), alternately; the best counts, because a machine that others use too is only ever slower than it
# could be.
set -euo pipefail
cd "$(dirname "$0")/../.."

hrm=${HRM:-bin/hrm}
dir=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT

# run SIZE ROUND FLAGS...: prints the examples per second at the end of a run.
run() {
  local size=$1 run=$1-$2 rank
  shift 2
  pids=()
  for ((rank = 0; rank < size; rank++)); do
    HRM_WORLD_SIZE=$size HRM_RANK=$rank HRM_RENDEZVOUS=127.0.0.1 "$hrm" train -f config/samples/sudoku-quickstart.yaml \
      --store "$dir/$run" --scratch "$dir/scratch-$rank" --threads 1 --rendezvous-listen 127.0.0.1:29400 \
      --set dataset.subsample=500 --set dataset.augmentations=0 --set "training.steps=${STEPS:-150}" --set evaluation.maxExamples=1 "$@" \
      >"$dir/log-$run-$rank" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    wait "$pid" || { tail -n 5 "$dir"/log-"$run"-* >&2; return 1; }
  done
  pids=()
  grep -o '"samplesPerSecond":[0-9.]*' "$dir/$run/metrics.jsonl" | tail -n 1 | cut -d: -f2
}

declare -A best
for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
  for size in ${SIZES:-1 2}; do
    rate=$(run "$size" "$round" "$@")
    best[$size]=$(printf '%s\n' "$rate" "${best[$size]:-0}" | sort -g | tail -n 1)
  done
done
for size in ${SIZES:-1 2}; do
  printf '%d processes: %.1f examples/s\n' "$size" "${best[$size]}"
done
