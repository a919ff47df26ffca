// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

const (
	textType      = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
	delimitedType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"
	wantDelimited = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// variedPods have every kind of usage, and names that need escaping and sorting.
func variedPods() []Pod {
	wave := Wave{Mean: 0.3, Amplitude: 0.2, Period: 5 * time.Minute, Phase: time.Minute}
	return []Pod{
		{Namespace: "b", Name: "first", UID: "uid-first", Containers: []Container{
			{Name: "web", Start: epoch.Add(-100 * 24 * time.Hour), CPU: wave, Memory: Constant(12345678)},
			{Name: "sidecar", Start: epoch.Add(-time.Hour - 123456789), CPU: Constant(1e-6), Memory: Wave{Mean: 1e6, Amplitude: 1e5, Period: time.Minute}},
		}},
		{Namespace: "a", Name: "second", Containers: []Container{
			{Name: "web", Start: epoch.Add(-time.Second), CPU: Constant(200), Memory: Constant(1 << 40), Swap: Constant(4096), SwapLimit: 8192},
		}},
		{Namespace: "a", Name: "new", Containers: []Container{{Name: "web", CPU: Constant(0.001), Memory: Constant(1)}}},
		{Namespace: "a", Name: "idle", Containers: []Container{{Name: "web", Start: epoch.Add(-time.Hour)}}},
		{Namespace: "a", Name: "quote\"d\\pod\n", Containers: []Container{{Name: "web", Start: epoch.Add(-time.Hour), CPU: Constant(1)}}},
		{Namespace: "a", Name: "empty"},
	}
}

// decode reads an answer with expfmt. Families keep their order in protobuf and
// are sorted by name in text, where the parser gives a map.
func decode(t *testing.T, a response) []*dto.MetricFamily {
	t.Helper()
	if a.status != http.StatusOK || a.err != nil {
		t.Fatalf("status %d, error %v", a.status, a.err)
	}
	var list []*dto.MetricFamily
	if expfmt.ResponseFormat(a.header).FormatType() == expfmt.TypeTextPlain {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		all, err := parser.TextToMetricFamilies(bytes.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range all {
			list = append(list, family)
		}
		slices.SortFunc(list, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
		return list
	}
	decoder := expfmt.NewDecoder(bytes.NewReader(a.body), expfmt.ResponseFormat(a.header))
	for {
		family := new(dto.MetricFamily)
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, family)
	}
}

// encode is what a kubelet sends for the families.
func encode(t *testing.T, format expfmt.FormatType, list []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := expfmt.NewEncoder(&b, expfmt.NewFormat(format))
	for _, family := range list {
		if err := encoder.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// bothFormats gets the answer in both formats and checks them against each other
// and against expfmt's encoders, byte for byte.
func (f *fixture) bothFormats() []*dto.MetricFamily {
	f.t.Helper()
	text, delimited := f.get(resourceMetricsPath), f.get(resourceMetricsPath, "Accept", wantDelimited)
	fromText, list := decode(f.t, text), decode(f.t, delimited)
	if len(fromText) != len(list) {
		f.t.Fatalf("%d families in text, %d in protobuf", len(fromText), len(list))
	}
	for i := range list {
		if !proto.Equal(fromText[i], list[i]) {
			f.t.Errorf("text and protobuf differ:\n%v\n%v", fromText[i], list[i])
		}
	}
	if want := encode(f.t, expfmt.TypeTextPlain, list); !bytes.Equal(text.body, want) {
		f.t.Errorf("text is\n%s\nwhere expfmt has\n%s", text.body, want)
	}
	if want := encode(f.t, expfmt.TypeProtoDelim, list); !bytes.Equal(delimited.body, want) {
		f.t.Errorf("protobuf is\n%q\nwhere expfmt has\n%q", delimited.body, want)
	}
	return list
}

func TestFormatsAgreeWithExpfmt(t *testing.T) {
	f := newFixture(t)
	f.bothFormats()
	f.setPods(variedPods()...)
	for _, step := range []time.Duration{0, 15 * time.Second, 1234567 * time.Microsecond, 3*time.Hour + 1, 120 * 24 * time.Hour} {
		f.clock.Step(step)
		f.bothFormats()
	}
}

func TestFormatsAgreeOnALargeAnswer(t *testing.T) {
	f := newFixture(t)
	f.setPods(benchmarkPods(epoch.Add(-time.Hour))...)
	f.setFaults(ExtraContainers(1000), HugeLabels(100_000))
	f.bothFormats()
}

// TestAnswerLooksLikeARealKubelets compares everything but numbers with the
// answer of a kubelet 1.37.2 that runs two pods with two containers each.
func TestAnswerLooksLikeARealKubelets(t *testing.T) {
	kubelet, err := os.ReadFile("testdata/kubelet-v1.37.2-metrics-resource.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	for _, pod := range []string{"burn-1", "burn-0"} {
		containers := []Container{{Name: "main", CPU: Constant(0.1)}, {Name: "idle", CPU: Constant(0.1)}}
		if err := f.node.AddPod(Pod{Namespace: "default", Name: pod, Containers: containers}); err != nil {
			t.Fatal(err)
		}
	}
	got, want := outline(f.get(resourceMetricsPath).body), outline(kubelet)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// outline replaces the value and the timestamp of each series by "value" and
// "time".
func outline(text []byte) []string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		lines[i] = fields[0] + " value"
		if len(fields) == 3 {
			lines[i] += " time"
		}
	}
	return lines
}

func TestNegotiation(t *testing.T) {
	f := newFixture(t)
	cases := []struct{ accept, want string }{
		{"", textType},
		{"*/*", textType},
		{"text/plain", textType},
		{"application/json", textType},
		{wantDelimited, delimitedType},
		{wantDelimited + ";q=0.9,text/plain;version=0.0.4;q=0.5", delimitedType},
		{wantDelimited + ";q=0.5,text/plain;version=0.0.4;q=0.9", textType},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", textType},
		{wantDelimited + ";escaping=allow-utf-8", strings.Replace(delimitedType, "underscores", "allow-utf-8", 1)},
	}
	for _, c := range cases {
		answer := f.get(resourceMetricsPath, "Accept", c.accept)
		if got := answer.header.Get("Content-Type"); got != c.want {
			t.Errorf("Accept %q: content type %q, want %q", c.accept, got, c.want)
		}
		if got := len(decode(t, answer)); got != 5 { // three of the node, two of errors
			t.Errorf("Accept %q: %d families", c.accept, got)
		}
	}
}

func TestCompression(t *testing.T) {
	f := newFixture(t)
	f.setPods(variedPods()...)
	plain := f.get(resourceMetricsPath)
	for accept, want := range map[string]string{
		"":                     "",
		"identity":             "",
		"br":                   "",
		"gzip;q=0":             "",
		"gzip;q=0.5, identity": "",
		"*":                    "",
		"gzip":                 "gzip",
		"br, GZIP;q=0.8":       "gzip",
		"gzip, identity;q=0.5": "gzip",
	} {
		answer := f.get(resourceMetricsPath, "Accept-Encoding", accept)
		if got := answer.header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: content encoding %q, want %q", accept, got, want)
		}
		body := answer.body
		if want == "gzip" {
			body = decompress(t, body)
		}
		if !bytes.Equal(body, plain.body) {
			t.Errorf("Accept-Encoding %q: the body differs from the plain one", accept)
		}
	}
}

func decompress(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
