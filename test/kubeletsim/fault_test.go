// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

var (
	web       = ContainerRef{"ns", "pod", "web"}
	webSeries = "{web/ns/pod}"
)

// newFaultFixture has one pod with one container that started an hour ago.
func newFaultFixture(t *testing.T) *fixture {
	f := newFixture(t)
	f.setPods(Pod{Namespace: "ns", Name: "pod", Containers: []Container{
		{Name: "web", Start: epoch.Add(-time.Hour), CPU: Constant(0.5), Memory: Constant(1000)},
	}})
	f.clock.Step(20 * time.Second)
	return f
}

func (f *fixture) request(ctx context.Context, path string) (response, error) {
	return f.try(newRequest(ctx, f.t, url(f.simulation, f.node, path)))
}

func TestConnectionFaults(t *testing.T) {
	cases := []struct {
		fault Fault
		is    func(error) bool
	}{
		{ConnectionReset(), func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		{WrongName(), isAn[x509.HostnameError]},
		{WrongCA(), isAn[x509.UnknownAuthorityError]},
		{SelfSigned(), func(err error) bool {
			var unknown x509.UnknownAuthorityError
			return errors.As(err, &unknown) && bytes.Equal(unknown.Cert.RawIssuer, unknown.Cert.RawSubject)
		}},
		{Expired(), func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == x509.Expired
		}},
	}
	f := newFaultFixture(t)
	// A client that would resume a session and not look at the certificate.
	f.client = newClient(t, &tls.Config{RootCAs: f.ca.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}, false)
	f.get(resourceMetricsPath)
	for _, c := range cases {
		t.Run(c.fault.String(), func(t *testing.T) {
			f.setFaults(c.fault)
			// The connection of the last round was dropped, or this would succeed.
			if _, err := f.request(t.Context(), resourceMetricsPath); err == nil || !c.is(err) {
				t.Errorf("error = %v", err)
			}
			f.setFaults()
			if answer, err := f.request(t.Context(), resourceMetricsPath); err != nil || answer.status != http.StatusOK {
				t.Errorf("without the fault: status %d, error %v", answer.status, err)
			}
		})
	}
	if got := f.node.Connections(); got != 1+2*len(cases) {
		t.Errorf("connections = %d, want %d", got, 1+2*len(cases))
	}
}

func isAn[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

func TestSlow(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(Slow(5 * time.Second))
	answered := make(chan error, 1)
	go func() {
		_, err := f.request(t.Context(), resourceMetricsPath)
		answered <- err
	}()
	poll(t, "the delay", f.clock.HasWaiters)
	f.clock.Step(4999 * time.Millisecond)
	if !f.clock.HasWaiters() || len(f.node.Requests()) != 0 {
		t.Fatal("answered too early")
	}
	f.clock.Step(time.Millisecond)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestDrip(t *testing.T) {
	f := newFaultFixture(t)
	whole := f.get(resourceMetricsPath).body
	f.setFaults(Drip(len(whole)/2, time.Minute))
	answer, err := f.client.Do(newRequest(t.Context(), t, url(f.simulation, f.node, resourceMetricsPath))) //nolint:bodyclose // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	half := make([]byte, len(whole)/2)
	if _, err := io.ReadFull(answer.Body, half); err != nil || !bytes.Equal(half, whole[:len(half)]) {
		t.Fatalf("first half: %q, error %v", half, err)
	}
	rest := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(answer.Body)
		rest <- b
	}()
	for range (len(whole) - 1) / len(half) {
		poll(t, "the pause", f.clock.HasWaiters)
		f.clock.Step(time.Minute)
	}
	if got := <-rest; !bytes.Equal(got, whole[len(half):]) {
		t.Errorf("second half: %q", got)
	}
}

func TestHang(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(Hang())
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := f.request(ctx, resourceMetricsPath)
		ended <- err
	}()
	poll(t, "the request", func() bool { return f.node.Requests()[Request{resourceMetricsPath, 0}] == 1 })
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

func TestStatusFaults(t *testing.T) {
	f := newFaultFixture(t)
	for _, code := range []int{401, 403, 500, 503} {
		f.setFaults(Status(code))
		for _, path := range []string{resourceMetricsPath, summaryQuery} {
			if got := f.get(path).status; got != code {
				t.Errorf("%s: status = %d, want %d", path, got, code)
			}
		}
	}
	f.setFaults(ResourceMetricsNotFound())
	if got := f.get(resourceMetricsPath).status; got != http.StatusNotFound {
		t.Errorf("status = %d, want 404", got)
	}
	if pods := f.summary().Pods; len(pods) != 1 {
		t.Errorf("%d pods in the summary", len(pods))
	}
}

func TestRandomFailureCanBeRepeated(t *testing.T) {
	f := newFaultFixture(t)
	draw := func(seed uint64) []int {
		f.setFaults(RandomFailure(0.3, seed))
		var codes []int
		for range 200 {
			codes = append(codes, f.get(resourceMetricsPath).status)
		}
		return codes
	}
	first, second, other := draw(1), draw(1), draw(2)
	if !slices.Equal(first, second) || slices.Equal(first, other) {
		t.Error("the seed does not decide which requests fail")
	}
	failed := 0
	for _, code := range first {
		if code == http.StatusInternalServerError {
			failed++
		}
	}
	if failed < 30 || failed > 90 {
		t.Errorf("%d of 200 requests failed, want about 60", failed)
	}
}

func TestBodyFaults(t *testing.T) {
	f := newFaultFixture(t)
	whole := f.get(resourceMetricsPath).body
	cases := []struct {
		fault Fault
		check func(response) bool
	}{
		{HTMLBody(), func(a response) bool {
			return a.err == nil && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && bytes.HasPrefix(a.body, []byte("<!DOCTYPE"))
		}},
		{RandomBody(5000, 1), func(a response) bool {
			return a.err == nil && a.header.Get("Content-Type") == textType && len(a.body) == 5000
		}},
		{TruncatedBody(), func(a response) bool {
			parser := expfmt.NewTextParser(model.UTF8Validation)
			_, err := parser.TextToMetricFamilies(bytes.NewReader(a.body))
			return a.err == nil && err != nil && bytes.HasPrefix(whole, a.body) && len(a.body) > len(whole)/4
		}},
		{TruncatedConnection(), func(a response) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && a.header.Get("Content-Length") == fmt.Sprint(len(whole)) && bytes.Equal(a.body, whole[:len(whole)/2])
		}},
	}
	for _, c := range cases {
		f.setFaults(c.fault)
		if answer := f.get(resourceMetricsPath); answer.status != http.StatusOK || !c.check(answer) {
			t.Errorf("%s: %+v", c.fault, answer)
		}
	}
}

