{{- /* Names and labels. */ -}}

{{- define "eddyline.fullname" -}}
{{- if contains "eddyline" .Release.Name -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-eddyline-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "eddyline.serviceAccountName" -}}
{{- default (include "eddyline.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* Cluster-wide names tell releases of several namespaces apart, except for the usual one. */ -}}
{{- define "eddyline.clusterName" -}}
{{- $name := include "eddyline.fullname" . -}}
{{- if eq .Release.Namespace "eddyline-system" -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" $name .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- define "eddyline.selectorLabels" -}}
app.kubernetes.io/name: eddyline-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "eddyline.labels" -}}
{{ include "eddyline.selectorLabels" . }}
app.kubernetes.io/part-of: eddyline
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The default checkpoint storage as JSON, or nothing. */ -}}
{{- define "eddyline.defaultStorage" -}}
{{- with .Values.defaultStorage -}}
{{- if .uri -}}
{{- $storage := dict "uri" .uri -}}
{{- if .endpoint }}{{ $_ := set $storage "endpoint" .endpoint }}{{ end -}}
{{- if .secretRef.name }}{{ $_ := set $storage "secretRef" (dict "name" .secretRef.name) }}{{ end -}}
{{- toJson $storage -}}
{{- end -}}
{{- end -}}
{{- end -}}
