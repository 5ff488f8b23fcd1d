{{- define "hrm-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "hrm-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "hrm-operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "hrm-operator.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hrm-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hrm-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "hrm-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "hrm-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What belongs to helm test, which the selectors of the operator must not match. */}}
{{- define "hrm-operator.testLabels" -}}
{{- include "hrm-operator.labels" . | replace "component: operator" "component: test" -}}
{{- end -}}

{{- define "hrm-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hrm-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image reference: takes (list image defaultTag). */}}
{{- define "hrm-operator.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The image of training pods that ask for GPUs: what is not set is trainerImage's, with -cuda after its repository. */}}
{{- define "hrm-operator.gpuImage" -}}
{{- $image := .Values.gpu.image -}}
{{- $repository := $image.repository | default (printf "%s-cuda" .Values.trainerImage.repository) -}}
{{- include "hrm-operator.image" (list (dict "repository" $repository "tag" $image.tag "digest" $image.digest) (.Values.trainerImage.tag | default .Chart.AppVersion)) -}}
{{- end -}}

{{/* Where helm test runs its job. */}}
{{- define "hrm-operator.testNamespace" -}}
{{- .Values.test.namespace | default (first .Values.watchNamespaces) | default .Release.Namespace -}}
{{- end -}}

{{/* What the operator may do where jobs are: config/rbac/role.yaml, generated from the controller's markers. A test compares. */}}
{{- define "hrm-operator.rules" -}}
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [create, get, list, patch, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [delete, get, list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [hrm.dev]
  resources: [hrmtrainingjobs]
  verbs: [delete, get, list, watch]
- apiGroups: [hrm.dev]
  resources: [hrmtrainingjobs/finalizers, hrmtrainingjobs/status]
  verbs: [update]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get, list, patch, watch]
- apiGroups: [scheduling.k8s.io]
  resources: [workloads]
  verbs: [create]
{{- end -}}

{{/* The operator's own account, as the subject of a binding. */}}
{{- define "hrm-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "hrm-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
