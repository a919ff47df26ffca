// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/test/eventually"
)

var record = flag.String("record", "", "folder in which TestAnswers makes a folder of the kubelet's answers, named kubelet-VERSION")

// answers are the kubelet's, by the file in which they are recorded.
var answers = []struct {
	file, path, accept string
	format             exposition.Format
}{
	{"metrics-resource.txt", "/metrics/resource", "text/plain", exposition.Text},
	{
		"metrics-resource.delimited.pb", "/metrics/resource",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", exposition.Delimited,
	},
	{"stats-summary-cpu-memory.json", "/stats/summary?only_cpu_and_memory=true", "application/json", exposition.Summary},
}

// TestAnswers decodes what the kubelet answers in each of its formats.
func TestAnswers(t *testing.T) {
	startWorkload(t)
	client := must[*http.Client](t)(rest.HTTPClientFor(node.AdminConfig()))
	defer client.CloseIdleConnections()
	bodies := map[string][]byte{}
	eventually.Succeeds(t, patience, func() error {
		for _, a := range answers {
			body, err := askFor(t.Context(), client, a.path, a.accept)
			if err != nil {
				return err
			}
			samples, err := new(exposition.Decoder).Decode(a.format, body, time.Now())
			if err != nil {
				return err
			}
			if err := checkComplete(samples); err != nil {
				return fmt.Errorf("%s: %w", a.file, err)
			}
			bodies[a.file] = body
		}
		return nil
	})
	if *record == "" {
		return
	}
	dir := filepath.Join(*record, "kubelet-"+node.Version())
	// Those that there are may have values that tests know.
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // All who have the sources may read it.
		t.Fatalf("to record the answers anew, remove the old ones: %v", err)
	}
	for name, body := range bodies {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil { //nolint:gosec // As above.
			t.Fatal(err)
		}
	}
}

// checkComplete has an error unless the node and all containers that run are complete.
func checkComplete(s *exposition.Samples) error {
	const node = exposition.HasCPU | exposition.HasMemory | exposition.HasSwap
	if s.Node.Has != node {
		return fmt.Errorf("the node has %b only", s.Node.Has)
	}
	complete := map[string]bool{}
	for i := range s.Containers {
		c := &s.Containers[i]
		complete[string(c.Namespace)+"/"+string(c.Pod)+"/"+string(c.Name)] = c.Has == node|exposition.HasStart
	}
	for _, u := range steady {
		if !complete[namespace+"/"+u.key()] {
			return fmt.Errorf("%s is not complete", u.key())
		}
	}
	if n := s.Rejected; n != [exposition.NumRejections]int{} {
		return fmt.Errorf("samples are rejected: %v", n)
	}
	return nil
}

// askFor returns a body of the kubelet.
func askFor(ctx context.Context, client *http.Client, path, accept string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+node.Address()+":10250"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, nil
}
