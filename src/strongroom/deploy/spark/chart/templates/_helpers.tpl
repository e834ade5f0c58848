{{/* What the objects have in common. Contexts are dicts: root is the chart's own, part the driver or the executor. */}}

{{- define "spark.labels" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: strongroom
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* Selectors use these two alone, so that each means exactly one part's pods. */}}
{{- define "spark.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "spark.metadata" -}}
name: {{ .root.Release.Name }}-{{ .name }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "spark.labels" . | nindent 2 }}
{{- end }}

{{/* What the part's container starts, by the TEE. */}}
{{- define "spark.words" -}}
{{- include (printf "spark.words.%s.%s" .part .root.Values.tee) .root | fromJsonArray | toYaml -}}
{{- end }}

{{/* Executors may have an image of their own, which has to prove itself like any other. */}}
{{- define "spark.image" -}}
{{- $own := "" -}}
{{- if eq .part "executor" }}{{ $own = .root.Values.executor.image }}{{ end -}}
{{ $own | default .root.Values.image }}
{{- end }}

{{/* What the cluster's side says to the driver, which takes these names and no others. */}}
{{- define "spark.cluster" -}}
{{- $name := .Release.Name -}}
{{- $own := .Values.executor -}}
spark.driver.host {{ $name }}-driver.{{ .Release.Namespace }}.svc
spark.executor.cores {{ $own.cores }}
spark.executor.instances {{ $own.instances }}
spark.executor.memoryOverhead {{ $own.memoryOverhead }}
spark.kubernetes.authenticate.executor.serviceAccountName {{ $name }}-executor
spark.kubernetes.container.image {{ include "spark.image" (dict "root" . "part" "executor") }}
spark.kubernetes.container.image.pullPolicy IfNotPresent
spark.kubernetes.executor.limit.cores {{ $own.cpuLimit }}
spark.kubernetes.executor.podNamePrefix {{ $name }}
spark.kubernetes.executor.podTemplateContainerName executor
spark.kubernetes.executor.podTemplateFile /settings/executor.yaml
spark.kubernetes.executor.request.cores {{ $own.cpu }}
spark.kubernetes.namespace {{ .Release.Namespace }}
{{- end }}
