// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// bigCluster has 5,000 nodes with 30 pods each, which have two containers and
// share their labels with nine others.
var bigCluster = sync.OnceValue(func() *store.Store {
	s := store.New(clock.RealClock{}, 1000*time.Hour)
	now := time.Now()
	for n := range 5000 {
		node := fmt.Sprintf("node-%04d.example.com", n)
		s.SetNode(node, map[string]string{"kubernetes.io/hostname": node, "topology.kubernetes.io/zone": fmt.Sprint("zone-", n%3)})
		for round := range 2 {
			usage := func(i int) exposition.Usage {
				return exposition.Usage{
					Time: now.Add(time.Duration(15*round)*time.Second + time.Duration(i)*time.Millisecond).UnixNano(),
					CPU:  1e12 + uint64(round*(i+1)*123456789), Memory: uint64(i+n+1) << 12, Has: exposition.HasCPU | exposition.HasMemory,
				}
			}
			samples := exposition.Samples{Node: usage(1000)}
			for p := range 30 {
				i := 30*n + p
				namespace, name := fmt.Sprint("namespace-", i%100), fmt.Sprintf("app-%05d-7d4b9c6f5d-%05d", i/1000, i)
				app := fmt.Sprint("app-", i/1000)
				if round == 0 {
					s.SetPod(store.PodMetadata{Namespace: namespace, Name: name, UID: name, Node: node, Labels: map[string]string{
						"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "pod-template-hash": "7d4b9c6f5d",
					}})
				}
				for c, container := range []string{"main", "sidecar"} {
					samples.Containers = append(samples.Containers, exposition.Container{
						Namespace: []byte(namespace), Pod: []byte(name), Name: []byte(container), Usage: usage(2*i + c),
					})
				}
			}
			s.Put(node, &samples, now)
		}
	}
	return s
})

// BenchmarkEncode encodes what has been read from the store, ours from that and
// the library's from the types that it would be given.
func BenchmarkEncode(b *testing.B) {
	s := bigCluster()
	pods, nodes := podsOf(s.Pods(store.Query{})), nodesOf(s.Nodes(store.Query{}))
	for _, bm := range []struct {
		name   string
		object runtime.CacheableObject
	}{
		{"150000 pods", pods},
		{"5000 nodes", nodes},
		{"pod", pods.Items[0].(podObject)},
	} {
		for format, encoder := range encoders() {
			run := func(way string, encode func(io.Writer) error) {
				b.Run(fmt.Sprint(bm.name, "/", format, "/", way), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						w := counter(0)
						if err := encode(&w); err != nil {
							b.Fatal(err)
						}
						b.SetBytes(int64(w))
					}
				})
			}
			run("ours", func(w io.Writer) error { return encoder.Encode(bm.object.(runtime.Object), w) })
			run("library", func(w io.Writer) error { return encoder.Encode(bm.object.GetObject(), w) })
		}
	}
}

func podsOf(l store.List[store.PodUsage]) *objectList {
	list := &objectList{ListMeta: metav1.ListMeta{ResourceVersion: resourceVersion(l.Revision)}, kind: podKind}
	for i := range l.Items {
		list.Items = append(list.Items, podObject{&l.Items[i]})
	}
	return list
}

func nodesOf(l store.List[store.NodeUsage]) *objectList {
	list := &objectList{ListMeta: metav1.ListMeta{ResourceVersion: resourceVersion(l.Revision)}, kind: nodeKind}
	for i := range l.Items {
		list.Items = append(list.Items, nodeObject{&l.Items[i]})
	}
	return list
}

// counter counts what is written.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// BenchmarkServe answers requests over TLS and HTTP/2, by the whole chain of
// handlers. What the client costs is in it.
func BenchmarkServe(b *testing.B) {
	handler, _ := newHandler(b, bigCluster(), clock.RealClock{}, StallLimit)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	b.Cleanup(server.Close)
	for _, path := range []string{"pods", "nodes", "namespaces/namespace-7/pods", "namespaces/namespace-7/pods/app-00001-7d4b9c6f5d-01007"} {
		for _, accept := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf, runtime.ContentTypeJSON + ";as=Table;g=meta.k8s.io;v=v1"} {
			b.Run(path+"/"+accept, func(b *testing.B) {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+prefix+"v1/"+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Accept", accept)
				req.Header.Set("Accept-Encoding", "identity")
				b.ReportAllocs()
				for b.Loop() {
					resp, err := server.Client().Do(req)
					if err != nil || resp.StatusCode != http.StatusOK {
						b.Fatal(resp, err)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					if err != nil {
						b.Fatal(err)
					}
					resp.Body.Close()
					b.SetBytes(n)
				}
			})
		}
	}
}
