// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// expfmtFamilies decodes with the Prometheus client library, names validated as
// for the formats that the kubelet is asked for. In Text, the families come in
// no order. It refuses what makes that library panic.
func expfmtFamilies(format Format, body []byte) (families []*dto.MetricFamily, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("expfmt panics: %v", r)
		}
	}()
	if format == Text {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		byName, err := parser.TextToMetricFamilies(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for _, f := range byName {
			families = append(families, f)
		}
		return families, nil
	}
	if err := checkLengths(body); err != nil {
		return nil, err
	}
	decoder := expfmt.NewDecoder(bytes.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		f := &dto.MetricFamily{}
		if err := decoder.Decode(f); errors.Is(err, io.EOF) {
			return families, nil
		} else if err != nil {
			return nil, err
		}
		families = append(families, f)
	}
}

// checkLengths keeps expfmt from allocating whatever length a message claims.
func checkLengths(body []byte) error {
	for len(body) > 0 {
		size, n := protowire.ConsumeVarint(body)
		if n < 0 || size > uint64(len(body)-n) {
			return fmt.Errorf("a message is longer than the %d bytes left", len(body))
		}
		body = body[n+int(size):]
	}
	return nil
}

// oracle builds what Decode must give from what the Prometheus client library
// reads, in the plainest way.
type oracle struct {
	node       Usage
	containers map[[3]string]*Usage
	rejected   [NumRejections]int
	series     int
	// overBounds tells that a bound of this package is exceeded.
	overBounds bool
	// unclear tells that the answer declares a family of ours to be a summary
	// or histogram. The protobuf decoder skips it, the text decoder does not
	// read the declaration.
	unclear bool
}

func newOracle(families []*dto.MetricFamily) *oracle {
	o := &oracle{containers: map[[3]string]*Usage{}}
	for _, f := range families {
		field, ofContainers := oracleFamily(f.GetName())
		if field == 0 {
			continue
		}
		for _, m := range f.GetMetric() {
			var value float64
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				value = oracleValue(m.Counter != nil, m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				value = oracleValue(m.Gauge != nil, m.GetGauge().GetValue())
			case dto.MetricType_UNTYPED:
				value = oracleValue(m.Untyped != nil, m.GetUntyped().GetValue())
			default:
				o.unclear = true
				continue
			}
			o.add(m, field, ofContainers, value)
		}
	}
	if len(o.containers) > MaxContainers {
		o.overBounds = true
	}
	return o
}

func oracleValue(present bool, value float64) float64 {
	if !present {
		return math.NaN()
	}
	return value
}

func oracleFamily(name string) (field Fields, ofContainers bool) {
	kind, rest, _ := strings.Cut(name, "_")
	if kind != "node" && kind != "container" {
		return 0, false
	}
	field = map[string]Fields{
		"cpu_usage_seconds_total":  HasCPU,
		"memory_working_set_bytes": HasMemory,
		"swap_usage_bytes":         HasSwap,
		"start_time_seconds":       HasStart,
	}[rest]
	if field == HasStart && kind == "node" {
		return 0, false
	}
	return field, kind == "container"
}

func (o *oracle) add(m *dto.Metric, field Fields, ofContainers bool, value float64) {
	o.series++
	labels := map[string]string{}
	good := true
	for _, l := range m.Label {
		if _, twice := labels[l.GetName()]; twice && strings.Contains(" namespace pod container ", " "+l.GetName()+" ") {
			good = false
		}
		labels[l.GetName()] = l.GetValue()
	}
	u := &o.node
	if ofContainers {
		key := [3]string{labels["namespace"], labels["pod"], labels["container"]}
		for _, name := range key {
			good = good && name != "" && len(name) <= MaxName && utf8.ValidString(name)
		}
		if !good {
			o.rejected[RejectedLabels]++
			return
		}
		if o.containers[key] == nil {
			o.containers[key] = &Usage{}
		}
		u = o.containers[key]
	}
	ns := value * 1e9
	bad := math.IsNaN(value) || math.IsInf(value, 0) || value < 0
	switch field {
	case HasCPU:
		bad = bad || math.Round(ns) >= math.MaxUint64
	case HasStart:
		bad = bad || math.Round(ns) >= math.MaxInt64 || math.Round(ns) == 0
	default:
		bad = bad || math.Round(value) > MaxBytes
	}
	if bad {
		o.rejected[RejectedValue]++
		return
	}
	at := sentAt.UnixNano()
	if m.TimestampMs != nil {
		at = *m.TimestampMs * 1e6
		if *m.TimestampMs <= 0 || at/1e6 != *m.TimestampMs {
			o.rejected[RejectedTimestamp]++
			return
		}
	}
	switch field {
	case HasCPU:
		u.CPU = uint64(math.Round(ns))
	case HasMemory:
		u.Memory = uint64(math.Round(value))
	case HasSwap:
		u.Swap = uint64(math.Round(value))
	case HasStart:
		u.Start = int64(math.Round(ns))
	}
	if field == HasCPU || field == HasMemory && u.Has&HasCPU == 0 {
		u.Time = at
	}
	u.Has |= field
}

