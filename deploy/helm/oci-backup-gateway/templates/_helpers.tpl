{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride }}
{{- end }}

{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains (include "gateway.name" .) .Release.Name }}
{{- .Release.Name }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "gateway.name" .) }}
{{- end }}
{{- end }}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The pods of `helm test`. */}}
{{- define "gateway.testSelector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "gateway.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "gateway.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s%s" $image.repository (default .Chart.AppVersion $image.tag) (ternary "-sandbox" "" .Values.sandbox.enabled) }}
{{- end }}
{{- end }}

{{- define "gateway.workloadIdentity" -}}
{{- if and (eq .Values.oci.auth "oke_workload_identity") (not .Values.sandbox.enabled) }}true{{ end }}
{{- end }}

{{- define "gateway.apiKey" -}}
{{- if and (eq .Values.oci.auth "api_key") (not .Values.sandbox.enabled) }}true{{ end }}
{{- end }}

{{- define "gateway.certBundle" -}}
{{- if and (or .Values.oci.certBundle.secretName .Values.oci.certBundle.configMapName) (not .Values.sandbox.enabled) }}true{{ end }}
{{- end }}

{{- /* The chart's own variables, but for OTEL_RESOURCE_ATTRIBUTES. */}}
{{- define "gateway.env" -}}
{{- $v := .Values -}}
- name: GATEWAY_LISTEN
  value: {{ printf "%s:%v" $v.gateway.listenHost $v.ports.grpc | quote }}
- name: GATEWAY_ADMIN_LISTEN
  value: {{ printf "%s:%v" $v.gateway.listenHost $v.ports.admin | quote }}
# For probes: they speak no TLS, and callers must not take their connections.
- name: GATEWAY_HEALTH_LISTEN
  value: {{ printf "%s:%v" $v.gateway.listenHost $v.ports.health | quote }}
{{- if $v.tls.enabled }}
- name: GATEWAY_TLS_CERT
  value: /etc/oci-backup-gateway/tls/tls.crt
- name: GATEWAY_TLS_KEY
  value: /etc/oci-backup-gateway/tls/tls.key
{{- if $v.tls.clientCA.secretName }}
- name: GATEWAY_TLS_CLIENT_CA
  value: {{ printf "/etc/oci-backup-gateway/client-ca/%s" $v.tls.clientCA.key }}
{{- end }}
{{- else }}
- name: GATEWAY_PLAINTEXT
  value: "true"
{{- end }}
- name: GATEWAY_DRAIN_TIMEOUT
  value: {{ printf "%ds" (int64 $v.shutdown.drainSeconds) }}
- name: GATEWAY_LOG_FORMAT
  value: {{ $v.gateway.logFormat }}
- name: RUST_LOG
  value: {{ $v.gateway.logFilter | quote }}
{{- if not $v.gateway.reflection }}
- name: GATEWAY_NO_REFLECTION
  value: "true"
{{- end }}
{{- /* A values file's numbers are floats, and large ones would be written as 1e+06. */}}
{{- range $name, $value := dict "GATEWAY_MAX_IN_FLIGHT" $v.gateway.maxInFlight "GATEWAY_MAX_CONNECTIONS" $v.gateway.maxConnections }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | int64 | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := dict "GATEWAY_DEFAULT_DEADLINE" $v.gateway.defaultDeadline "GATEWAY_MAX_DEADLINE" $v.gateway.maxDeadline "GATEWAY_ATTEMPT_TIMEOUT" $v.gateway.attemptTimeout "GATEWAY_MAX_CONNECTION_AGE" $v.gateway.maxConnectionAge }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if not $v.sandbox.enabled }}
- name: OCI_CLI_AUTH
  value: {{ $v.oci.auth }}
{{- if include "gateway.apiKey" . }}
- name: OCI_CLI_CONFIG_FILE
  value: /etc/oci/config
