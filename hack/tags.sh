#!/usr/bin/env bash
# Prints the build tags of what this machine has the libraries for: onednn is the cpu device, gloo several processes.
set -euo pipefail

tags=()
if [ -f /usr/include/dnnl.h ] && command -v gcc >/dev/null; then
  tags+=(onednn)
fi
if [ -f /usr/include/gloo/config.h ] && command -v g++ >/dev/null; then
  tags+=(gloo)
fi
(IFS=,; echo "${tags[*]-}")
