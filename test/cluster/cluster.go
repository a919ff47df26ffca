// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// startAttempts is how often Start tries again when another process took a port
// between its choice and its use.
const startAttempts = 3

// Options are what a caller may set for Start.
type Options struct {
	// Log receives a line for each step of a start and of other long work. Nil
	// keeps it silent. It need not be safe for concurrent use.
	Log io.Writer
	// APIServerFlags are added to those of kube-apiserver.
	APIServerFlags []string
}

// Cluster is a running control plane. Its methods are safe for concurrent use,
// except that stopping and starting one component must not overlap.
type Cluster struct {
	*ProcessGroup
	binaries binaries
	ports    ports
	pki      *pki
	admin    *rest.Config
	client   *kubernetes.Clientset
	// bulk creates objects as protobuf, at half the cost of JSON or less.
	bulk *kubernetes.Clientset
	// apiServerFlags are those of the options.
	apiServerFlags []string

	// Those that run now, under mu.
	etcd, apiServer *Process
}

// ports are those of 127.0.0.1 on which the components listen.
type ports struct {
	etcdClient, etcdPeer, apiServer, controllerManager int
}

func choosePorts() (ports, error) {
	p, err := freePorts(4)
	if err != nil {
		return ports{}, err
	}
	return ports{etcdClient: p[0], etcdPeer: p[1], apiServer: p[2], controllerManager: p[3]}, nil
}

// Start builds the control plane's binaries unless they are in the user's cache
// folder, starts them and returns when pods can be created. The cluster lives
// until Stop is called or ctx ends, whichever is first.
//
// The environment variable KUBERNETES chooses the version, as a folder of
// test/controlplane such as v1.34; the default is v1.37.
//
// The first build takes several minutes and needs the go command and a Go
// module proxy; it leaves about 300 MB in the cache folder. If a component ends
// early, the error has the last lines of its log and the path of a copy.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	log := newProgress(o.Log)
	module, err := chosenModule()
	if err != nil {
		return nil, err
	}
	source, err := newControlPlane(module, controlPlaneSet)
	if err != nil {
		return nil, err
	}
	binaries, err := source.binaries(ctx, log)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		ports, err := choosePorts()
		if err != nil {
			return nil, err
		}
		c, err := start(ctx, binaries, ports, o.APIServerFlags, log)
		if errors.Is(err, errPortTaken) && attempt < startAttempts {
			log.printf("a port was taken meanwhile, starting again on others")
			continue
		}
		return c, err
	}
}

// start makes one attempt on the given ports.
func start(ctx context.Context, binaries binaries, ports ports, apiServerFlags []string, log *progress) (*Cluster, error) {
	begin := time.Now()
	group, err := startProcessGroup(ctx, log)
	if err != nil {
		return nil, err
	}
	c := &Cluster{ProcessGroup: group, binaries: binaries, ports: ports, apiServerFlags: apiServerFlags}
	if err := c.startControlPlane(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	log.printf("control plane %s ready in %s", binaries.version, elapsed(begin))
	return c, nil
}

func (c *Cluster) startControlPlane(ctx context.Context) error {
	for _, folder := range []string{"pki", "home"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o700); err != nil {
			return err
		}
	}
	if err := c.writeConfiguration(); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{c.StartEtcd, c.StartAPIServer, c.startControllerManager} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writeConfiguration makes certificates, kubeconfigs and the admin's client.
func (c *Cluster) writeConfiguration() error {
	var err error
	if c.pki, err = newPKI(filepath.Join(c.dir, "pki")); err != nil {
		return err
	}
	if c.admin, err = c.ClientFor("kubernetes-admin", "system:masters"); err != nil {
		return err
	}
	if err := WriteKubeconfig(c.AdminKubeconfig(), c.admin); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return err
	}
	protobuf := c.AdminConfig()
	protobuf.ContentType = runtime.ContentTypeProtobuf
	if c.bulk, err = kubernetes.NewForConfig(protobuf); err != nil {
		return err
	}
	manager, err := c.ClientFor("system:kube-controller-manager")
	if err != nil {
		return err
	}
	return WriteKubeconfig(c.controllerManagerKubeconfig(), manager)
}

// Version returns the version of Kubernetes, such as v1.37.2.
func (c *Cluster) Version() string {
	return c.binaries.version
}

// CA returns the authority that signs the API server's certificate and the
// clients' certificates. It is meant for the certificates of simulated kubelets
// and of servers under test, too.
func (c *Cluster) CA() *CertificateAuthority {
	return c.pki.cluster
}

// Client returns a client of a cluster administrator without a rate limit.
func (c *Cluster) Client() *kubernetes.Clientset {
	return c.client
}
