{{- define "chaosplane.labels" -}}
app.kubernetes.io/name: chaosplane
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* What selects the pods of one program: dict "root" $ "component" "operator" */}}
{{- define "chaosplane.selector" -}}
app.kubernetes.io/name: chaosplane
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "chaosplane.podLabels" -}}
{{ include "chaosplane.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "chaosplane.image" -}}
{{- if kindIs "string" .Values.image -}}
{{ required "image must not be empty: give a reference or image.repository and image.tag" .Values.image }}
{{- else -}}
{{ required "image.repository must not be empty" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "chaosplane.pullPolicy" -}}
{{- if kindIs "string" .Values.image -}}{{ .Values.imagePullPolicy }}{{- else -}}{{ .Values.image.pullPolicy }}{{- end -}}
{{- end }}

{{- /* Names with commas between them, for the programs that make pods. */}}
{{- define "chaosplane.pullSecretNames" -}}
{{- $names := list -}}
{{- range .Values.imagePullSecrets }}{{ $names = append $names .name }}{{ end -}}
{{ join "," $names }}
{{- end }}

{{- define "chaosplane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "chaosplane.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "chaosplane.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The downward fields that every program reads. */}}
{{- define "chaosplane.podEnv" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
# one pool for all threads of a process: what one has freed is there for the others
- name: MALLOC_ARENA_MAX
  value: "1"
{{- end }}

{{- define "chaosplane.serverUrl" -}}
http://chaosplane-server.{{ .Release.Namespace }}:8080
{{- end }}

{{- define "chaosplane.infraEndpoint" -}}
{{- if .Values.harness.infraServiceEndpoint -}}{{ .Values.harness.infraServiceEndpoint }}
{{- else if .Values.server.enabled -}}{{ include "chaosplane.serverUrl" . }}/chaos/kserver/api
{{- end -}}
{{- end }}

{{- define "chaosplane.logEndpoint" -}}
{{- if .Values.harness.logService.endpoint -}}{{ .Values.harness.logService.endpoint }}
{{- else if .Values.server.enabled -}}{{ include "chaosplane.serverUrl" . }}/log-service
{{- end -}}
{{- end }}

{{- /* A secret value: as given, else as stored by an earlier install, else made now.
       dict "given" "" "key" "ACCESS_KEY" "stored" (data of the Secret in the cluster) */}}
{{- define "chaosplane.secretValue" -}}
{{- if .given -}}{{ .given }}
{{- else if index .stored .key -}}{{ index .stored .key | b64dec }}
{{- else -}}{{ randAlphaNum 32 }}
{{- end -}}
{{- end }}
