{{/* The words of a replica's container. With SGX and the simulated platform its measured manifest says the rest. */}}

{{- define "strongroom.serverWords" -}}
{{- if eq .Values.tee "simulated" -}}
{{- include "strongroom.words.simulated" . -}}
{{- else if eq .Values.tee "sgx" -}}
{{- include (ternary "strongroom.words.sgxTensorflow" "strongroom.words.sgx" (eq .Values.engine "tensorflow-serving")) . -}}
{{- else -}}
{{- $broker := .Values.broker | default (printf "https://%s-broker:8080" .Release.Name) -}}
{{- $one := eq (len .Values.models) 1 -}}
{{- $text := include (ternary "strongroom.words.tdxOneModel" "strongroom.words.tdx" $one) . -}}
{{- $text | replace "@BROKER@" $broker | replace "@MODEL@" (first .Values.models | default "") -}}
{{- end -}}
{{- end }}
