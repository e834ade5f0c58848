{{/* What every object has in common. Contexts are dicts: root is the chart's own, component a part of Strongroom. */}}

{{- define "strongroom.name" -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$" .root.Release.Name) }}
{{- fail "the release's name begins the names of Services: at most 40 characters, a letter first" }}
{{- end -}}
{{ .root.Release.Name }}-{{ .part }}
{{- end }}

{{- define "strongroom.labels" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: strongroom
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* Selectors use these two alone, so that each means exactly its own pods. */}}
{{- define "strongroom.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "strongroom.metadata" -}}
name: {{ .name | default (include "strongroom.name" (dict "root" .root "part" .part)) | quote }}
{{- if ne .namespace "" }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "strongroom.labels" . | nindent 2 }}
{{- end }}

{{/* Whether the cluster is at least of a version: true, or nothing. */}}
{{- define "strongroom.since" -}}
{{- if semverCompare (printf ">=%s-0" .version) .root.Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{/* TensorFlow Serving's REST would be clear text, so it is off: no REST, no probes over HTTP. */}}
{{- define "strongroom.rest" -}}
{{- if eq .Values.engine "strongroom" }}true{{ end }}
{{- end }}

{{- define "strongroom.brokerHost" -}}
{{ .Values.broker | trimPrefix "https://" | splitList ":" | first }}
{{- end }}

{{- define "strongroom.brokerPort" -}}
{{ .Values.broker | trimPrefix "https://" | splitList ":" | last }}
{{- end }}

{{- define "strongroom.brokerIsAddress" -}}
{{- if regexMatch "^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$" (include "strongroom.brokerHost" .) }}true{{ end }}
{{- end }}
