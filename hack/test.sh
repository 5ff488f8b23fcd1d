#!/usr/bin/env bash
# Runs every test: with the cpu device if oneDNN is there, against a real etcd, apiserver and S3 server.
set -euo pipefail
cd "$(dirname "$0")/.."

tags=()
if [ -f /usr/include/dnnl.h ] && command -v gcc >/dev/null; then
  tags=(-tags onednn)
fi
bin=$(go run ./hack/cluster tools etcd kube-apiserver kubectl helm versitygw)
export KUBEBUILDER_ASSETS=$bin PATH=$bin:$PATH

# Arguments are passed on to go test; without packages among them all are tested.
case "$*" in *./*) ;; *) set -- "$@" ./... ;; esac
go test "${tags[@]}" -timeout 20m "$@"
