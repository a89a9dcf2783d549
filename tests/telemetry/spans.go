package main

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.42.0"
	"go.opentelemetry.io/otel/trace"
)

// Names are those of the conventions' own package, and not the gateway's.
var (
	rpcSystem   = string(semconv.RPCSystemNameKey)
	rpcMethod   = string(semconv.RPCMethodKey)
	rpcCode     = string(semconv.RPCResponseStatusCodeKey)
	errorType   = string(semconv.ErrorTypeKey)
	httpMethod  = string(semconv.HTTPRequestMethodKey)
	httpStatus  = string(semconv.HTTPResponseStatusCodeKey)
	httpResend  = string(semconv.HTTPRequestResendCountKey)
	urlFull     = string(semconv.URLFullKey)
	serverName  = string(semconv.ServerAddressKey)
	serverPort  = string(semconv.ServerPortKey)
	peerAddress = string(semconv.NetworkPeerAddressKey)
	peerPort    = string(semconv.NetworkPeerPortKey)
)

const (
	requestID   = "gateway.opc_request_id"
	operation   = "gateway.operation"
	signing     = "gateway.signing.duration"
	signingWait = "gateway.signing.wait.duration"
)

// Caller → gateway → upstream is one trace, and the log tells of the same.
func (r *run) checkCalls() {
	spans := map[trace.TraceID][]span{}
	for _, one := range r.fromGateway.spans {
		id := trace.TraceID(one.TraceID())
		spans[id] = append(spans[id], one)
	}
	for _, call := range r.calls {
		r.checkCall(call, spans[call.trace])
		delete(spans, call.trace)
	}
	r.is(len(spans) == 0, "no span of the gateway's is in a trace that no caller began: %d traces are", len(spans))
	for _, headers := range r.upstream.reads() {
		r.same("a request that is of no call: its traceparent", headers.Values("traceparent"), []string(nil))
	}
}

func (r *run) checkCall(call *call, spans []span) {
	records := r.recordsOf(call)
	if !r.same(call.name+": records of the log in its trace", len(records), 1) {
		records = nil
	}
	sent := r.upstream.creates(call.token(r.name))
	r.same(call.name+": requests to OCI", len(sent), len(call.attempts))
	if call.unsampled {
		r.same(call.name+": spans of the gateway's", len(spans), 0)
		for _, headers := range sent {
			carried := traceOf(headers)
			r.same(call.name+": the trace that OCI is sent", carried.TraceID(), call.trace)
			r.is(!carried.IsSampled(), "%s: OCI is told that it is recorded", call.name)
		}
		return
	}
	servers, attempts := kinds(spans)
	clients := slices.DeleteFunc(slices.Clone(r.fromCaller.spans), func(one span) bool {
		return trace.TraceID(one.TraceID()) != call.trace || one.Kind() != ptrace.SpanKindClient
	})
	if !r.same(call.name+": spans of the caller's, kind CLIENT", len(clients), 1) ||
		!r.same(call.name+": spans of the gateway's in the caller's trace, kind SERVER", len(servers), 1) {
		return
	}
	client, server := clients[0], servers[0]
	r.checkServer(call, client, server)
	for _, record := range records {
		r.checkRecord(call, server, record)
	}
	r.same(call.name+": spans of the gateway's beside that of the call", len(spans)-1, len(call.attempts))
	if !r.same(call.name+": spans of attempts, kind CLIENT", len(attempts), len(call.attempts)) {
		return
	}
	for number, attempt := range attempts {
		var headers map[string][]string
		if number < len(sent) {
			headers = sent[number]
		}
		r.checkAttempt(call, number, server, attempt, headers)
	}
}

