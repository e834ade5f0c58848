{{/* The pods: no rights but the driver's, nothing writable but memory and the data. No value loosens any of it. */}}

{{- define "spark.pod" -}}
{{- $tee := .root.Values.tee -}}
serviceAccountName: {{ .root.Release.Name }}-{{ .part }}
automountServiceAccountToken: {{ and (eq .part "driver") (ne $tee "sgx") }}
{{ include "spark.place" .root }}
{{- if eq .part "executor" }}
serviceAccount: {{ .root.Release.Name }}-executor
{{- end }}
restartPolicy: Never
{{- if eq .part "driver" }}
terminationGracePeriodSeconds: 60
{{- end }}
{{- if eq $tee "simulated" }}
initContainers:
  {{- include "spark.simulated" . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .part }}
    image: {{ include "spark.image" . | quote }}
    imagePullPolicy: IfNotPresent
    command:
      {{- include "spark.words" . | nindent 6 }}
    {{- if and (eq .part "driver") (ne $tee "sgx") }}
    ports:
      - name: driver
        containerPort: 7078
        protocol: TCP
      - name: blocks
        containerPort: 7079
        protocol: TCP
    {{- end }}
    {{- if eq .part "driver" }}
    {{- include "spark.resources" .root | nindent 4 }}
    {{- end }}
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      {{- include "spark.mounts" . | trim | nindent 6 }}
    {{- include "spark.restricted" . | nindent 4 }}
volumes:
  {{- include "spark.volumes" . | trim | nindent 2 }}
{{- end }}

{{/* Who a pod is, and where it may stand. */}}
{{- define "spark.place" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- if ne .Values.tee "simulated" }}
{{- with .Values.placement.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "spark.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
{{- end }}

{{/* Of the driver: Spark says an executor's. */}}
{{- define "spark.resources" -}}
{{- $devices := ternary .Values.teeResources dict (eq .Values.tee "sgx") -}}
resources:
  requests:
    cpu: {{ .Values.driver.cpu | quote }}
    memory: {{ .Values.driver.memory | quote }}
    {{- with $devices }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  limits:
    cpu: {{ .Values.driver.cpuLimit | quote }}
    memory: {{ .Values.driver.memory | quote }}
    {{- with $devices }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "spark.memory" -}}
name: {{ .name }}
emptyDir:
  medium: Memory
  sizeLimit: {{ .size }}
{{- end }}

{{- define "spark.mounts" -}}
{{- $tee := .root.Values.tee -}}
- name: spark-local-dir-1
  mountPath: /dev/shm
- name: tmp
  mountPath: /tmp
{{- if eq $tee "sgx" }}
- name: sealed
  mountPath: /local
{{- else if eq .part "driver" }}
- name: settings
  mountPath: /settings
  readOnly: true
{{- end }}
{{- if or (eq $tee "simulated") (eq .part "executor") }}
- name: work
  mountPath: /work
{{- end }}
{{- if .root.Values.pvc }}
- name: data
  mountPath: /data
{{- end }}
{{- end }}

{{- define "spark.volumes" -}}
{{- $tee := .root.Values.tee -}}
{{- $own := get .root.Values .part -}}
- {{- include "spark.memory" (dict "name" "spark-local-dir-1" "size" $own.localDirs) | nindent 2 }}
- {{- include "spark.memory" (dict "name" "tmp" "size" "64Mi") | nindent 2 }}
{{- if eq $tee "sgx" }}
- name: sealed
  emptyDir:
    sizeLimit: {{ $own.localDirs }}
{{- else if eq .part "driver" }}
- name: settings
  configMap:
    name: {{ .root.Release.Name }}-settings
{{- end }}
{{- if or (eq $tee "simulated") (eq .part "executor") }}
- {{- include "spark.memory" (dict "name" "work" "size" "16Mi") | nindent 2 }}
{{- end }}
{{- if eq $tee "simulated" }}
- name: simulated-world
  secret:
    secretName: {{ .root.Values.attestation.simulatedWorld | quote }}
    defaultMode: 0400
{{- end }}
{{- with .root.Values.pvc }}
- name: data
  persistentVolumeClaim:
    claimName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The simulated platform's files have to belong to whoever uses them, and to nobody else. */}}
{{- define "spark.simulated" -}}
- name: simulated-platform
  image: {{ include "spark.image" . | quote }}
  imagePullPolicy: IfNotPresent
  command:
    {{- include "spark.words.world" .root | fromJsonArray | toYaml | nindent 4 }}
  resources:
    requests:
      cpu: 20m
      memory: 64Mi
    limits:
      cpu: 500m
      memory: 64Mi
  volumeMounts:
    - name: simulated-world
      mountPath: /simulated-world
      readOnly: true
    - name: work
      mountPath: /work
  {{- include "spark.restricted" . | nindent 2 }}
{{- end }}
