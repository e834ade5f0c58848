{{/* What the objects have in common. Contexts are dicts: root is the chart's own, component a part of the queue. */}}

{{- define "queue.labels" -}}
app.kubernetes.io/name: strongroom-queue
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: strongroom
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* Selectors use these two alone, so that each means exactly one workload's pods. */}}
{{- define "queue.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "queue.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "queue.labels" . | nindent 2 }}
{{- end }}

{{/* Whether the cluster is at least of a version: true, or nothing. */}}
{{- define "queue.since" -}}
{{- if semverCompare (printf ">=%s-0" .version) .root.Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{- define "queue.brokerAddress" -}}
{{- with .Values.attestation.broker -}}
{{ . }}
{{- else -}}
https://{{ .Values.attestation.brokerRelease }}-broker:8080
{{- end -}}
{{- end }}

{{/* The command of a part, by sgx.mode; what it says of the broker counts where nothing is measured. */}}
{{- define "queue.words" -}}
{{- $text := include (printf "queue.words.%s.%s" .part .root.Values.sgx.mode) .root -}}
{{- $text | fromJsonArray | toYaml -}}
{{- end }}

{{- define "queue.secret" -}}
{{ .root.Values.secrets.keys }}-{{ .part }}
{{- end }}
