{{- define "spark.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "spark.metadata" (dict "root" .root "name" .part "part" .part) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "spark.selector" . | nindent 6 }}
  policyTypes:
    - Ingress
    - Egress
{{- end }}

{{- define "spark.pods" -}}
podSelector:
  matchLabels:
    {{- include "spark.selector" . | nindent 4 }}
{{- end }}

{{- define "spark.ports" -}}
ports:
  {{- range . }}
  - protocol: TCP
    port: {{ . }}
  {{- end }}
{{- end }}

{{/* Names, and the broker: what every pod asks. */}}
{{- define "spark.asked" -}}
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
{{- with .Values.attestation.broker }}
{{- $host := trimPrefix "https://" . | splitList ":" | first }}
- to:
    - ipBlock:
        {{- /* A policy cannot name a host. */}}
        cidr: {{ ternary (printf "%s/32" $host) "0.0.0.0/0" (regexMatch "^[0-9]+(\\.[0-9]+){3}$" $host) }}
  ports:
    - protocol: TCP
      port: {{ splitList ":" . | last }}
{{- else }}
- to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/instance: {{ .Values.attestation.brokerRelease | quote }}
          app.kubernetes.io/component: broker
  {{- include "spark.ports" (list 8080 4433) | nindent 2 }}
{{- end }}
{{- end }}
