// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// reachTimeout bounds a connection to the metrics server.
const reachTimeout = 10 * time.Second

// serverView is what the metrics server itself shows and says.
type serverView struct {
	// chain is the certificates that it has shown, nil if it could not be reached.
	chain []*x509.Certificate
	// known tells whether it has told its status; unknown says why not.
	known   bool
	unknown string
	status  status.Status
	nodes   map[string]*status.Node
	// foreign is set for a metrics server that is not this one: it has no /status.
	foreign bool
	stop    func() // ends the forwarding of a port
}

// ours tells whether the server is this one, and not one that lacks what is asked of it
// for good. what is skipped if that is not known.
func (c *checker) ours(s *Step, what string) bool {
	if !c.view.known && !c.view.foreign {
		s.skip("%s: other metrics servers do without it, and which this is could not be seen (\"Metrics server\")", what)
	}
	return c.view.known
}

func (v *serverView) close() {
	if v.stop != nil {
		v.stop()
	}
}

// flags are those that the server was given. Lists are in brackets.
func (v *serverView) flags() (args []string) {
	for _, name := range slices.Sorted(maps.Keys(v.status.Server.Flags)) {
		value := v.status.Server.Flags[name]
		if list, ok := strings.CutPrefix(value, "["); ok {
			value = strings.TrimSuffix(list, "]")
		}
		args = append(args, "--"+name+"="+value)
	}
	return args
}

// openView connects to the server, looks at its certificate, and asks for its status.
func (c *checker) openView(ctx context.Context) (v serverView) {
	address, stop, err := c.reach(ctx)
	if err != nil {
		v.unknown = plain(err.Error())
		return v
	}
	v.stop = stop
	if v.chain, err = servedChain(ctx, address, c.dnsName()); err != nil {
		v.unknown = "no TLS connection to it: " + plain(err.Error())
		return v
	}
	client, err := c.serverClient(v.chain, address)
	if err != nil {
		v.unknown = plain(err.Error())
		return v
	}
	defer client.CloseIdleConnections()
	if v.status, err = readStatus(ctx, client, "https://"+address); err != nil {
		v.unknown, v.foreign = plain(err.Error()), errors.Is(err, errNoStatus)
		return v
	}
	v.known = true
	v.nodes = make(map[string]*status.Node, len(v.status.Nodes))
	for i := range v.status.Nodes {
		v.nodes[v.status.Nodes[i].Name] = &v.status.Nodes[i]
	}
	return v
}

// reach returns the address of the server: the one that the user gave, or in a cluster that
// of a pod, or else one here that is forwarded to a pod.
func (c *checker) reach(ctx context.Context) (address string, stop func(), err error) {
	if c.ServerURL != "" {
		u, err := url.Parse(c.ServerURL)
		if err != nil {
			return "", nil, err
		}
		port := u.Port()
		if port == "" {
			port = strconv.Itoa(defaultPort)
		}
		return net.JoinHostPort(u.Hostname(), port), nil, nil
	}
	p := c.reachablePod()
	switch {
	case p == nil && c.installation.outside():
		return "", nil, errors.New("it is not in a pod of the Service; give --server-url")
	case p == nil:
		return "", nil, errors.New("no pod of it runs")
	case c.PodName.Name != "" && p.Status.PodIP != "":
		return net.JoinHostPort(p.Status.PodIP, strconv.Itoa(c.podPort(p))), nil, nil
	}
	return c.forward(ctx, types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, c.podPort(p))
}

// reachablePod is one that runs, if possible a ready one; nil if there is none.
func (c *checker) reachablePod() (running *corev1.Pod) {
	for i := range c.installation.pods {
		p := &c.installation.pods[i]
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		if condition := podCondition(p, corev1.PodReady); condition != nil && condition.Status == corev1.ConditionTrue {
			return p
		}
		running = p
	}
	return running
}

// podPort is where a pod of the server listens, as the Service says.
func (c *checker) podPort(p *corev1.Pod) int {
	const usual = 10250
	named := "https"
	if s := c.installation.service; s != nil && len(s.Spec.Ports) > 0 {
		target := s.Spec.Ports[0].TargetPort
		if target.IntVal != 0 {
			return int(target.IntVal)
		}
		named = target.StrVal
	}
	for _, port := range server(&p.Spec).Ports {
		if port.Name == named {
			return int(port.ContainerPort)
		}
	}
	return usual
}

// servedChain is the certificates that are served at an address for a name. Nothing is
// sent there.
func servedChain(ctx context.Context, address, name string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	// It is looked at, not trusted.
	dialer := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates, nil
}

// serverClient shows the user's credentials to the server: a client certificate to
// anyone, because it gives nothing away; a token only if the user wants it, and to who has
// a certificate that the API server accepts.
func (c *checker) serverClient(chain []*x509.Certificate, address string) (*http.Client, error) {
	config := rest.AnonymousClientConfig(c.config)
	config.Host = "https://" + address
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // that is the API server's
	config.TLSClientConfig = rest.TLSClientConfig{ServerName: c.dnsName()}
	tlsConfig := c.config.TLSClientConfig
	config.CertFile, config.CertData, config.KeyFile, config.KeyData = tlsConfig.CertFile, tlsConfig.CertData, tlsConfig.KeyFile, tlsConfig.KeyData
	certificate := len(config.CertData) > 0 || config.CertFile != ""
	if c.SendToken {
		config.BearerToken, config.BearerTokenFile = c.config.BearerToken, c.config.BearerTokenFile
		config.ExecProvider, config.AuthProvider = c.config.ExecProvider, c.config.AuthProvider
	}
	if !certificate && !c.SendToken {
		return nil, errors.New("your credentials are a token, which is not shown to it without --send-token")
	}
	a := c.installation.routed()
	var err error
	if a == nil {
		err = errors.New("no APIService says how to verify it")
	} else if err = c.verifiedBy(chain, a.Spec.CABundle); err == nil {
		config.CAData = a.Spec.CABundle
		return clientFor(config)
	}
	if c.SendToken {
		return nil, fmt.Errorf("your token is not shown to a server with a certificate that the API server would not accept: %w", err)
	}
	config.Insecure, config.ServerName = true, ""
	return clientFor(config)
}

func (c *checker) verifiedBy(chain []*x509.Certificate, bundle []byte) error {
	roots, err := certutil.NewPoolFromBytes(bundle)
	if err != nil {
		return err
	}
	return c.verifyServing(chain, roots)
}

var errNoStatus = errors.New("it has no /status, as other metrics servers")

// readStatus asks for the status of all nodes, and of as many pods as are told.
func readStatus(ctx context.Context, client *http.Client, base string) (s status.Status, err error) {
	answer, err := get(ctx, client, base+"/status?format=json", http.Header{"Accept": {"application/json"}})
	switch {
	case err != nil:
		return s, err
	case answer.status == http.StatusForbidden || answer.status == http.StatusUnauthorized:
		return s, fmt.Errorf("you are not allowed to read its /status (%d): give your user the verb get on the non-resource URL /status", answer.status)
	case answer.status == http.StatusNotFound:
		return s, errNoStatus
	case answer.status != http.StatusOK:
		return s, fmt.Errorf("its /status: %d %s: %s", answer.status, http.StatusText(answer.status), messageOf(answer.body))
	}
	return s, json.Unmarshal(answer.body, &s)
}
