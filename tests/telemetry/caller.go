package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.42.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/backup"
	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

const (
	callerName = "nightly"
	service    = "ocibackup.v1.BackupService/"
	// Of the caller's trace; it has to go on to OCI, and its baggage must not.
	vendor   = "vendor=mine"
	luggage  = "canary-of-the-caller"
	callTime = 20 * time.Second
)

// A call, and what has to be seen of it.
type call struct {
	name   string
	method string
	// What it names is no volume.
	isMistaken bool
	// What the sandbox answers to its first attempt, if that is no success.
	fault     string
	unsampled bool
	code      string
	// Whether the code is the server's fault by OpenTelemetry's conventions.
	isError  bool
	attempts []int
	// Known when it was made.
	trace trace.TraceID
}

func calls() []*call {
	const once, never = `{"answer": {"status": 429, "headers": {"retry-after": "0"}}}`, `{"answer": {"status": 501}}`
	return []*call{
		{name: "a call with one attempt", method: "CreateVolumeBackup", code: "OK", attempts: []int{200}},
		{name: "a call with a retry", method: "CreateBootVolumeBackup", fault: once, code: "OK", attempts: []int{429, 200}},
		{name: "a call that is refused", method: "CreateVolumeBackup", isMistaken: true, code: "INVALID_ARGUMENT"},
		{name: "a call that OCI fails", method: "CreateVolumeBackup", fault: never, code: "UNIMPLEMENTED", isError: true, attempts: []int{501}},
		{name: "a call whose caller records nothing", method: "CreateVolumeBackup", unsampled: true, code: "OK", attempts: []int{200}},
	}
}

func (c *call) token(run string) string { return fmt.Sprintf("canary-%s-%x", run, c.trace[:4]) }

// Each has a volume of its own: while one has a backup that is not done, OCI makes no other.
func (c *call) volume(run string) string {
	if c.isMistaken {
		return "none"
	}
	kind := map[string]string{"CreateVolumeBackup": "volume", "CreateBootVolumeBackup": "bootvolume"}[c.method]
	return fmt.Sprintf("ocid1.%s.oc1.iad.%s%x", kind, run, c.trace[:4])
}

// A service that OpenTelemetry's SDK traces, on the channel of the example in Go.
type caller struct {
	provider *sdktrace.TracerProvider
	channel  *grpc.ClientConn
	client   *backup.Client
}

func newCaller(ctx context.Context, gateway, collector string) (*caller, error) {
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(collector), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(callerName))),
	)
	carried := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	traced := otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(provider), otelgrpc.WithPropagators(carried))
	channel, err := backup.Dial(backup.Gateway{Target: gateway}, grpc.WithStatsHandler(traced))
	if err != nil {
		return nil, err
	}
	return &caller{provider, channel, backup.NewClient(channel)}, nil
}

// Ends when all of its spans are sent.
func (c *caller) end(ctx context.Context) error {
	return errors.Join(c.channel.Close(), c.provider.Shutdown(ctx))
}

// Makes the call within a trace that somebody before the caller began.
func (c *caller) make(ctx context.Context, run, control string, call *call) error {
	if call.fault != "" {
		if err := breakNext(ctx, control, call.fault); err != nil {
			return err
		}
	}
	call.trace = trace.TraceID(random[[16]byte]())
	state, err := trace.ParseTraceState(vendor)
	if err != nil {
		return err
	}
	began := trace.SpanContextConfig{TraceID: call.trace, SpanID: trace.SpanID(random[[8]byte]()), TraceState: state, Remote: true}
	if !call.unsampled {
		began.TraceFlags = trace.FlagsSampled
	}
	ctx, cancel := context.WithTimeout(trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(began)), callTime)
	defer cancel()
	bags, err := baggage.Parse("luggage=" + luggage)
	if err != nil {
		return err
	}
	ctx = baggage.ContextWithBaggage(ctx, bags)
	token, id := proto.String(call.token(run)), call.volume(run)
	switch call.method {
	case "CreateVolumeBackup":
		_, _, err = c.client.CreateVolumeBackup(ctx, &ocibackupv1.CreateVolumeBackupRequest{VolumeId: id, RetryToken: token})
	case "CreateBootVolumeBackup":
		_, _, err = c.client.CreateBootVolumeBackup(ctx, &ocibackupv1.CreateBootVolumeBackupRequest{BootVolumeId: id, RetryToken: token})
	}
	if (err == nil) != (call.code == "OK") {
		return fmt.Errorf("%s: it has to end as %s: %v", call.name, call.code, err)
	}
	return nil
}

// The sandbox strikes the next create.
func breakNext(ctx context.Context, control, fault string) error {
	rule, err := json.Marshal(map[string]any{"method": "POST", "fault": json.RawMessage(fault)})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, control+"/sandbox/faults", bytes.NewReader(rule))
	if err != nil {
		return err
	}
	request.Header.Set("content-type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the sandbox does not take a fault: %s", answer.Status)
	}
	return nil
}
