// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/utils/ptr"
)

const everything = HasCPU | HasMemory | HasSwap | HasStart

// sentAt is the request time of the tests.
var sentAt = time.Unix(1_800_000_000, 123_456_789)

const (
	textFixture      = "metrics-resource.txt"
	delimitedFixture = "metrics-resource.delimited.pb"
	summaryFixture   = "stats-summary-cpu-memory.json"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "kubelet-v1.37.2", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func decode(t testing.TB, format Format, body []byte) *Samples {
	t.Helper()
	samples, err := new(Decoder).Decode(format, body, sentAt)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return samples
}

func container(namespace, pod, name string, u Usage) Container {
	return Container{Namespace: []byte(namespace), Pod: []byte(pod), Name: []byte(name), Usage: u}
}

func checkSamples(t testing.TB, got, want *Samples) {
	t.Helper()
	if got.Node != want.Node {
		t.Errorf("node:\ngot  %+v\nwant %+v", got.Node, want.Node)
	}
	if got.Rejected != want.Rejected {
		t.Errorf("rejected: got %v, want %v", got.Rejected, want.Rejected)
	}
	if len(got.Containers) != len(want.Containers) {
		t.Fatalf("got %d containers, want %d", len(got.Containers), len(want.Containers))
	}
	for i := range want.Containers {
		if !reflect.DeepEqual(got.Containers[i], want.Containers[i]) {
			t.Errorf("container %d:\ngot  %s\nwant %s", i, show(&got.Containers[i]), show(&want.Containers[i]))
		}
	}
}

func show(c *Container) string {
	b, err := json.Marshal(struct {
		Namespace, Pod, Name string
		Usage                Usage
	}{string(c.Namespace), string(c.Pod), string(c.Name), c.Usage})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// The two fixtures are answers to two requests, 40 ms apart.
func TestMetricsResourceFixtures(t *testing.T) {
	node := Usage{Time: 1795432882440e6, CPU: 3577896618583, Memory: 10431946752, Has: HasCPU | HasMemory | HasSwap}
	t.Run("text", func(t *testing.T) {
		checkSamples(t, decode(t, Text, fixture(t, textFixture)), &Samples{Node: node, Containers: []Container{
			container("default", "burn-0", "idle", Usage{Time: 1795432886647e6, Start: 1795432684176541696, CPU: 18052840, Memory: 1064960, Has: everything}),
			container("default", "burn-1", "idle", Usage{Time: 1795432886643e6, Start: 1795432693165308928, CPU: 13377914, Memory: 1343488, Has: everything}),
			container("default", "burn-0", "main", Usage{Time: 1795432886646e6, Start: 1795432684090613760, CPU: 18072312160, Memory: 22269952, Has: everything}),
			container("default", "burn-1", "main", Usage{Time: 1795432886648e6, Start: 1795432693062884352, CPU: 42133412598, Memory: 54222848, Has: everything}),
		}})
	})
	t.Run("delimited", func(t *testing.T) {
		checkSamples(t, decode(t, Delimited, fixture(t, delimitedFixture)), &Samples{Node: node, Containers: []Container{
			container("default", "burn-0", "idle", Usage{Time: 1795432886684e6, Start: 1795432684176541696, CPU: 18052840, Memory: 1064960, Has: everything}),
			container("default", "burn-1", "idle", Usage{Time: 1795432886677e6, Start: 1795432693165308928, CPU: 13377914, Memory: 1343488, Has: everything}),
			container("default", "burn-0", "main", Usage{Time: 1795432886683e6, Start: 1795432684090613760, CPU: 18077375501, Memory: 22269952, Has: everything}),
			container("default", "burn-1", "main", Usage{Time: 1795432886686e6, Start: 1795432693062884352, CPU: 42133560284, Memory: 54222848, Has: everything}),
		}})
	})
}

func TestBothFormatsOfAnAnswerGiveTheSame(t *testing.T) {
	for format, name := range []string{Text: textFixture, Delimited: delimitedFixture} {
		body := fixture(t, name)
		families, err := expfmtFamilies(Format(format), body)
		if err != nil {
			t.Fatal(err)
		}
		// A Gatherer, as the kubelet has one, sorts families by name.
		slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
		want := decode(t, Format(format), body)
		checkSamples(t, decode(t, Text, encode(t, expfmt.NewFormat(expfmt.TypeTextPlain), families)), want)
		checkSamples(t, decode(t, Delimited, encode(t, expfmt.NewFormat(expfmt.TypeProtoDelim), families)), want)
	}
}

func TestSummaryFixture(t *testing.T) {
	checkSamples(t, decode(t, Summary, fixture(t, summaryFixture)), &Samples{
		Node: Usage{Time: 1795432882e9, CPU: 3577896618583, Memory: 10431946752, Has: HasCPU | HasMemory | HasSwap},
		Containers: []Container{
			container("default", "burn-1", "idle", Usage{Time: 1795432886e9, Start: 1795432693e9, CPU: 13377914, Memory: 1343488, Has: everything}),
			container("default", "burn-1", "main", Usage{Time: 1795432886e9, Start: 1795432693e9, CPU: 42133560284, Memory: 54222848, Has: everything}),
			container("default", "burn-0", "main", Usage{Time: 1795432886e9, Start: 1795432684e9, CPU: 18082000163, Memory: 22269952, Has: everything}),
			container("default", "burn-0", "idle", Usage{Time: 1795432886e9, Start: 1795432684e9, CPU: 18052840, Memory: 1064960, Has: everything}),
		},
	})
}

// The decoder reads a part of the kubelet's types; this holds it to their field
// names.
func TestSummaryOfKubeletTypes(t *testing.T) {
	at := metav1.NewTime(time.Unix(1_700_000_000, 0))
	body, err := json.Marshal(stats.Summary{
		Node: stats.NodeStats{CPU: &stats.CPUStats{Time: at, UsageNanoCores: ptr.To[uint64](9), UsageCoreNanoSeconds: ptr.To[uint64](1)}},
		Pods: []stats.PodStats{{
			PodRef: stats.PodReference{Namespace: "ns", Name: "pod", UID: "uid"},
			CPU:    &stats.CPUStats{Time: at, UsageCoreNanoSeconds: ptr.To[uint64](9)},
			Containers: []stats.ContainerStats{{
				Name:      "c",
				StartTime: metav1.NewTime(time.Unix(1_600_000_000, 0)),
				CPU:       &stats.CPUStats{Time: at, UsageNanoCores: ptr.To[uint64](9), UsageCoreNanoSeconds: ptr.To[uint64](2)},
				Memory:    &stats.MemoryStats{Time: at, UsageBytes: ptr.To[uint64](9), WorkingSetBytes: ptr.To[uint64](MaxBytes)},
				Swap:      &stats.SwapStats{Time: at, SwapAvailableBytes: ptr.To[uint64](9), SwapUsageBytes: ptr.To[uint64](4)},
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	checkSamples(t, decode(t, Summary, body), &Samples{
		Node: Usage{Time: 1_700_000_000e9, CPU: 1, Has: HasCPU},
		Containers: []Container{
			container("ns", "pod", "c", Usage{Time: 1_700_000_000e9, Start: 1_600_000_000e9, CPU: 2, Memory: MaxBytes, Swap: 4, Has: everything}),
		},
	})
}

func TestDecodersAgreeAndAreReusable(t *testing.T) {
	var d Decoder
	for range 3 {
		for format, name := range []string{Text: textFixture, Delimited: delimitedFixture, Summary: summaryFixture} {
			body := fixture(t, name)
			got, err := d.Decode(Format(format), body, sentAt)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkSamples(t, got, decode(t, Format(format), body))
			if _, err := d.Decode(Format(format), body[:len(body)/2], sentAt); err == nil {
				t.Fatalf("%s: half an answer gives no error", name)
			}
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	samples, err := new(Decoder).Decode(Summary+1, fixture(t, textFixture), sentAt)
	if err == nil || samples != nil {
		t.Fatalf("got %v, %v; want an error", samples, err)
	}
}

// A cut answer must not give wrong numbers. Cut between two messages, a
// delimited stream is a sound one, and the length that HTTP tells covers that.
func TestAnswerCutAnywhere(t *testing.T) {
	boundaries := map[int]bool{0: true}
	pb := fixture(t, delimitedFixture)
	for at := 0; at < len(pb); {
		_, n, err := delimitedMessage(pb[at:])
		if err != nil {
			t.Fatal(err)
		}
		at += n
		boundaries[at] = true
	}
	var d Decoder
	for format, name := range []string{Text: textFixture, Delimited: delimitedFixture, Summary: summaryFixture} {
		body := fixture(t, name)
		for n := range body {
			cut := bytes.Clone(body[:n])
			whole := n == 0 || Format(format) == Text && body[n-1] == '\n' || Format(format) == Delimited && boundaries[n]
			_, err := d.Decode(Format(format), cut, sentAt)
			var e *Error
			if !whole && (!errors.As(err, &e) || e.Reason != ReasonTruncated) {
				t.Fatalf("%s cut to %d bytes: got %v, want truncated", name, n, err)
			}
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, answer := range timedAnswers(t) {
		t.Run(answer.name, func(t *testing.T) {
			var d Decoder
			run := func() {
				if _, err := d.Decode(answer.format, answer.body, sentAt); err != nil {
					t.Fatal(err)
				}
			}
			run()
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("got %v allocations, want none", n)
			}
		})
	}
}

func TestLargeAnswerDoesNotStayInMemory(t *testing.T) {
	escaped := strings.Repeat(`node_swap_usage_bytes{l="`+strings.Repeat(`\n`, 1<<10)+"\"} 1\n", 2*maxKeptUnescaped>>10)
	for name, body := range map[string]string{"containers": manyContainers(maxKeptContainers + 1), "escapes": escaped} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			decode := func(body string) {
				if _, err := d.Decode(Text, []byte(body), sentAt); err != nil {
					t.Fatal(err)
				}
			}
			decode(body)
			decode("node_swap_usage_bytes 1\n")
			if kept := cap(d.containers.list); kept > maxKeptContainers {
				t.Errorf("room for %d containers is kept", kept)
			}
			if kept := cap(d.unescaped); kept > maxKeptUnescaped {
				t.Errorf("%d bytes for escapes are kept", kept)
			}
		})
	}
}
