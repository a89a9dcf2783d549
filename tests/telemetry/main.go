// Telemetry is the gateway between a service that OpenTelemetry's Go SDK traces and the sandbox, and exports to the
// OpenTelemetry Collector's own receiver: none of them shares a line with what exports.
//
//	telemetry BINARY README WORK [NAME=VALUE…]
//
// WORK is a directory for what arrives. Variables for the gateway, besides, show that what they take away is missed.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	gatewayName = "backups-of-the-test"
	team        = "storage, nights"
)

var empty = context.Background()

// The gateway once, with all that stands around it.
type run struct {
	report
	settings
	name        string
	calls       []*call
	collector   *collector
	upstream    *upstream
	gateway     *process
	address     string
	version     string
	promised    map[string]promised
	fromCaller  received
	fromGateway received
}

// How the gateway is told to export, and what follows.
type settings struct {
	protocol    string
	environment []string
	instance    string
	// Metrics that there is no reason for.
	absent []string
}

var withTLS = []string{"gateway_tls_certificate_expiry_timestamp_seconds", "gateway_tls_reload_failures_total", "gateway_tls_handshake_failures_total"}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "telemetry BINARY README WORK [NAME=VALUE…]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(empty, os.Interrupt, syscall.SIGTERM)
	wrong, err := all(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "telemetry:", err)
	}
	if err != nil || wrong > 0 {
		os.Exit(1)
	}
}

func all(ctx context.Context, binary, readme, work string, extra []string) (wrong int, err error) {
	promises, err := readPromises(readme)
	if err != nil {
		return 0, err
	}
	words, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return 0, err
	}
	version := regexp.MustCompile(`\d+\.\d+\.\d+\S*`).FindString(string(words))
	files := filepath.Join(work, "files")
	sandbox, err := start("sandbox", work, nil, binary, "sandbox", "--upstream-only", "--write-config", files)
	if err != nil {
		return 0, err
	}
	defer sandbox.end()
	oci, err := sandbox.said("OCI")
	if err != nil {
		return 0, err
	}
	control, err := sandbox.said("control")
	if err != nil {
		return 0, err
	}
	if _, err := sandbox.said("Serving"); err != nil {
		return 0, err
	}
	for _, one := range []struct {
		name    string
		of      settings
		expects func(*run)
	}{
		{"grpc", settings{protocol: "grpc", environment: []string{"OCI_CLI_AUTH=api_key"},
			absent: append([]string{"gateway_credential_expiry_timestamp_seconds"}, withTLS...)}, (*run).checkAll},
		{"http", settings{protocol: "http/protobuf", instance: "pod-1", environment: []string{
			"OCI_CLI_AUTH=security_token", "OCI_CLI_PROFILE=SECURITY_TOKEN", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
		}, absent: withTLS}, (*run).checkAll},
		{"disabled", settings{protocol: "grpc", environment: []string{"OCI_CLI_AUTH=api_key", "OTEL_SDK_DISABLED=true"}}, (*run).checkNothing},
	} {
		began := time.Now()
		r := &run{report: report{run: one.name}, settings: one.of, name: one.name, calls: calls(), version: version, promised: promises}
		r.environment = append(r.environment, extra...)
		if err := r.make(ctx, binary, work, files, oci, control); err != nil {
			return wrong, fmt.Errorf("%s: %w", one.name, err)
		}
		one.expects(r)
		r.checkSecrets(files)
		fmt.Printf("%s: %d things looked at, %d wrong, %.1f s\n", one.name, r.looked, r.wrong, time.Since(began).Seconds())
		wrong += r.wrong
	}
	return wrong, nil
}

