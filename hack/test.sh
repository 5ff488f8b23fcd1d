#!/usr/bin/env bash
# Runs every test: with the cpu device if oneDNN is there, with several processes if Gloo is, against a real etcd, apiserver and S3 server.
set -euo pipefail
cd "$(dirname "$0")/.."

tags=$(hack/tags.sh)
bin=$(go run ./hack/cluster tools etcd kube-apiserver kubectl helm versitygw)
export KUBEBUILDER_ASSETS=$bin PATH=$bin:$PATH
# Several packages start an apiserver at once; the twenty seconds that it otherwise has are few on two cores that compile.
export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT=3m KUBEBUILDER_CONTROLPLANE_STOP_TIMEOUT=3m

# Arguments are passed on to go test; without packages among them all are tested.
case "$*" in *./*) ;; *) set -- "$@" ./... ;; esac
go test -tags "$tags" -timeout 20m "$@"