func TestTruncatedConnectionOverHTTP2(t *testing.T) {
	f := newFaultFixture(t)
	f.client = newClient(t, &tls.Config{RootCAs: f.ca.Pool()}, true)
	f.setFaults(TruncatedConnection())
	if answer := f.get(resourceMetricsPath); answer.err == nil || len(answer.body) == 0 {
		t.Errorf("error = %v after %d bytes, want one after some", answer.err, len(answer.body))
	}
}

func TestEndlessBody(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(EndlessBody())
	answer, err := f.client.Do(newRequest(t.Context(), t, url(f.simulation, f.node, resourceMetricsPath)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.CopyN(io.Discard, answer.Body, 50<<20); err != nil {
		t.Errorf("the body ended after %d bytes: %v", n, err)
	}
}

func TestFrozen(t *testing.T) {
	f := newFaultFixture(t)
	before := index(f.bothFormats())
	f.setFaults(Frozen())
	f.clock.Step(time.Minute)
	compare(t, index(f.bothFormats()), before)
	f.setFaults()
	after := index(f.bothFormats())["container_cpu_usage_seconds_total"+webSeries]
	if want := before["container_cpu_usage_seconds_total"+webSeries].value + 30; after.value != want {
		t.Errorf("counter = %v after thawing, want %v", after.value, want)
	}
}

func TestClockSkew(t *testing.T) {
	for _, by := range []time.Duration{90 * time.Second, -90 * time.Second} {
		f := newFaultFixture(t)
		want := index(f.bothFormats())
		for name, s := range want {
			if !s.time.IsZero() {
				s.time = s.time.Add(by)
			} else if strings.HasPrefix(name, "container_start") {
				s.value += by.Seconds()
			}
			want[name] = s
		}
		f.setFaults(ClockSkew(by))
		compare(t, index(f.bothFormats()), want)
	}
}

func TestMissingFamilies(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(MissingFamilies("container_cpu_usage_seconds_total"), MissingFamilies("node_memory_working_set_bytes", "container_start_time_seconds"))
	list := f.bothFormats()
	if len(list) != int(numFamilies)-3 {
		t.Errorf("%d families, want 3 fewer than %d", len(list), numFamilies)
	}
	for name := range index(list) {
		if strings.HasPrefix(name, "container_cpu") || strings.HasPrefix(name, "node_memory") || strings.HasPrefix(name, "container_start") {
			t.Errorf("%s is there", name)
		}
	}
	s := f.summary()
	c := s.Pods[0].Containers[0]
	if c.CPU != nil || s.Node.Memory != nil || !c.StartTime.IsZero() || c.Memory == nil || s.Node.CPU == nil {
		t.Errorf("summary = %+v", s)
	}
}

func TestMissingTimestamps(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(MissingTimestamps())
	for name, s := range index(f.bothFormats()) {
		if !s.time.IsZero() {
			t.Errorf("%s has a time", name)
		}
	}
	if c := f.summary().Pods[0].Containers[0]; !c.CPU.Time.IsZero() || !c.Memory.Time.IsZero() {
		t.Errorf("container in the summary = %+v", c)
	}
}

func TestCounterReset(t *testing.T) {
	f := newFaultFixture(t)
	before := index(f.bothFormats())
	f.setFaults(CounterReset(web))
	f.clock.Step(10 * time.Second)
	after := index(f.bothFormats())
	if got := after["container_cpu_usage_seconds_total"+webSeries].value; got != 5 {
		t.Errorf("counter = %v 10 s after its reset, want 5", got)
	}
	if got, want := after["container_start_time_seconds"+webSeries], before["container_start_time_seconds"+webSeries]; got != want {
		t.Errorf("start = %v, want %v as before", got, want)
	}
	if got := *f.summary().Pods[0].Containers[0].CPU.UsageCoreNanoSeconds; got != 5e9 {
		t.Errorf("counter in the summary = %d", got)
	}
}

func TestZeroContainer(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(ZeroContainer(web))
	all := index(f.bothFormats())
	for _, family := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
		if s, ok := all[family+webSeries]; !ok || s.value != 0 || s.time.IsZero() {
			t.Errorf("%s = %+v", family, s)
		}
	}
}

func TestBadValues(t *testing.T) {
	f := newFaultFixture(t)
	const cpu = "container_cpu_usage_seconds_total"
	sound := f.get(summaryQuery).body
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1.5, 1e300} {
		f.setFaults(BadValue(cpu, web, v), BadValue("node_memory_working_set_bytes", ContainerRef{}, v))
		for _, accept := range []string{"text/plain", wantDelimited} {
			all := index(decode(t, f.get(resourceMetricsPath, "Accept", accept)))
			for _, name := range []string{cpu + webSeries, "node_memory_working_set_bytes{}"} {
				if got := all[name].value; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
					t.Errorf("%s in %s = %v, want %v", name, accept, got, v)
				}
			}
			if got := all["container_memory_working_set_bytes"+webSeries].value; got != 1000 {
				t.Errorf("memory = %v, want it sound", got)
			}
		}
		if !bytes.Equal(f.get(summaryQuery).body, sound) {
			t.Error("the summary is not as before")
		}
	}
}