- name: OCI_CLI_PROFILE
  value: {{ $v.oci.apiKey.profile | quote }}
{{- end }}
{{- if include "gateway.certBundle" . }}
- name: OCI_CLI_CERT_BUNDLE
  value: {{ printf "/etc/oci-backup-gateway/roots/%s" $v.oci.certBundle.key }}
{{- end }}
{{- range $name, $value := dict "OCI_CLI_REGION" $v.oci.region "OCI_CLI_ENDPOINT" $v.oci.endpoint "GATEWAY_PROXY" $v.gateway.proxy }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $field := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "NODE_NAME" "spec.nodeName" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $field }}
{{- end }}
{{- end }}

{{- /* Which replica speaks, and whatever extraEnv says besides; that is last and beats the chart's. */}}
{{- define "gateway.resourceAttributes" -}}
{{- $attributes := list "k8s.pod.name=$(POD_NAME)" "k8s.namespace.name=$(POD_NAMESPACE)" "k8s.node.name=$(NODE_NAME)" }}
{{- range .Values.extraEnv }}
{{- if and (eq .name "OTEL_RESOURCE_ATTRIBUTES") .value }}
{{- $attributes = append $attributes .value }}
{{- end }}
{{- end }}
{{- join "," $attributes }}
{{- end }}

{{- /* Where OCI is reached, as a list in JSON: by 443, and where endpoint and proxy listen. */}}
{{- define "gateway.ociPorts" -}}
{{- $ports := list 443 }}
{{- range list .Values.oci.endpoint .Values.gateway.proxy }}
{{- if . }}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $ports = append $ports (default (ternary "443" "80" (eq $url.scheme "https")) $port | int) }}
{{- end }}
{{- end }}
{{- if include "gateway.workloadIdentity" . }}
{{- $ports = append $ports 12250 }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{- define "gateway.tlsSecret" -}}
{{- if .Values.tls.certificate.enabled }}
{{- default (printf "%s-tls" (include "gateway.fullname" .)) .Values.tls.secretName }}
{{- else }}
{{- .Values.tls.secretName }}
{{- end }}
{{- end }}

{{- define "gateway.appProtocol" -}}
{{- default (ternary "https" "kubernetes.io/h2c" .Values.tls.enabled) .Values.service.appProtocol }}
{{- end }}