func (r *run) make(ctx context.Context, binary, work, files, oci, control string) (err error) {
	// Another process may be quicker to take a port.
	for range 5 {
		if r.collector, err = startCollector(filepath.Join(work, r.name)); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	defer r.collector.stop()
	if r.upstream, err = startUpstream(oci); err != nil {
		return err
	}
	defer r.upstream.stop()
	endpoint := r.collector.grpc
	if r.protocol != "grpc" {
		endpoint = r.collector.http
	}
	attributes := "service.name=not-this,deployment.environment.name=test,team=storage%2C%20nights"
	if r.instance != "" {
		attributes += ",service.instance.id=" + r.instance
	}
	environment := append([]string{
		"OCI_CLI_CONFIG_FILE=" + filepath.Join(files, "config"),
		"OCI_CLI_ENDPOINT=" + r.upstream.url,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + endpoint,
		"OTEL_EXPORTER_OTLP_PROTOCOL=" + r.protocol,
		"OTEL_EXPORTER_OTLP_HEADERS=" + keyHeader + "=" + key,
		"OTEL_SERVICE_NAME=" + gatewayName,
		"OTEL_RESOURCE_ATTRIBUTES=" + attributes,
		"OTEL_BSP_SCHEDULE_DELAY=50",
		"OTEL_BLRP_SCHEDULE_DELAY=50",
		"OTEL_METRIC_EXPORT_INTERVAL=100",
	}, r.environment...)
	r.gateway, err = start("gateway-"+r.name, work, environment, binary,
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json")
	if err != nil {
		return err
	}
	defer r.gateway.end()
	r.address, err = r.gateway.until("line that says where it listens", func() string {
		for _, line := range r.gateway.log() {
			if line["message"] == "listening" {
				address, _ := line["address"].(string)
				return address
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	caller, err := newCaller(ctx, r.address, r.collector.grpc)
	if err != nil {
		return err
	}
	for _, call := range r.calls {
		if err := caller.make(ctx, r.name, control, call); err != nil {
			return err
		}
	}
	if err := caller.end(ctx); err != nil {
		return err
	}
	// What does not come in this time is missed below, one by one.
	for began := time.Now(); time.Since(began) < 5*time.Second && !r.hasCome(); time.Sleep(50 * time.Millisecond) {
	}
	if err := r.gateway.end(); err != nil {
		return fmt.Errorf("the gateway does not end well: %w", err)
	}
	if r.fromCaller, err = r.collector.from(theCaller); err != nil {
		return err
	}
	r.fromGateway, err = r.collector.from(theGateway)
	return err
}

// Whether the gateway has sent what these calls are worth, before its end does it.
func (r *run) hasCome() bool {
	if slices.Contains(r.environment, "OTEL_SDK_DISABLED=true") {
		return true
	}
	found, err := r.collector.from(theGateway)
	if err != nil {
		return true
	}
	servers, records, counted := 0, 0, uint64(0)
	for _, one := range found.spans {
		if one.Kind() == ptrace.SpanKindServer {
			servers++
		}
	}
	for _, one := range found.records {
		if one.Body().AsString() == "call" {
			records++
		}
	}
	if of, is := found.metrics["rpc.server.call.duration"]; is {
		all, _, _ := points(of.Metric)
		for _, point := range all {
			counted += point.count
		}
	}
	return servers == len(r.calls)-1 && records == len(r.calls) && counted == uint64(len(r.calls))
}

func (r *run) checkAll() {
	r.checkCalls()
	r.checkResource()
	r.checkMetrics()
	for _, signal := range []string{traces, metrics, logs} {
		r.same("the header of requests for "+signal, r.collector.keysOf(signal), []string{key})
	}
	for _, line := range r.gateway.log() {
		r.is(line["level"] != "WARN" && line["level"] != "ERROR", "the gateway complains: %v", line)
	}
}

// Nothing is sent, and yet a caller's trace goes on.
func (r *run) checkNothing() {
	r.is(len(r.fromCaller.spans) > 0, "the collector has nothing of the caller's either")
	for _, signal := range []string{traces, metrics, logs} {
		r.same("requests for "+signal+" to the collector", r.fromGateway.requests[signal], 0)
	}
	for _, call := range r.calls {
		sent := r.upstream.creates(call.token(r.name))
		r.same(call.name+": requests to OCI", len(sent), len(call.attempts))
		for _, headers := range sent {
			r.same(call.name+": the trace that OCI is sent", traceOf(headers).TraceID(), call.trace)
		}
	}
}

// What nobody but its owner is to see, wherever it might turn up.
func (r *run) checkSecrets(files string) {
	secrets := map[string]string{"the collector's key": key, "the caller's baggage": luggage}
	for _, file := range []string{"key.pem", "session/key.pem", "session/token"} {
		for number, line := range strings.Split(read(filepath.Join(files, file)), "\n") {
			if line = strings.TrimSpace(line); len(line) >= 32 && !strings.HasPrefix(line, "-----") {
				secrets[fmt.Sprintf("line %d of %s", number+1, file)] = line
			}
		}
	}
	r.is(len(secrets) > 20, "the sandbox has written no keys")
	signature := regexp.MustCompile(`signature="([^"]+)"`)
	for number, headers := range r.upstream.all() {
		found := signature.FindStringSubmatch(headers.Get("authorization"))
		if r.is(found != nil, "request %d to OCI is not signed", number+1) {
			secrets[fmt.Sprintf("the signature of request %d", number+1)] = found[1]
		}
		all, _ := json.Marshal(headers)
		r.is(!strings.Contains(string(all), luggage), "request %d to OCI has the caller's baggage", number+1)
	}
	for _, signal := range []string{traces, metrics, logs} {
		text := r.collector.text(signal)
		for what, secret := range secrets {
			r.is(!strings.Contains(text, secret), "%s at the collector have a secret, %s", signal, what)
		}
	}
	// Labels, and whatever else comes with a metric.
	text := r.collector.text(metrics)
	for what, word := range map[string]string{"an OCID": "ocid1.", "a retry token": "canary-"} {
		r.is(!strings.Contains(text, word), "metrics at the collector have %s", what)
	}
	for _, call := range r.calls {
		r.is(!strings.Contains(text, call.trace.String()), "metrics at the collector have the trace of %s", call.name)
	}
}

func random[Bytes [8]byte | [16]byte]() (bytes Bytes) {
	switch into := any(&bytes).(type) {
	case *[8]byte:
		rand.Read(into[:])
	case *[16]byte:
		rand.Read(into[:])
	}
	return bytes
}
