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
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Options say what runs.
type Options struct {
	// Server is the path of the metrics server's binary.
	Server string
	// ServerFlags are added to those that the server cannot do without.
	ServerFlags []string
	// ManagedCertificate has the server keep its serving certificate itself, in the
	// Secret CertificateSecret. Otherwise it gets one that the cluster's CA signed,
	// which is good for localhost, too.
	ManagedCertificate bool
	// Nodes and Pods are how many there are. Pods are spread over the nodes.
	Nodes, Pods int
	// Describe returns the i-th pod, without its node. By default pods belong to a
	// few applications in a few namespaces.
	Describe func(i int) Workload
	// TrustServer has kubelets take the server's own token for good without asking the
	// API server, which a load run must not keep busy. Otherwise the server shows them
	// tokens of the ServiceAccount of the manifests.
	TrustServer bool
	// Observe and Record are kubeletsim's options of these names.
	Observe func(*kubeletsim.Node, kubeletsim.Request)
	Record  func(*kubeletsim.Node, *kubeletsim.Answer)
	// ObserveToken is called with each bearer token that a kubelet is sent, if it is not nil.
	ObserveToken func(token string)
	// Log gets the progress, and the server's log.
	Log io.Writer
}

// Local is a running cluster with a metrics server.
type Local struct {
	*cluster.Cluster
	Kubelets *kubeletsim.Simulation
	Server   *cluster.Process
	Workload []Workload

	options        Options
	serverArgs     []string
	compatibleArgs []string
	serverPort     int
	serverToken    string
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
	l, err := Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// Prepare starts a control plane that is ready for a metrics server, and kubelets:
// all but nodes, pods and the server. Stop, or the end of ctx, ends it.
func Prepare(ctx context.Context, o Options) (*Local, error) {
	if o.Describe == nil {
		started := time.Now().Add(-time.Hour)
		o.Describe = func(i int) Workload { return workload(i, started) }
	}
	c, err := cluster.Start(ctx, cluster.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	l := &Local{Cluster: c, options: o}
	if err := l.prepare(ctx); err != nil {
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

func (l *Local) prepare(ctx context.Context) error {
	if err := l.applyRights(ctx); err != nil {
		return err
	}
	if err := l.startKubelets(ctx); err != nil {
		return err
	}
	if err := l.prepareServer(ctx); err != nil {
		return err
	}
	return l.waitAuthenticationConfig(ctx)
}

func (l *Local) start(ctx context.Context) error {
	if err := l.CreateWorkload(ctx); err != nil {
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

// startKubelets has tokens checked as a kubelet does, by asking the API server,
// unless the server is to be trusted.
func (l *Local) startKubelets(ctx context.Context) error {
	ca, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.Dir(), KubeletCAFile), ca.PEM(), 0o600); err != nil {
		return err
	}
	o := kubeletsim.Options{CA: ca, ClientCAs: l.CA().Pool(), Observe: l.options.Observe, Record: l.options.Record}
	if l.options.TrustServer {
		o.Authenticate = func(token string) bool { return token == l.serverToken }
	} else {
		reviews := newReviews(ctx, l.Client())
		o.Authenticate, o.Authorize = reviews.authenticate, reviews.authorize
		if observe := l.options.ObserveToken; observe != nil {
			o.Authenticate = func(token string) bool {
				observe(token)
				return reviews.authenticate(token)
			}
		}
	}
	l.Kubelets, err = kubeletsim.Start(o)
	return err
}

// prepareServer writes the server's files and registers its APIServices.
func (l *Local) prepareServer(ctx context.Context) error {
	var err error
	if l.serverPort, err = cluster.FreePort(); err != nil {
		return err
	}
	if l.serverToken, err = l.ServiceAccountToken(ctx, "kube-system", "metrics-server"); err != nil {
		return err
	}
	config := l.AnonymousConfig()
	config.BearerToken = l.serverToken
	required, err := ServerFlags(l.Dir(), l.CA(), config, l.serverPort)
	if err != nil {
		return err
	}
	caBundle := l.CA().CertPEM()
	if l.options.ManagedCertificate {
		required, caBundle = append(required, managedCertificateFlags...), nil
	}
	l.compatibleArgs = append(slices.Clone(required), l.options.ServerFlags...)
	if !l.options.TrustServer {
		required = append(required, KubeletServiceAccountFlag)
	}
	l.serverArgs = append(required, l.options.ServerFlags...)
	return l.RegisterAPIServices(ctx, l.serverPort, caBundle)
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

// ServerArgs are those of the metrics server without KubeletServiceAccountFlag, and good for any
// server that is compatible.
func (l *Local) ServerArgs() []string { return slices.Clone(l.compatibleArgs) }

// ServerBinary is the path of the metrics server, which has subcommands, too.
func (l *Local) ServerBinary() string { return l.options.Server }

// ServerURL is where the server itself listens, without the aggregation layer.
func (l *Local) ServerURL() string { return fmt.Sprintf("https://localhost:%d", l.serverPort) }

func (l *Local) say(format string, args ...any) {
	if l.options.Log != nil {
		fmt.Fprintf(l.options.Log, format+"\n", args...)
	}
}
