#!/usr/bin/env bash
# Runs the cpu device's kernels under AddressSanitizer and UBSan, with every instruction set of this processor:
# hack/sanitize.sh [SEED [ROUNDS]] calls each so often with random sizes. Any finding ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(mktemp)
trap 'rm -f "$program"' EXIT
trainer/device/cpu/testdata/kernels/build.sh "$program" -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# The kernels allocate nothing that could leak, and looking for leaks needs rights that containers lack.
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 "$program" "${1:-1}" "${2:-44}"
