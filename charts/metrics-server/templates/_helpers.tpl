{{- define "metrics-server.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of nearly every object: that of the release, with the chart's unless it is in it. */}}
{{- define "metrics-server.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "metrics-server.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* A Deployment's selector cannot be changed: these must stay as they are. */}}
{{- define "metrics-server.selectorLabels" -}}
app.kubernetes.io/name: {{ include "metrics-server.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "metrics-server.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "metrics-server.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "metrics-server.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "metrics-server.fullname" .) "default") -}}
{{- end -}}

{{/* The ServiceAccount whose tokens are sent to kubelets, "" if there is none or args have others for them. */}}
{{- define "metrics-server.kubeletServiceAccountName" -}}
{{- $name := .Values.kubeletServiceAccount.name -}}
{{- if and (not $name) .Values.rbac.create (ne (toString .Values.kubeletServiceAccount.create) "false") -}}
{{- $name = printf "%s-kubelet" (include "metrics-server.fullname" .) -}}
{{- end -}}
{{- range list "kubelet-service-account" "kubelet-client-certificate" "deprecated-kubelet-completely-insecure" -}}
{{- if include "metrics-server.hasFlag" (dict "context" $ "flag" .) -}}
{{- $name = "" -}}
{{- end -}}
{{- end -}}
{{- if and $name (eq $name (include "metrics-server.serviceAccountName" .)) -}}
{{- fail "kubeletServiceAccount.name must be another ServiceAccount than the server's own, which a compromised node could act as" -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* The subjects of every binding of the server's. */}}
{{- define "metrics-server.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "metrics-server.serviceAccountName" . }}
  namespace: {{ include "metrics-server.namespace" . }}
{{- end -}}

{{- define "metrics-server.image" -}}
{{- with .Values.image -}}
{{- .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}{{ with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The name of the flag of an argument, and nothing for a value that follows its flag. */}}
{{- define "metrics-server.flagName" -}}
{{- if hasPrefix "--" . -}}
{{- . | trimPrefix "--" | splitList "=" | first | replace "_" "-" -}}
{{- else if hasPrefix "-l" . -}}
node-selector
{{- else if hasPrefix "-" . -}}
{{- . | trimPrefix "-" | trunc 1 -}}
{{- end -}}
{{- end -}}

{{/* The arguments of defaultArgs and args, as JSON. A flag of args takes the place of the default. */}}
{{- define "metrics-server.args" -}}
{{- $given := list -}}
{{- $names := list -}}
{{- range .Values.args -}}
{{- $given = append $given (toString .) -}}
{{- $names = append $names (include "metrics-server.flagName" (toString .)) -}}
{{- end -}}
{{- $kept := list -}}
{{- $replaced := false -}}
{{- range .Values.defaultArgs -}}
{{- with include "metrics-server.flagName" (toString .) -}}
{{- $replaced = has . $names -}}
{{- end -}}
{{- if not $replaced -}}
{{- $kept = append $kept (toString .) -}}
{{- end -}}
{{- end -}}
{{- concat $kept $given | toJson -}}
{{- end -}}

{{/* "true" if .flag, a name without dashes, is among the arguments. */}}
{{- define "metrics-server.hasFlag" -}}
{{- range include "metrics-server.args" .context | fromJsonArray -}}
{{- if eq (include "metrics-server.flagName" .) $.flag }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* The port on which the server listens: that of --secure-port among the arguments, or containerPort. */}}
{{- define "metrics-server.port" -}}
{{- $port := toString .Values.containerPort -}}
{{- $follows := false -}}
{{- range include "metrics-server.args" . | fromJsonArray -}}
{{- if $follows -}}
{{- $port = . -}}
{{- end -}}
{{- $follows = has . (list "--secure-port" "--secure_port") -}}
{{- if and (eq (include "metrics-server.flagName" .) "secure-port") (contains "=" .) -}}
{{- $port = splitList "=" . | last -}}
{{- end -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{/* "true" if the server makes its certificate itself. */}}
{{- define "metrics-server.managesCertificate" -}}
{{- if and (eq .Values.tls.type "metrics-server") (not (include "metrics-server.hasFlag" (dict "context" . "flag" "tls-cert-file"))) }}true{{ end -}}
{{- end -}}

{{/* "true" if the certificate is mounted from a Secret. */}}
{{- define "metrics-server.mountsCertificate" -}}
{{- if ne .Values.tls.type "metrics-server" }}true{{ end -}}
{{- end -}}

{{/* The Secret with the certificate. */}}
{{- define "metrics-server.tlsSecretName" -}}
{{- if eq .Values.tls.type "metrics-server" -}}
{{- .Values.tls.metricsServer.secretName | default (printf "%s-tls" (include "metrics-server.fullname" .)) -}}
{{- else if eq .Values.tls.type "existingSecret" -}}
{{- required "tls.existingSecret.name must be set for tls.type=existingSecret: the name of a Secret with tls.crt and tls.key" .Values.tls.existingSecret.name -}}
{{- else -}}
{{- include "metrics-server.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap in which the server publishes the CA that verifies its certificate. */}}
{{- define "metrics-server.caConfigMapName" -}}
{{- include "metrics-server.fullname" . }}-ca
{{- end -}}

{{/* "true" if the server publishes it: of a certificate that args name, the chart knows nothing. */}}
{{- define "metrics-server.publishesCA" -}}
{{- if or (include "metrics-server.managesCertificate" .) (include "metrics-server.mountsCertificate" .) }}true{{ end -}}
{{- end -}}

{{/* The name by which the API server verifies the server. */}}
{{- define "metrics-server.serverName" -}}
{{- printf "%s.%s.svc" (include "metrics-server.fullname" .) (include "metrics-server.namespace" .) -}}
{{- end -}}

{{/* All names of the Service, as a JSON list. */}}
{{- define "metrics-server.dnsNames" -}}
{{- $name := include "metrics-server.serverName" . -}}
{{- list (trimSuffix ".svc" $name) $name (printf "%s.%s" $name .Values.tls.clusterDomain) | toJson -}}
{{- end -}}

{{/* The constraints of topology spread, as a JSON list. */}}
{{- define "metrics-server.topologySpread" -}}
{{- $constraints := .Values.topologySpreadConstraints | default list -}}
{{- if and (not $constraints) (not .Values.affinity) (gt (int .Values.replicas) 1) -}}
{{- /* Replicas of one revision only, and over nodes that take them only: two nodes suffice for a rollout without an unavailable replica. */ -}}
{{- $spread := dict "maxSkew" 1 "nodeTaintsPolicy" "Honor" "matchLabelKeys" (list "pod-template-hash") -}}
{{- $constraints = list
  (merge (dict "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "DoNotSchedule") $spread)
  (merge (dict "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway") $spread) -}}
{{- end -}}
{{- $selector := dict "matchLabels" (include "metrics-server.selectorLabels" . | fromYaml) -}}
{{- $all := list -}}
{{- range $constraints -}}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" $selector) .)) -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* The label job that the ServiceMonitor gives to metrics. */}}
{{- define "metrics-server.job" -}}
{{- .Values.prometheusRule.job | default .Release.Name -}}
{{- end -}}

{{/* Labels that are added to those of each alert. */}}
{{- define "metrics-server.alertLabels" -}}
{{- with .Values.prometheusRule.alertLabels }}
{{- toYaml . | nindent 8 }}
{{- end }}
{{- end -}}
