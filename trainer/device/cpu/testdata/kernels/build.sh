#!/usr/bin/env bash
# Compiles the check of the kernels, a program without Go: build.sh OUT [FLAG...]. CC names the compiler, gcc if unset.
set -euo pipefail
out=$(realpath "$1")
shift
cc=${CC:-gcc}
here=$(cd "$(dirname "$0")" && pwd)
device=$(dirname "$(dirname "$here")")

sources=("$here"/*.c "$device"/{isa_portable,select,loss,choose,recall}.c)
case $("$cc" -dumpmachine) in x86_64*) sources+=("$device"/isa_avx*.c) ;; esac

objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
cd "$objects"
printf '%s\n' "${sources[@]}" | xargs -n 1 -P "$(nproc)" "$cc" -std=gnu11 -Wall -Wno-psabi "$@" -c
"$cc" "$@" -o "$out" ./*.o -lm
