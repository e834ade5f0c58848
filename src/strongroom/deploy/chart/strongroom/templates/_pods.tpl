{{/* What the pods have in common: no rights, no token, nothing writable but memory. No value loosens any of it. */}}

{{- define "strongroom.pod" -}}
serviceAccountName: {{ include "strongroom.name" (dict "root" .root "part" .component) | quote }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "strongroom.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
{{- end }}

{{- define "strongroom.smallResources" -}}
resources:
  requests:
    cpu: 20m
    memory: 64Mi
  limits:
    cpu: 500m
    memory: 64Mi
{{- end }}

{{/* On which nodes a TEE's pods may stand, and in which runtime. */}}
{{- define "strongroom.placement" -}}
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

{{- define "strongroom.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "strongroom.selector" . | nindent 8 }}
{{- end }}

{{- define "strongroom.memoryVolume" -}}
name: {{ .name }}
emptyDir:
  medium: Memory
  sizeLimit: {{ .size }}
{{- end }}

{{- define "strongroom.port" -}}
name: {{ .name }}
containerPort: {{ .number }}
protocol: TCP
{{- end }}

{{- define "strongroom.servicePort" -}}
name: {{ .name }}
port: {{ .number }}
targetPort: {{ .name }}
protocol: TCP
{{- end }}

{{/* alive, ready: how to ask; seconds: how long it may take to come alive. */}}
{{- define "strongroom.probes" -}}
startupProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 2
  failureThreshold: {{ div .seconds 2 }}
livenessProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  {{- toYaml .ready | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
