{{/* A JVM of Flink's: its words go to the measured launcher over standard input, where there is an enclave. */}}
{{- define "queue.flinkContainer" -}}
- name: {{ .component }}
  image: {{ .root.Values.images.flink | quote }}
  imagePullPolicy: IfNotPresent
  command:
    {{- include "queue.words" . | nindent 4 }}
  env:
    - name: SGX_MEM_SIZE
      value: {{ .sizes.sgxMemSize | quote }}
    - name: SGX_MODE
      valueFrom:
        configMapKeyRef:
          name: flink-config
          key: sgx.mode
    - name: FLINK_JOB_MANAGER_IP
      valueFrom:
        configMapKeyRef:
          name: flink-config
          key: flink.jobmanager.ip
    {{- if eq .component "jobmanager" }}
    - name: JOBMANAGER_PROCESS_SIZE
      value: {{ .sizes.processSize | quote }}
    {{- end }}
    {{- if eq .component "taskmanager" }}
    - name: CORE_NUM
      value: {{ .sizes.coreNum | quote }}
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    {{- range $name, $key := dict "TASKMANAGER_MANAGED_SIZE" "taskmanager.memory.managed.size" "TASKMANAGER_TASK_HEAP_SIZE" "taskmanager.memory.task.heap.size" "XMX_SIZE" "xmx.size" "TASKMANAGER_RPC_PORT" "taskmanager.rpc.port" }}
    - name: {{ $name }}
      valueFrom:
        configMapKeyRef:
          name: flink-config
          key: {{ $key }}
    {{- end }}
    {{- end }}
  ports:
    {{- range $name, $port := .ports }}
    - name: {{ $name }}
      containerPort: {{ $port }}
      protocol: TCP
    {{- end }}
  {{- $open := dict "tcpSocket" (dict "port" .probed) }}
  {{- include "queue.probes" (dict "alive" $open "ready" $open "seconds" 600) | nindent 2 }}
  {{- include "queue.resources" . | nindent 2 }}
  volumeMounts:
    {{- include "queue.mounts" . | trim | nindent 4 }}
    - name: password
      mountPath: /password
      readOnly: true
    - name: flink
      mountPath: /local
    {{- if .works }}
    - name: models
      mountPath: /models
      readOnly: true
    {{- end }}
  {{- include "queue.restricted" . | nindent 2 }}
{{- end }}

{{- define "queue.flinkPod" -}}
{{- include "queue.pod" . | trim }}
terminationGracePeriodSeconds: 60
{{- if .works }}
initContainers:
  {{- include "queue.models" .root | nindent 2 }}
{{- end }}
containers:
  {{- include "queue.flinkContainer" . | nindent 2 }}
volumes:
  {{- include "queue.volumes" . | trim | nindent 2 }}
  - name: password
    secret:
      secretName: {{ .root.Values.secrets.password | quote }}
      defaultMode: 0400
  - name: flink
    emptyDir:
      sizeLimit: 8Gi
  {{- if .works }}
  - name: models
    emptyDir:
      sizeLimit: 8Gi
  {{- end }}
{{- end }}
