package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// The collector's own OTLP receiver, set up as its configuration file would. What it hands on is written as lines of JSON,
// one for each request, and all that is checked is read from those.
type collector struct {
	grpc, http string
	dir        string
	parts      []component.Component
	mutex      sync.Mutex
	lines      map[string][][]byte
	keys       map[string][]string
}

const (
	traces  = "traces"
	metrics = "metrics"
	logs    = "logs"
	// A header that senders have to send, and its value must be nowhere else.
	keyHeader = "api-key"
	key       = "canary-of-the-collector"
)

func startCollector(dir string) (*collector, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &collector{dir: dir, lines: map[string][][]byte{}, keys: map[string][]string{}}
	// The receiver does not tell which port it was given, so it is told one.
	var err error
	if c.grpc, c.http, err = freeAddresses(); err != nil {
		return nil, err
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	said := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": c.grpc, "include_metadata": true},
		"http": map[string]any{"endpoint": c.http, "include_metadata": true},
	}})
	if err := said.Unmarshal(config); err != nil {
		return nil, err
	}
	settings := receiver.Settings{
		ID: component.NewID(factory.Type()),
		TelemetrySettings: component.TelemetrySettings{
			Logger:         zap.NewNop(),
			TracerProvider: tracenoop.NewTracerProvider(),
			MeterProvider:  metricnoop.NewMeterProvider(),
			Resource:       pcommon.NewResource(),
		},
	}
	ctx := context.Background()
	ofTraces, err := consumer.NewTraces(func(ctx context.Context, batch ptrace.Traces) error {
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(batch)
		return c.take(ctx, traces, line, err)
	})
	if err != nil {
		return nil, err
	}
	ofMetrics, err := consumer.NewMetrics(func(ctx context.Context, batch pmetric.Metrics) error {
		line, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(batch)
		return c.take(ctx, metrics, line, err)
	})
	if err != nil {
		return nil, err
	}
	ofLogs, err := consumer.NewLogs(func(ctx context.Context, batch plog.Logs) error {
		line, err := (&plog.JSONMarshaler{}).MarshalLogs(batch)
		return c.take(ctx, logs, line, err)
	})
	if err != nil {
		return nil, err
	}
	one, err := factory.CreateTraces(ctx, settings, config, ofTraces)
	if err != nil {
		return nil, err
	}
	two, err := factory.CreateMetrics(ctx, settings, config, ofMetrics)
	if err != nil {
		return nil, err
	}
	three, err := factory.CreateLogs(ctx, settings, config, ofLogs)
	if err != nil {
		return nil, err
	}
	for _, part := range []component.Component{one, two, three} {
		if err := part.Start(ctx, nobody{}); err != nil {
			c.stop()
			part.Shutdown(ctx)
			return nil, fmt.Errorf("the collector's receiver does not start: %w", err)
		}
		c.parts = append(c.parts, part)
	}
	return c, nil
}

func (c *collector) stop() {
	for _, part := range c.parts {
		part.Shutdown(context.Background())
	}
}

func (c *collector) take(ctx context.Context, signal string, line []byte, err error) error {
	if err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.lines[signal] = append(c.lines[signal], line)
	if !bytes.Contains(line, []byte(`"stringValue":"`+callerName+`"`)) {
		c.keys[signal] = append(c.keys[signal], strings.Join(client.FromContext(ctx).Metadata.Get(keyHeader), ","))
	}
	file, err := os.OpenFile(filepath.Join(c.dir, signal+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(slices.Clip(line), '\n'))
	return err
}

// A span, a line of the log or a metric, with what was said about all of its neighbours.
type (
	span struct {
		ptrace.Span
		resource map[string]any
		scope    string
	}
	record struct {
		plog.LogRecord
		resource map[string]any
	}
	metric struct {
		pmetric.Metric
		resource map[string]any
	}
)

type sender int

const (
	theCaller sender = iota
	theGateway
)

// What has come from the caller, or from the gateway by whatever name, up to now. Of a metric the last that was said.
type received struct {
	spans    []span
	records  []record
	metrics  map[string]metric
	requests map[string]int
}

func (c *collector) from(who sender) (received, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found := received{metrics: map[string]metric{}, requests: map[string]int{}}
	is := func(signal string, resource pcommon.Resource) bool {
		name, _ := resource.Attributes().Get("service.name")
		if (name.AsString() == callerName) != (who == theCaller) {
			return false
		}
		found.requests[signal]++
		return true
	}
	for _, line := range c.lines[traces] {
		batch, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			return found, err
		}
		for _, of := range batch.ResourceSpans().All() {
			if !is(traces, of.Resource()) {
				continue
			}
			for _, scope := range of.ScopeSpans().All() {
				for _, one := range scope.Spans().All() {
					found.spans = append(found.spans, span{one, of.Resource().Attributes().AsRaw(), scope.Scope().Name()})
				}
			}
		}
	}
	for _, line := range c.lines[metrics] {
		batch, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
		if err != nil {
			return found, err
		}
		for _, of := range batch.ResourceMetrics().All() {
			if !is(metrics, of.Resource()) {
				continue
			}
			for _, scope := range of.ScopeMetrics().All() {
				for _, one := range scope.Metrics().All() {
					found.metrics[one.Name()] = metric{one, of.Resource().Attributes().AsRaw()}
				}
			}
		}
	}
	for _, line := range c.lines[logs] {
		batch, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
		if err != nil {
			return found, err
		}
		for _, of := range batch.ResourceLogs().All() {
			if !is(logs, of.Resource()) {
				continue
			}
			for _, scope := range of.ScopeLogs().All() {
				for _, one := range scope.LogRecords().All() {
					found.records = append(found.records, record{one, of.Resource().Attributes().AsRaw()})
				}
			}
		}
	}
	return found, nil
}

// All that has come of a signal, as text.
func (c *collector) text(signal string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return string(bytes.Join(c.lines[signal], []byte("\n")))
}

// What the gateway's requests for a signal had in the header that they have to have.
func (c *collector) keysOf(signal string) []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(c.keys[signal])))
}

// A host of the receiver that has nothing else.
type nobody struct{}

func (nobody) GetExtensions() map[component.ID]component.Component { return nil }

func freeAddresses() (string, string, error) {
	one, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer one.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer other.Close()
	return one.Addr().String(), other.Addr().String(), nil
}
