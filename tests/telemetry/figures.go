package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/semconv/v1.42.0/httpconv"
	"go.opentelemetry.io/otel/semconv/v1.42.0/rpcconv"
)

// A row of the README's table of metrics.
type promised struct {
	kind   string
	labels []string
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// What the README promises of `/metrics`, by name.
func readPromises(readme string) (map[string]promised, error) {
	text, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	_, table, _ := strings.Cut(string(text), "\n## Metrics\n")
	table, _, _ = strings.Cut(table, "\n### ")
	found := map[string]promised{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		var labels []string
		for _, label := range quoted.FindAllStringSubmatch(cells[3], -1) {
			labels = append(labels, label[1])
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
			found[name[1]] = promised{strings.TrimSpace(cells[2]), labels}
		}
	}
	return found, nil
}

// A point of a metric: its attributes, and how much it counts.
type point struct {
	attributes map[string]any
	count      uint64
	bounds     []float64
	sum        float64
}

// The points, as which kind Prometheus sees the metric, and whether what it adds up is added up from the start.
func points(of pmetric.Metric) (found []point, kind string, isCumulative bool) {
	numbers := func(all pmetric.NumberDataPointSlice) {
		for _, one := range all.All() {
			value := one.DoubleValue()
			if one.ValueType() == pmetric.NumberDataPointValueTypeInt {
				value = float64(one.IntValue())
			}
			found = append(found, point{attributes: one.Attributes().AsRaw(), sum: value})
		}
	}
	switch of.Type() {
	case pmetric.MetricTypeHistogram:
		for _, one := range of.Histogram().DataPoints().All() {
			found = append(found, point{one.Attributes().AsRaw(), one.Count(), one.ExplicitBounds().AsRaw(), one.Sum()})
		}
		return found, "histogram", of.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
	case pmetric.MetricTypeSum:
		numbers(of.Sum().DataPoints())
		if kind = "gauge"; of.Sum().IsMonotonic() {
			kind = "counter"
		}
		return found, kind, of.Sum().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
	case pmetric.MetricTypeGauge:
		numbers(of.Gauge().DataPoints())
		return found, "gauge", true
	default:
		return nil, of.Type().String(), true
	}
}

// As Prometheus writes a name: the unit is a suffix, but for what is only counted.
func inPrometheus(of pmetric.Metric, kind string) string {
	name := strings.ReplaceAll(of.Name(), ".", "_")
	switch unit := of.Unit(); {
	case unit == "s":
		name += "_seconds"
	case unit != "" && !strings.HasPrefix(unit, "{"):
		name += "_" + unit
	}
	if kind == "counter" {
		name += "_total"
	}
	return name
}

// Every metric that the README has arrives, by its name, unit, type and labels, and no other.
func (r *run) checkMetrics() {
	missing := maps.Clone(r.promised)
	for _, name := range r.absent {
		delete(missing, name)
	}
	for _, of := range r.fromGateway.metrics {
		found, kind, isCumulative := points(of.Metric)
		name := inPrometheus(of.Metric, kind)
		promise, known := r.promised[name]
		if !r.is(known, "the metric %s (%s, unit %q): the README has no %s", of.Name(), kind, of.Unit(), name) {
			continue
		}
		delete(missing, name)
		r.same("the metric "+of.Name()+": its type", kind, promise.kind)
		r.is(isCumulative, "the metric %s: it does not add up from the start", of.Name())
		r.is(of.Description() != "", "the metric %s: it has no description", of.Name())
		r.is(kind != "counter" || strings.HasPrefix(of.Unit(), "{"), "the metric %s: its unit does not say what is counted: %q", of.Name(), of.Unit())
		seen := map[string]bool{}
		for _, point := range found {
			for label := range point.attributes {
				seen[strings.ReplaceAll(label, ".", "_")] = true
			}
		}
		for label := range seen {
			r.is(slices.Contains(promise.labels, label), "the metric %s: the README has no label %s of it", of.Name(), label)
		}
		for _, label := range promise.labels {
			r.is(seen[label], "the metric %s: the label %s is missing", of.Name(), label)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		r.is(false, "the metric %s: it has not come", name)
	}
	r.checkDurations()
}

// The two that the conventions know, by their own words; and they count what was done.
func (r *run) checkDurations() {
	calls, requests := map[string]uint64{}, map[string]uint64{}
	for _, call := range r.calls {
		calls[service+call.method+" "+call.code]++
		for _, status := range call.attempts {
			requests[fmt.Sprintf("%s POST %d", call.method, status)]++
		}
	}
	r.checkDuration(rpcconv.ServerCallDuration{}.Name(), rpcconv.ServerCallDuration{}.Unit(), calls, rpcMethod, rpcCode)
	r.checkDuration(httpconv.ClientRequestDuration{}.Name(), httpconv.ClientRequestDuration{}.Unit(), requests, operation, httpMethod, httpStatus)
}

// The boundaries that the conventions ask for.
var boundaries = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func (r *run) checkDuration(name, unit string, wanted map[string]uint64, keys ...string) {
	of, is := r.fromGateway.metrics[name]
	if !r.is(is, "the metric %s: it has not come", name) {
		return
	}
	r.same("the metric "+name+": its unit", of.Unit(), unit)
	all, _, _ := points(of.Metric)
	found := map[string]uint64{}
	for _, point := range all {
		var words []string
		for _, key := range keys {
			words = append(words, fmt.Sprint(point.attributes[key]))
		}
		r.same("the metric "+name+": its boundaries", point.bounds, boundaries)
		r.is(point.sum > 0 && point.sum < 60, "the metric %s: it is not of seconds: %v", name, point.sum)
		// What the gateway asks on its own is no call.
		if strings.HasPrefix(words[0], service) || strings.HasPrefix(words[0], "Create") {
			found[strings.Join(words, " ")] += point.count
		}
	}
	r.same("the metric "+name+": what it counts", found, wanted)
}