func TestTooMuch(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(ExtraContainers(300), HugeLabels(10000))
	all := index(f.bothFormats())
	extra := 0
	for name := range all {
		if strings.HasPrefix(name, "container_cpu") && strings.Contains(name, "{extra/") {
			extra++
		}
	}
	if extra != 301 {
		t.Errorf("%d extra containers, want 301", extra)
	}
	if _, ok := all["container_cpu_usage_seconds_total{extra/extra/"+strings.Repeat("x", 10000)+"}"]; !ok {
		t.Error("no huge label")
	}
	if got := len(f.summary().Pods); got != 302 {
		t.Errorf("%d pods in the summary, want 302", got)
	}
}

func TestFaultsCombine(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(ResourceMetricsNotFound(), ClockSkew(time.Minute), TruncatedBody(), ZeroContainer(web), CounterReset(web))
	if got := f.get(resourceMetricsPath).status; got != http.StatusNotFound {
		t.Errorf("status = %d", got)
	}
	body := f.get(summaryQuery).body
	if json.Unmarshal(body, new(stats.Summary)) == nil || !strings.Contains(string(body), `"nodeName"`) {
		t.Errorf("summary = %s, want a truncated one", body)
	}
}

func TestFaultRefusals(t *testing.T) {
	f := newFaultFixture(t)
	stranger := ContainerRef{"ns", "pod", "stranger"}
	f.setFaults(Status(503))
	for _, fault := range []Fault{
		Status(200),
		Drip(0, time.Second),
		RandomFailure(1.5, 1),
		RandomFailure(math.NaN(), 1),
		MissingFamilies("up"),
		CounterReset(stranger),
		ZeroContainer(stranger),
		BadValue("up", web, 1),
		BadValue("container_cpu_usage_seconds_total", stranger, 1),
		BadValue("container_cpu_usage_seconds_total", ContainerRef{}, 1),
		BadValue("node_cpu_usage_seconds_total", web, 1),
	} {
		err := f.node.SetFaults(fault)
		if err == nil || !strings.Contains(err.Error(), fault.String()) || !strings.Contains(err.Error(), "node-1") {
			t.Errorf("%s: error = %v, want one that names the fault and the node", fault, err)
		}
		if got := f.get(resourceMetricsPath).status; got != http.StatusServiceUnavailable {
			t.Fatalf("%s: a refused fault changed the faults", fault)
		}
	}
}