// check compares with what Decode gave.
func (o *oracle) check(t testing.TB, got *Samples, err error) {
	t.Helper()
	if o.unclear {
		return
	}
	if e := (*Error)(nil); errors.As(err, &e) && e.Reason == ReasonTooLarge {
		// Bounds on lines and series are not known from the families.
		return
	}
	switch {
	case o.overBounds:
		t.Fatalf("got %v, want an error about a bound", err)
	case o.series == 0:
		if e := (*Error)(nil); !errors.As(err, &e) || e.Reason != ReasonEmpty {
			t.Fatalf("got %v, want empty", err)
		}
		return
	case err != nil:
		t.Fatalf("an answer that expfmt accepts gives: %v", err)
	}
	if got.Node != o.node {
		t.Errorf("node:\ngot  %+v\nwant %+v", got.Node, o.node)
	}
	if got.Rejected != o.rejected {
		t.Errorf("rejected: got %v, want %v", got.Rejected, o.rejected)
	}
	if len(got.Containers) != len(o.containers) {
		t.Errorf("got %d containers, want %d", len(got.Containers), len(o.containers))
	}
	for i := range got.Containers {
		c := &got.Containers[i]
		want := o.containers[[3]string{string(c.Namespace), string(c.Pod), string(c.Name)}]
		if want == nil {
			t.Errorf("got container %s, want none of these names", show(c))
		} else if c.Usage != *want {
			t.Errorf("got  %s\nwant %+v", show(c), *want)
		}
	}
}

// checkWithOracle decodes with a fresh Decoder and with a used one, and compares
// with expfmt where that accepts the answer.
func checkWithOracle(t testing.TB, format Format, body []byte, used *Decoder) {
	t.Helper()
	got := checkReuse(t, format, body, used)
	families, err := expfmtFamilies(format, body)
	if err != nil {
		return
	}
	if got.err != nil && strings.Contains(got.err.Error(), "no metric name") {
		// expfmt takes a line like "{} 1" for the metric of the line before it.
		return
	}
	newOracle(families).check(t, got.samples, got.err)
}

type outcome struct {
	samples *Samples
	err     error
}

// checkReuse decodes with a fresh Decoder and with a used one, which must give
// the same.
func checkReuse(t testing.TB, format Format, body []byte, used *Decoder) outcome {
	t.Helper()
	fresh, freshErr := new(Decoder).Decode(format, body, sentAt)
	reused, reusedErr := used.Decode(format, body, sentAt)
	if fmt.Sprint(freshErr) != fmt.Sprint(reusedErr) {
		t.Fatalf("fresh decoder: %v; used decoder: %v", freshErr, reusedErr)
	}
	if freshErr == nil {
		checkSamples(t, reused, fresh)
		return outcome{samples: fresh}
	}
	checkError(t, freshErr)
	return outcome{err: freshErr}
}

// checkError checks that an error is of a known kind, short, and safe to print.
func checkError(t testing.TB, err error) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %T, want *Error: %v", err, err)
	}
	known := false
	for _, r := range Reasons {
		known = known || r == e.Reason
	}
	if !known {
		t.Errorf("reason %q is not listed", e.Reason)
	}
	message := err.Error()
	if len(message) > 600 {
		t.Errorf("message of %d bytes: %s", len(message), message)
	}
	for _, c := range []byte(message) {
		// protowire.ParseError separates with U+00A0.
		if c < ' ' || c == 0x7f {
			t.Errorf("message with byte %#x: %q", c, message)
		}
	}
	if !utf8.ValidString(message) {
		t.Errorf("message is not UTF-8: %q", message)
	}
}