func (r *run) checkServer(call *call, client, server span) {
	name := call.name + ": the span of the call"
	r.same(name+": its parent, the caller's span", server.ParentSpanID(), client.SpanID())
	r.same(name+": its name", server.Name(), service+call.method)
	r.same(name+": its name at the caller", client.Name(), server.Name())
	r.same(name+": its scope", server.scope, "oci-backup-gateway")
	r.same(name+": its tracestate", server.TraceState().AsRaw(), vendor)
	r.same(name+": its flags, sampled, with a parent elsewhere", server.Flags(), uint32(0x301))
	r.checkKeys(name, server)
	r.is(client.StartTimestamp() <= server.StartTimestamp() && server.StartTimestamp() < server.EndTimestamp(), "%s: it does not begin within the caller's", name)
	host, port, _ := net.SplitHostPort(r.address)
	number, _ := strconv.ParseInt(port, 10, 64)
	wanted := map[string]any{
		rpcSystem: "grpc", rpcMethod: service + call.method, rpcCode: call.code,
		serverName: host, serverPort: number, peerAddress: "127.0.0.1",
	}
	status := ptrace.StatusCodeUnset
	if call.isError {
		wanted[errorType], status = call.code, ptrace.StatusCodeError
	}
	r.same(name+": its status", server.Status().Code(), status)
	found, callers := server.Attributes().AsRaw(), client.Attributes().AsRaw()
	// What the client's instrumentation says of the same call has the same names and values.
	for _, key := range []string{rpcSystem, rpcMethod, rpcCode, serverName, serverPort} {
		r.same(fmt.Sprintf("%s: %s, as the caller has it", name, key), found[key], callers[key])
	}
	id, _ := found[requestID].(string)
	r.is(id != "", "%s: it has no %s", name, requestID)
	from, _ := found[peerPort].(int64)
	r.is(from > 0, "%s: it has no %s", name, peerPort)
	delete(found, requestID)
	delete(found, peerPort)
	r.same(name+": its attributes", found, wanted)
}

func (r *run) checkAttempt(call *call, number int, server, attempt span, headers map[string][]string) {
	name := fmt.Sprintf("%s: the span of attempt %d", call.name, number+1)
	r.same(name+": its parent, the span of the call", attempt.ParentSpanID(), server.SpanID())
	r.same(name+": its name", attempt.Name(), "POST")
	r.same(name+": its flags, sampled, with a parent here", attempt.Flags(), uint32(0x101))
	r.checkKeys(name, attempt)
	r.is(server.StartTimestamp() <= attempt.StartTimestamp() && attempt.StartTimestamp() < attempt.EndTimestamp() &&
		attempt.EndTimestamp() <= server.EndTimestamp(), "%s: it is not within that of the call", name)
	host, port, _ := net.SplitHostPort(r.upstream.url[len("http://"):])
	portNumber, _ := strconv.ParseInt(port, 10, 64)
	collection := map[string]string{"CreateVolumeBackup": "volumeBackups", "CreateBootVolumeBackup": "bootVolumeBackups"}[call.method]
	answered := call.attempts[number]
	wanted := map[string]any{
		operation: call.method, httpMethod: "POST", httpStatus: int64(answered), serverName: host, serverPort: portNumber,
		urlFull: r.upstream.url + "/20160918/" + collection,
	}
	if number > 0 {
		wanted[httpResend] = int64(number)
	}
	status := ptrace.StatusCodeUnset
	if answered >= 400 {
		wanted[errorType], status = strconv.Itoa(answered), ptrace.StatusCodeError
	}
	r.same(name+": its status", attempt.Status().Code(), status)
	found := attempt.Attributes().AsRaw()
	for _, key := range []string{signing, signingWait} {
		seconds, is := found[key].(float64)
		r.is(is && seconds >= 0 && seconds < 5, "%s: %s is %#v", name, key, found[key])
		delete(found, key)
	}
	r.same(name+": its attributes", found, wanted)

	carried := traceOf(headers)
	r.same(name+": the parent id of the traceparent that OCI is sent", carried.SpanID(), trace.SpanID(attempt.SpanID()))
	r.same(name+": the trace that OCI is sent", carried.TraceID(), call.trace)
	r.is(carried.IsSampled(), "%s: OCI is not told that it is recorded", name)
	r.same(name+": the tracestate that OCI is sent", carried.TraceState().String(), vendor)
}

// OTLP wants each key once; what reads them into a map would not see that one is there twice.
func (r *run) checkKeys(name string, of span) {
	seen := map[string]int{}
	for key := range of.Attributes().All() {
		seen[key]++
	}
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		r.is(seen[key] == 1, "%s: it has %s %d times", name, key, seen[key])
	}
}

