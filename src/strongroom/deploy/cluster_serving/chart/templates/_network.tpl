{{- define "queue.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "queue.metadata" (dict "root" .root "name" (printf "queue-%s" .component) "component" .component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "queue.selector" . | nindent 6 }}
  policyTypes:
    - Ingress
    - Egress
{{- end }}

{{- define "queue.pods" -}}
podSelector:
  matchLabels:
    {{- include "queue.selector" . | nindent 4 }}
{{- end }}

{{- define "queue.ports" -}}
ports:
  {{- range . }}
  - protocol: TCP
    port: {{ . }}
  {{- end }}
{{- end }}

{{/* Names, and the broker: what every part asks. */}}
{{- define "queue.asked" -}}
- to:
    - namespaceSelector: {}
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    - ipBlock:
        cidr: 169.254.20.10/32
  ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
{{- if .Values.attestation.broker }}
- to:
    - ipBlock:
        {{- /* A policy cannot name a host. */}}
        cidr: 0.0.0.0/0
  ports:
    - protocol: TCP
      port: {{ .Values.attestation.broker | splitList ":" | last }}
{{- else }}
- to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/instance: {{ .Values.attestation.brokerRelease | quote }}
          app.kubernetes.io/component: broker
  {{- include "queue.ports" (list 8080 4433) | nindent 2 }}
{{- end }}
{{- end }}