func TestFixturesAgainstExpfmt(t *testing.T) {
	checkWithOracle(t, Text, fixture(t, textFixture), new(Decoder))
	checkWithOracle(t, Delimited, fixture(t, delimitedFixture), new(Decoder))
	for _, answer := range timedAnswers(t) {
		checkWithOracle(t, answer.format, answer.body, new(Decoder))
	}
}

func TestGeneratedAnswersAgainstExpfmt(t *testing.T) {
	var used Decoder
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		families := g.families()
		text := g.text(families)
		if _, err := expfmtFamilies(Text, text); err != nil {
			t.Fatalf("seed %d: expfmt refuses the text: %v\n%s", seed, err, text)
		}
		checkWithOracle(t, Text, text, &used)
		delimited := g.delimited(families)
		if _, err := expfmtFamilies(Delimited, delimited); err != nil {
			t.Fatalf("seed %d: expfmt refuses the protobuf: %v", seed, err)
		}
		checkWithOracle(t, Delimited, delimited, &used)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
	}
}

// generator makes valid answers.
type generator struct{ *rand.Rand }

func (g generator) one(in ...string) string { return in[g.IntN(len(in))] }

func (g generator) families() []*dto.MetricFamily {
	containers := g.containers()
	names := []string{
		"node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "node_swap_usage_bytes",
		"container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
		"container_swap_usage_bytes", "container_start_time_seconds",
		"pod_cpu_usage_seconds_total", "container_cpu_usage_seconds", "x", "resource_scrape_error",
	}
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var families []*dto.MetricFamily
	for _, name := range names {
		if g.IntN(6) == 0 {
			continue
		}
		kind := []dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_UNTYPED}[g.IntN(3)]
		f := newFamily(name, "help of\\ \n", kind)
		if strings.HasPrefix(name, "node_") {
			f.Metric = append(f.Metric, g.metric(kind))
		}
		if strings.HasPrefix(name, "container_") || strings.HasPrefix(name, "pod_") {
			if g.IntN(3) == 0 {
				g.Shuffle(len(containers), func(i, j int) { containers[i], containers[j] = containers[j], containers[i] })
			}
			for _, labels := range containers {
				if g.IntN(10) > 0 {
					f.Metric = append(f.Metric, g.metric(kind, g.labels(labels)...))
				}
				if g.IntN(20) == 0 {
					f.Metric = append(f.Metric, g.metric(kind, g.labels(labels)...))
				}
			}
		}
		families = append(families, f)
	}
	return families
}

// containers gives the labels of a few containers, some of them alike.
func (g generator) containers() [][]string {
	var containers [][]string
	for range g.IntN(100) {
		containers = append(containers, []string{
			"container", g.one("main", "sidecar", "a\\b", "quo\"te", "new\nline", "ü", "a{b}", "c,d=\"e\""),
			"namespace", g.one("default", "kube-system", "a", "b", ""),
			"pod", g.one("a", "b", "pod-") + strconv.Itoa(g.IntN(20)),
		})
	}
	return containers
}

// labels sometimes changes order and number.
func (g generator) labels(labels []string) []string {
	labels = append([]string(nil), labels...)
	switch g.IntN(15) {
	case 0:
		labels = append(labels[4:], labels[:4]...)
	case 1:
		labels = labels[2:]
	case 2:
		labels = append(labels, "zone", "über")
	}
	return labels
}

func (g generator) metric(kind dto.MetricType, labels ...string) *dto.Metric {
	value := float64(g.Uint64N(1e12)) / 1e9
	if g.IntN(3) == 0 {
		values := []float64{
			0, 1, g.Float64(), g.Float64() * 1e6, float64(g.Uint64()), float64(g.Uint64()) / 1e9, 1795432684.1765418,
			1e300, 5e-324, math.Inf(1), math.NaN(), -1, -0.3, math.Copysign(0, -1), 1 << 63, 1 << 64,
		}
		value = values[g.IntN(len(values))]
	}
	timestamp := 1795432886646 + g.Int64N(1000)
	if g.IntN(10) == 0 {
		timestamps := []int64{1, 0, -1, math.MaxInt64, math.MaxInt64 / 1_000_000, math.MaxInt64/1_000_000 + 1, math.MinInt64}
		timestamp = timestamps[g.IntN(len(timestamps))]
	}
	return newMetric(kind, value, g.IntN(4) > 0, timestamp, labels...)
}

