{{/* What the pods have in common: no rights, no token, nothing writable but memory. No value loosens any of it. */}}

{{- define "queue.pod" -}}
serviceAccountName: {{ .root.Values.serviceAccount | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- if eq .root.Values.sgx.mode "sgx" }}
{{- with .root.Values.placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "queue.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
{{- end }}

{{- define "queue.smallResources" -}}
resources:
  requests:
    cpu: 20m
    memory: 64Mi
  limits:
    cpu: 500m
    memory: 64Mi
{{- end }}

{{/* sizes: the part's values. EPC and what else the device plugin hands out are asked for in SGX alone. */}}
{{- define "queue.resources" -}}
{{- $tee := dict -}}
{{- if eq .root.Values.sgx.mode "sgx" -}}
{{- $tee = merge (dict "sgx.intel.com/epc" .sizes.epc) .root.Values.teeResources -}}
{{- end -}}
resources:
  requests:
    cpu: {{ .sizes.cpu | quote }}
    memory: {{ .sizes.memory | quote }}
    {{- with $tee }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  limits:
    cpu: {{ .sizes.cpuLimit | default .sizes.cpu | quote }}
    memory: {{ .sizes.memory | quote }}
    {{- with $tee }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "queue.memory" -}}
name: {{ .name }}
emptyDir:
  medium: Memory
  sizeLimit: {{ .size }}
{{- end }}

{{/* The volumes of every attested part: its Secrets, memory for what is opened of them, the simulated platform. */}}
{{- define "queue.volumes" -}}
{{- range .parts }}
- name: keys-{{ . }}
  secret:
    secretName: {{ include "queue.secret" (dict "root" $.root "part" .) | quote }}
    defaultMode: 0400
{{- end }}
- {{- include "queue.memory" (dict "name" "opened" "size" "8Mi") | nindent 2 }}
- {{- include "queue.memory" (dict "name" "part" "size" "8Mi") | nindent 2 }}
- {{- include "queue.memory" (dict "name" "tmp" "size" "64Mi") | nindent 2 }}
- name: settings
  configMap:
    name: queue-settings
{{- if eq .root.Values.sgx.mode "simulated" }}
- {{- include "queue.memory" (dict "name" "work" "size" "16Mi") | nindent 2 }}
- name: simulated-world
  secret:
    secretName: {{ .root.Values.attestation.simulatedWorld | quote }}
    defaultMode: 0400
{{- end }}
{{- end }}

{{/* Sealed versions: useless to whoever has not got their key. Without any TEE they are plain. */}}
{{- define "queue.models" -}}
- name: models
  image: {{ .Values.images.models | quote }}
  imagePullPolicy: IfNotPresent
  command:
    {{- include "queue.words.models" . | fromJsonArray | toYaml | nindent 4 }}
  {{- include "queue.smallResources" . | nindent 2 }}
  volumeMounts:
    - name: models
      mountPath: /srv/models
  {{- include "queue.restricted" . | nindent 2 }}
{{- end }}

{{- define "queue.mounts" -}}
{{- $at := ternary "/keys" "/ssl-keys" (eq .root.Values.sgx.mode "sgx") }}
{{- range .parts }}
- name: keys-{{ . }}
  mountPath: {{ $at }}/{{ . }}
  readOnly: true
{{- end }}
- name: opened
  mountPath: /run/keys
- name: part
  mountPath: /run/part
- name: tmp
  mountPath: /tmp
- name: settings
  mountPath: /settings
  readOnly: true
{{- if eq .root.Values.sgx.mode "simulated" }}
- name: work
  mountPath: /work
{{- end }}
{{- end }}

{{/* The simulated platform's files have to belong to whoever uses them, and to nobody else. */}}
{{- define "queue.simulated" -}}
- name: simulated-platform
  image: {{ .image | quote }}
  imagePullPolicy: IfNotPresent
  command:
    {{- include "queue.words.world" .root | fromJsonArray | toYaml | nindent 4 }}
  {{- include "queue.smallResources" . | nindent 2 }}
  volumeMounts:
    - name: simulated-world
      mountPath: /simulated-world
      readOnly: true
    - name: work
      mountPath: /work
  {{- include "queue.restricted" . | nindent 2 }}
{{- end }}

{{/* alive, ready: how to ask; seconds: how long it may take to come alive. */}}
{{- define "queue.probes" -}}
startupProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: {{ div .seconds 2 }}
livenessProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  {{- toYaml .ready | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
