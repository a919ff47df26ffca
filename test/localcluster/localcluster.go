// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package localcluster puts a metrics server to work on one machine: a real
// control plane, simulated kubelets whose usage is known, and the server as a
// process of its own, with the rights of its ServiceAccount and no others,
// reached through the aggregation layer with verified certificates.
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Options say what runs.
type Options struct {
	// Server is the path of the metrics server's binary.
	Server string
	// ServerFlags are added to those that the server cannot do without.
	ServerFlags []string
	// Nodes and Pods are how many there are. Pods are spread over nodes and
	// namespaces.
	Nodes, Pods int
	// Log gets the progress, and the server's log.
	Log io.Writer
}

// Local is a running cluster with a metrics server.
type Local struct {
	*cluster.Cluster
	Kubelets *kubeletsim.Simulation
	Server   *cluster.Process
	Workload []Workload

	options    Options
	serverArgs []string
	serverPort int
}

// Start starts everything, and returns when the APIServices are available:
// metrics follow when the nodes have been scraped twice. Stop, or the end of ctx,
// ends it.
func Start(ctx context.Context, o Options) (*Local, error) {
	server, err := filepath.Abs(o.Server) // children have a folder of their own
	if err != nil {
		return nil, err
	}
	o.Server = server
	c, err := cluster.Start(ctx, cluster.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	l := &Local{Cluster: c, options: o}
	if err := l.start(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// Stop ends the server, the kubelets and the control plane, and removes their
// files.
func (l *Local) Stop() {
	l.Cluster.Stop()
	if l.Kubelets != nil {
		l.Kubelets.Close()
	}
}

func (l *Local) start(ctx context.Context) error {
	if err := l.applyRights(ctx); err != nil {
		return err
	}
	if err := l.startKubelets(ctx); err != nil {
		return err
	}
	l.say("creating %d nodes and %d pods", l.options.Nodes, l.options.Pods)
	if err := l.createWorkload(ctx); err != nil {
		return err
	}
	if err := l.prepareServer(ctx); err != nil {
		return err
	}
	if err := l.waitAuthenticationConfig(ctx); err != nil {
		return err
	}
	l.say("starting the metrics server and waiting for its APIServices")
	if err := l.StartServer(); err != nil {
		return err
	}
	return l.waitAvailable(ctx)
}

// waitAvailable fails at once if the server ends.
func (l *Local) waitAvailable(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.Server.Exited():
			cancel(errors.New("the metrics server ended; its log tells why"))
		case <-ctx.Done():
		}
	}()
	return l.WaitAvailable(ctx)
}

// waitAuthenticationConfig waits for what tells servers behind the aggregation
// layer whom to trust. A control plane that has just started writes it piece by
// piece.
func (l *Local) waitAuthenticationConfig(ctx context.Context) error {
	for {
		config, err := l.Client().CoreV1().ConfigMaps("kube-system").Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
		if err == nil && config.Data["requestheader-client-ca-file"] != "" && config.Data["client-ca-file"] != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the configuration of authentication: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// applyRights applies the manifest that users apply.
func (l *Local) applyRights(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join(repository(), "manifests", "base", "rbac.yaml"))
	if err != nil {
		return err
	}
	return l.Apply(ctx, string(manifest))
}

// repository is the folder of the product's sources.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// startKubelets has tokens checked as a kubelet does, by asking the API server.
func (l *Local) startKubelets(ctx context.Context) error {
	ca, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.kubeletCAFile(), ca.PEM(), 0o600); err != nil {
		return err
	}
	reviews := newReviews(ctx, l.Client())
	l.Kubelets, err = kubeletsim.Start(kubeletsim.Options{
		CA: ca, ClientCAs: l.CA().Pool(), Authenticate: reviews.authenticate, Authorize: reviews.authorize,
	})
	return err
}

func (l *Local) kubeletCAFile() string { return filepath.Join(l.Dir(), "kubelet-ca.crt") }

// prepareServer writes the server's files and registers its APIServices.
func (l *Local) prepareServer(ctx context.Context) error {
	var err error
	if l.serverPort, err = cluster.FreePort(); err != nil {
		return err
	}
	cert, key, err := l.CA().IssueServing([]string{"metrics-server.kube-system.svc", "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	token, err := l.ServiceAccountToken(ctx, "kube-system", "metrics-server")
	if err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(l.Dir(), name) }
	for name, content := range map[string][]byte{
		"server.crt": cert, "server.key": key, "server.token": []byte(token),
	} {
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			return err
		}
	}
	config := rest.AnonymousClientConfig(l.AdminConfig())
	config.BearerTokenFile = file("server.token")
	if err := l.WriteKubeconfig(file("server.kubeconfig"), config); err != nil {
		return err
	}
	l.serverArgs = append([]string{
		"--kubeconfig=" + file("server.kubeconfig"),
		"--authentication-kubeconfig=" + file("server.kubeconfig"),
		"--authorization-kubeconfig=" + file("server.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(l.serverPort),
		"--tls-cert-file=" + file("server.crt"),
		"--tls-private-key-file=" + file("server.key"),
		"--kubelet-certificate-authority=" + l.kubeletCAFile(),
		"--kubelet-preferred-address-types=" + string(corev1.NodeInternalIP),
		"--kubelet-use-node-status-port",
	}, l.options.ServerFlags...)
	return l.RegisterAPIServices(ctx, l.serverPort, l.CA().CertPEM())
}

// StartServer starts the metrics server, at first and after it was stopped.
func (l *Local) StartServer() error {
	var err error
	l.Server, err = l.StartProcess("metrics-server", l.options.Server, l.serverArgs, l.options.Log)
	return err
}

// StartAnother starts a second metrics server beside the first, with more flags.
// Nothing is routed to it: it is reached at the URL.
func (l *Local) StartAnother(flags ...string) (p *cluster.Process, url string, err error) {
	port, err := cluster.FreePort()
	if err != nil {
		return nil, "", err
	}
	args := append(slices.Clone(l.serverArgs), append(flags, "--secure-port="+strconv.Itoa(port))...)
	p, err = l.StartProcess(fmt.Sprint("metrics-server-", port), l.options.Server, args, l.options.Log)
	return p, fmt.Sprintf("https://localhost:%d", port), err
}

// ServerURL is where the server itself listens, without the aggregation layer.
func (l *Local) ServerURL() string { return fmt.Sprintf("https://localhost:%d", l.serverPort) }

func (l *Local) say(format string, args ...any) {
	if l.options.Log != nil {
		fmt.Fprintf(l.options.Log, format+"\n", args...)
	}
}