{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- define "gateway.podSecurity" -}}
fsGroup: 65532
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* Of a duration in hours, minutes or seconds, its seconds. */}}
{{- define "gateway.seconds" -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]$" .)) }}
{{- end }}

{{- /* What the schema cannot say. */}}
{{- define "gateway.check" -}}
{{- $v := .Values }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "gateway.fullname" .)) }}
{{- fail (printf "%s cannot be a Service's name: set fullnameOverride to letters, digits and -" (include "gateway.fullname" .)) }}
{{- end }}
{{- /* `-headless` has to fit; and of two names that are cut, both may come to be the same. */}}
{{- if gt (len (include "gateway.fullname" .)) 52 }}
{{- fail (printf "%s is longer than 52 characters: set fullnameOverride" (include "gateway.fullname" .)) }}
{{- end }}
{{- if ne 3 (list (int $v.ports.grpc) (int $v.ports.health) (int $v.ports.admin) | uniq | len) }}
{{- fail "ports.grpc, ports.health and ports.admin have to differ" }}
{{- end }}
{{- if and $v.sandbox.enabled $v.image.digest }}
{{- fail "image.digest is the digest of one image, and the sandbox is in another: with sandbox.enabled leave it empty" }}
{{- end }}
{{- if and $v.sandbox.enabled $v.tls.enabled }}
{{- fail "tls.enabled and sandbox.enabled: the sandbox's gateway speaks plaintext only" }}
{{- end }}
{{- if and $v.tls.secretName (not $v.tls.enabled) }}
{{- fail "tls.secretName needs tls.enabled" }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- if not $v.sandbox.enabled }}
{{- if and $v.autoscaling.enabled (not (or (dig "requests" "cpu" "" (default dict $v.resources)) (dig "limits" "cpu" "" (default dict $v.resources)))) }}
{{- fail "resources.requests.cpu is missing: autoscaling.targetCPUUtilizationPercentage is a share of it" }}
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.ociCIDRs) }}
{{- fail "networkPolicy.ociCIDRs is missing: a rule without peers would let the pods out to everything" }}
{{- end }}
{{- if contains "@" $v.gateway.proxy }}
{{- fail "gateway.proxy has a name or a password, which anybody could read in the Deployment: give GATEWAY_PROXY by a Secret in extraEnvFrom, and its port in networkPolicy.extraEgress" }}
{{- end }}
{{- if and (eq $v.oci.auth "oke_workload_identity") (not $v.oci.region) (not $v.oci.endpoint) }}
{{- fail "oci.region is missing: oke_workload_identity does not tell it. (Without an OCI account: --set sandbox.enabled=true)" }}
{{- end }}
{{- if and (eq $v.oci.auth "api_key") (not $v.oci.apiKey.secretName) }}
{{- fail "oci.apiKey.secretName is missing: api_key needs a Secret with an OCI configuration file and a key" }}
{{- end }}
{{- end }}
{{- $taken := dict }}
{{- range include "gateway.env" . | fromYamlArray }}
{{- $_ := set $taken .name "the chart sets it itself" }}
{{- end }}
{{- range $v.extraEnv }}
{{- if hasKey $taken .name }}
{{- fail (printf "extraEnv: %s: %s" .name (get $taken .name)) }}
{{- end }}
{{- $_ := set $taken .name "it is there twice" }}
{{- if and (eq .name "OTEL_RESOURCE_ATTRIBUTES") (not .value) }}
{{- fail "extraEnv: OTEL_RESOURCE_ATTRIBUTES needs a value, which is added to the chart's own" }}
{{- end }}
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.otlp) (not $v.networkPolicy.extraEgress) }}
{{- range $v.extraEnv }}
{{- if and (regexMatch "^OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?ENDPOINT$" .name) (or .value .valueFrom) }}
{{- /* What goes where OCI is, by 443, is let out; what stays in the pod is nobody's to let. */}}
{{- if regexMatch "^https?://(localhost|127[.][0-9.]+|\\[::1\\])([:/]|$)" (default "" .value) }}
{{- else if or $v.sandbox.enabled (not (regexMatch "^https://([^][/?#:]+|\\[[^][/?#]+\\])(:443)?([/?#]|$)" (default "" .value))) }}
{{- fail (printf "networkPolicy.otlp is missing: extraEnv has %s, and nothing is let out to it; name its peers there, or in networkPolicy.extraEgress for a port other than 4317 and 4318" .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.oci.certBundle.secretName $v.oci.certBundle.configMapName }}
{{- fail "oci.certBundle has a secretName and a configMapName: one is enough" }}
{{- end }}
{{- if $v.tls.enabled }}
{{- if not (include "gateway.tlsSecret" .) }}
{{- fail "tls.secretName is missing: tls.enabled needs it, or tls.certificate.enabled" }}
{{- end }}
{{- if and $v.tls.certificate.enabled (not $v.tls.certificate.issuerRef.name) }}
{{- fail "tls.certificate.issuerRef.name is missing" }}
{{- end }}
{{- if and $v.tls.certificate.enabled (le (include "gateway.seconds" $v.tls.certificate.duration | int64) (include "gateway.seconds" $v.tls.certificate.renewBefore | int64)) }}
{{- fail (printf "tls.certificate.duration, %s, has to be longer than tls.certificate.renewBefore, %s" $v.tls.certificate.duration $v.tls.certificate.renewBefore) }}
{{- end }}
{{- if eq (int $v.service.port) (int $v.ports.health) }}
{{- fail "service.port and ports.health have to differ with tls.enabled: the Service has both" }}
{{- end }}
{{- else if or $v.tls.clientCA.secretName $v.tls.certificate.enabled }}
{{- fail "tls.clientCA and tls.certificate need tls.enabled" }}
{{- end }}
{{- if and $v.podMonitor.enabled $v.serviceMonitor.enabled }}
{{- fail "podMonitor and serviceMonitor are enabled: every pod would be scraped twice" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled (not $v.service.headless.enabled) }}
{{- fail "serviceMonitor needs service.headless.enabled; podMonitor does not" }}
{{- end }}
{{- if and $v.grpcRoute.enabled (not $v.grpcRoute.parentRefs) }}
{{- fail "grpcRoute.parentRefs is missing" }}
{{- end }}
{{- end }}