// text writes families with all the freedom that the format gives.
func (g generator) text(families []*dto.MetricFamily) []byte {
	var b bytes.Buffer
	blanks := func() string { return g.one("", "", "", " ", "\t", "  \t ") }
	plain := g.IntN(2) == 0
	if plain {
		blanks = func() string { return "" }
	}
	for _, f := range families {
		if g.IntN(3) > 0 {
			fmt.Fprintf(&b, "%s# HELP %s some \\\\ help\n", blanks(), f.GetName())
		}
		if g.IntN(3) > 0 {
			fmt.Fprintf(&b, "#%s TYPE %s\t%s\n", blanks(), f.GetName(), g.one("counter", "GAUGE", "untyped"))
		}
		if !plain && g.IntN(4) == 0 {
			b.WriteString(g.one("\n", " \t\n", "#\n", "# comment\n", "#comment { \"\n", "# EOF\n"))
		}
		for _, m := range f.Metric {
			b.WriteString(blanks())
			g.series(&b, f.GetName(), m, blanks, plain)
		}
	}
	b.WriteString(blanks())
	return b.Bytes()
}

func (g generator) series(b *bytes.Buffer, name string, m *dto.Metric, blanks func() string, plain bool) {
	var labels []string
	if !plain && g.IntN(10) == 0 {
		labels = append(labels, `"`+name+`"`)
	} else if !plain && g.IntN(10) == 0 {
		b.WriteString(`"` + name + `"` + blanks())
	} else {
		b.WriteString(name + blanks())
	}
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+blanks()+"="+blanks()+`"`+strings.NewReplacer("\\", `\\`, "\"", `\"`, "\n", `\n`).Replace(l.GetValue())+`"`)
	}
	if !plain {
		g.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
	}
	if len(labels) > 0 {
		b.WriteString("{" + blanks() + strings.Join(labels, blanks()+","+blanks()))
		if !plain {
			b.WriteString(blanks() + g.one("", "", ",") + blanks())
		}
		b.WriteString("}" + blanks())
	}
	value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	b.WriteString(" " + strconv.FormatFloat(value, "gef"[g.IntN(3)], -1, 64))
	if m.TimestampMs != nil {
		b.WriteString(" " + blanks() + strconv.FormatInt(*m.TimestampMs, 10))
	}
	b.WriteByte('\n')
}

// delimited writes families, sometimes in pieces, with the fields of a message
// in any order.
func (g generator) delimited(families []*dto.MetricFamily) []byte {
	var b bytes.Buffer
	for _, f := range families {
		if len(f.Metric) > 1 && g.IntN(5) == 0 {
			half := &dto.MetricFamily{Name: f.Name, Type: f.Type, Metric: f.Metric[:len(f.Metric)/2]}
			g.message(&b, half)
			f = &dto.MetricFamily{Name: f.Name, Type: f.Type, Metric: f.Metric[len(f.Metric)/2:]}
		}
		g.message(&b, f)
	}
	return b.Bytes()
}

func (g generator) message(b *bytes.Buffer, f *dto.MetricFamily) {
	if g.IntN(4) > 0 {
		if _, err := protodelim.MarshalTo(b, f); err != nil {
			panic(err)
		}
		return
	}
	// The fields of a message may come in any order, so its parts may too.
	parts := []proto.Message{&dto.MetricFamily{Name: f.Name}, &dto.MetricFamily{Type: f.Type}, &dto.MetricFamily{Help: f.Help}}
	parts = append(parts, &dto.MetricFamily{Metric: f.Metric})
	g.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	var message []byte
	for _, part := range parts {
		var err error
		if message, err = (proto.MarshalOptions{}).MarshalAppend(message, part); err != nil {
			panic(err)
		}
	}
	b.Write(protowire.AppendBytes(nil, message))
}
