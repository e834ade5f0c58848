{{- define "queue.taskmanager" -}}
{{- /* Without a TEE the queue's workers run in it, handed over by the master. */}}
{{- $works := eq .Values.sgx.mode "nonsgx" }}
{{- $parts := ternary (list "taskmanager" "worker") (list "taskmanager") $works }}
{{- $context := dict "root" . "works" $works "name" "flink-taskmanager" "component" "taskmanager" "part" "taskmanager" "parts" $parts "sizes" .Values.taskmanager "image" .Values.images.flink "probed" "rpc" "ports" (dict "rpc" 6125) -}}
apiVersion: apps/v1
kind: {{ .Values.taskmanager.kind }}
metadata:
  {{- include "queue.metadata" $context | nindent 2 }}
spec:
  replicas: {{ .Values.taskmanager.replicas }}
  revisionHistoryLimit: 5
  {{- if eq .Values.taskmanager.kind "StatefulSet" }}
  serviceName: flink-taskmanager-headless-svc
  podManagementPolicy: Parallel
  {{- end }}
  selector:
    matchLabels:
      {{- include "queue.selector" $context | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "queue.labels" $context | nindent 8 }}
    spec:
      {{- include "queue.flinkPod" $context | nindent 6 }}
{{- end }}