func (r *run) checkRecord(call *call, server span, record record) {
	name := call.name + ": its record of the log"
	r.same(name+": its span, that of the call", record.SpanID(), server.SpanID())
	r.same(name+": its severity", record.SeverityNumber(), plog.SeverityNumberInfo)
	said := record.Attributes().AsRaw()
	r.same(name+": the request's id, as the span has it", said["opc_request_id"], server.Attributes().AsRaw()[requestID])
	r.same(name+": the method", said["method"], service+call.method)
	r.same(name+": the code", said["code"], call.code)
	r.same(name+": whether it has an error", said["error"] != nil, call.code != "OK")
	at := max(record.Timestamp(), record.ObservedTimestamp()).AsTime()
	r.is(time.Since(at).Abs() < time.Minute, "%s: its time is %v", name, at)
	// The line on standard error is the same one.
	lines := slices.DeleteFunc(r.gateway.log(), func(line map[string]any) bool {
		return line["message"] != "call" || line["trace_id"] != call.trace.String()
	})
	if r.same(call.name+": lines on standard error with its trace", len(lines), 1) {
		r.same(call.name+": the span that its line on standard error names", lines[0]["span_id"], server.SpanID().String())
	}
}

func (r *run) recordsOf(call *call) []record {
	return slices.DeleteFunc(slices.Clone(r.fromGateway.records), func(one record) bool {
		return one.Body().AsString() != "call" || trace.TraceID(one.TraceID()) != call.trace
	})
}

// The span of the call, and those of its attempts in their order.
func kinds(spans []span) (servers, attempts []span) {
	for _, one := range spans {
		switch one.Kind() {
		case ptrace.SpanKindServer:
			servers = append(servers, one)
		case ptrace.SpanKindClient:
			attempts = append(attempts, one)
		}
	}
	slices.SortFunc(attempts, func(a, b span) int { return cmp.Compare(a.StartTimestamp(), b.StartTimestamp()) })
	return servers, attempts
}

// As a service of OCI's would read it, by OpenTelemetry's own propagator.
func traceOf(headers map[string][]string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(empty, propagation.HeaderCarrier(headers))
	return trace.SpanContextFromContext(ctx)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Who speaks is the same for all three signals.
func (r *run) checkResource() {
	seen := map[string][]map[string]any{}
	for _, one := range r.fromGateway.spans {
		seen[traces] = append(seen[traces], one.resource)
	}
	for _, one := range r.fromGateway.metrics {
		seen[metrics] = append(seen[metrics], one.resource)
	}
	for _, one := range r.fromGateway.records {
		seen[logs] = append(seen[logs], one.resource)
	}
	var instance any
	for _, signal := range []string{traces, metrics, logs} {
		if !r.is(len(seen[signal]) > 0, "the resource of %s: nothing has come", signal) {
			continue
		}
		first := seen[signal][0]
		for _, other := range seen[signal] {
			if !maps.Equal(first, other) {
				r.same("the resource of "+signal+", said twice", other, first)
			}
		}
		found := maps.Clone(first)
		id := found[string(semconv.ServiceInstanceIDKey)]
		if instance == nil {
			instance = id
		}
		r.same("the resource of "+signal+": the instance, as other signals have it", id, instance)
		if r.instance == "" {
			text, _ := id.(string)
			r.is(uuid.MatchString(text), "the resource of %s: the instance is %#v and has to be a random UUID", signal, id)
		} else {
			r.same("the resource of "+signal+": the instance", id, r.instance)
		}
		for key, wanted := range map[string]any{
			string(semconv.ServiceNameKey):               gatewayName,
			string(semconv.ServiceVersionKey):            r.version,
			string(semconv.DeploymentEnvironmentNameKey): "test",
			"team":                                  team,
			string(semconv.TelemetrySDKNameKey):     "opentelemetry",
			string(semconv.TelemetrySDKLanguageKey): "rust",
		} {
			r.same("the resource of "+signal+": "+key, found[key], wanted)
		}
	}
}
