#!/usr/bin/env bash
# Writes every generated file: deep copies, the CRD, the operator's RBAC, and the CRD's copy in the chart.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${HRM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hrm-operator}/generate
mkdir -p "$cache"
(cd hack/tools && go build -o "$cache/controller-gen" sigs.k8s.io/controller-tools/cmd/controller-gen)

"$cache/controller-gen" object paths=./api/...
"$cache/controller-gen" crd paths=./api/... output:crd:dir=config/crd/bases
"$cache/controller-gen" rbac:roleName=hrm-operator paths=./controllers/... output:rbac:dir=config/rbac

# The chart's copy stays when the release is uninstalled: deleting the CRD would delete every job.
{
  echo '{{- if .Values.crds.install }}'
  sed 's|^  annotations:$|  annotations:\n    helm.sh/resource-policy: keep|' config/crd/bases/hrm.dev_hrmtrainingjobs.yaml
  echo '{{- end }}'
} > charts/hrm-operator/templates/crd.yaml
