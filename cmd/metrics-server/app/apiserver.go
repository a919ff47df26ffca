// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/version"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	baseversion "k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

// apiServerOptions is the options of the generic API server.
type apiServerOptions struct {
	run            *genericoptions.ServerRunOptions
	serving        *genericoptions.SecureServingOptionsWithLoopback
	authentication *genericoptions.DelegatingAuthenticationOptions
	authorization  *genericoptions.DelegatingAuthorizationOptions
	audit          *genericoptions.AuditOptions
	features       *genericoptions.FeatureOptions
}

func newAPIServerOptions(gate featuregate.MutableVersionedFeatureGate) *apiServerOptions {
	o := &apiServerOptions{
		run:            genericoptions.NewServerRunOptionsForComponent(compatibility.DefaultKubeComponent, newComponents(gate)),
		serving:        genericoptions.NewSecureServingOptions().WithLoopback(),
		authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
		audit:          genericoptions.NewAuditOptions(),
		features:       genericoptions.NewFeatureOptions(),
	}
	// The generic API server does not start without its port.
	o.serving.Required = true
	// Open watches would hold up the end for as long as a request may take.
	o.run.ShutdownWatchTerminationGracePeriod = 5 * time.Second
	return o
}

// newComponents has the feature gates of the Kubernetes libraries, at the
// version of the libraries. The version of this binary, which
// k8s.io/component-base/version has, is another one: gates that went by it would
// take every feature for one of the future and switch it off.
func newComponents(gate featuregate.MutableVersionedFeatureGate) compatibility.ComponentGlobalsRegistry {
	libraries := version.MustParse(baseversion.DefaultKubeBinaryVersion)
	oldest := libraries.SubtractMinor(3) // What Kubernetes itself emulates.
	effective := compatibility.NewEffectiveVersion(libraries, false, oldest, oldest)
	components := compatibility.NewComponentGlobalsRegistry()
	components.ComponentGlobalsOrRegister(compatibility.DefaultKubeComponent, effective, gate)
	return components
}

func (o *apiServerOptions) addGenericFlags(fs *pflag.FlagSet) {
	o.run.AddUniversalFlags(fs)
	// The library's texts are about priority and fairness.
	fs.Lookup("max-requests-inflight").Usage = "How many requests that change nothing are served at the same time, not counting watches. More get status 429. 0 is no limit."
	fs.Lookup("max-mutating-requests-inflight").Usage = "How many requests that may change something are served at the same time. More get status 429. 0 is no limit."
}

// priorityAndFairness is the name of a flag that has no effect.
const priorityAndFairness = "enable-priority-and-fairness"

func (o *apiServerOptions) addFlags(sections *cliflag.NamedFlagSets) {
	o.serving.AddFlags(sections.FlagSet("apiserver secure serving"))
	o.authentication.AddFlags(sections.FlagSet("apiserver authentication"))
	o.authorization.AddFlags(sections.FlagSet("apiserver authorization"))
	o.audit.AddFlags(sections.FlagSet("apiserver audit log"))
	features := sections.FlagSet("features")
	o.features.AddFlags(features)
	features.Lookup(priorityAndFairness).Usage = "Has no effect: it would need the right to read flow schemas. --max-requests-inflight limits requests."
}

// reportIgnored logs flags that were given and have no effect.
func (o *apiServerOptions) reportIgnored(sections *cliflag.NamedFlagSets) {
	if sections.FlagSet("features").Changed(priorityAndFairness) {
		klog.Infof("--%s has no effect: --max-requests-inflight limits requests", priorityAndFairness)
	}
}

func (o *apiServerOptions) validate() []error {
	all := o.validateRun()
	all = append(all, o.serving.Validate()...)
	all = append(all, o.validateServing()...)
	all = append(all, o.authentication.Validate()...)
	all = append(all, o.authorization.Validate()...)
	all = append(all, o.validateDelegation()...)
	all = append(all, o.audit.Validate()...)
	all = append(all, o.validateAudit()...)
	return append(all, o.features.Validate()...)
}

// validateRun puts feature gates into effect: what is validated later depends on
// them.
func (o *apiServerOptions) validateRun() []error {
	if err := o.run.ComponentGlobalsRegistry.Set(); err != nil {
		// Validate would repeat it.
		return []error{fmt.Errorf("--feature-gates, --emulated-version or --min-compatibility-version: %w", err)}
	}
	return o.run.Validate()
}

// validateServing checks what the generic options would find only when applied.
func (o *apiServerOptions) validateServing() []error {
	pair := o.serving.ServerCert.CertKey
	all := problems(checkKeyPair("tls-cert-file", pair.CertFile, "tls-private-key-file", pair.KeyFile))
	for _, sni := range o.serving.SNICertKeys {
		all = append(all, problems(checkKeyPair("tls-sni-cert-key", sni.CertFile, "tls-sni-cert-key", sni.KeyFile))...)
	}
	if _, err := cliflag.TLSVersion(o.serving.MinTLSVersion); err != nil {
		all = append(all, badValue("tls-min-version", o.serving.MinTLSVersion,
			"must be one of %s", strings.Join(cliflag.TLSPossibleVersions(), ", ")))
	}
	if _, err := cliflag.TLSCipherSuites(o.serving.CipherSuites); err != nil {
		all = append(all, badValue("tls-cipher-suites", strings.Join(o.serving.CipherSuites, ","),
			"%v; allowed are the names that --help lists", err))
	}
	if _, err := cliflag.TLSCurvePreferences(o.serving.CurvePreferences); err != nil {
		all = append(all, badValue("tls-curve-preferences", o.serving.CurvePreferences, "%v", err))
	}
	return all
}

func (o *apiServerOptions) validateDelegation() []error {
	return problems(
		checkKubeconfig("authentication-kubeconfig", o.authentication.RemoteKubeConfigFile),
		checkKubeconfig("authorization-kubeconfig", o.authorization.RemoteKubeConfigFile),
		checkCA("client-ca-file", o.authentication.ClientCert.ClientCA),
		checkCA("requestheader-client-ca-file", o.authentication.RequestHeader.ClientCAFile),
	)
}

func (o *apiServerOptions) validateAudit() []error {
	all := problems(checkAuditPolicy("audit-policy-file", o.audit.PolicyFile))
	if file := o.audit.WebhookOptions.ConfigFile; file != "" {
		all = append(all, problems(checkKubeconfig("audit-webhook-config-file", file))...)
	}
	return all
}

// applyTo configures c. It listens, and asks the API server for the CAs of its
// clients.
func (o *apiServerOptions) applyTo(c *genericapiserver.Config) error {
	if err := o.run.ApplyTo(c); err != nil {
		return err
	}
	port := o.serving.BindPort // ApplyTo changes it.
	if err := o.serving.ApplyTo(&c.SecureServing, &c.LoopbackClientConfig); err != nil {
		return fmt.Errorf("--bind-address=%s --secure-port=%d: %w", o.serving.BindAddress, port, err)
	}
	if err := o.authentication.ApplyTo(&c.Authentication, c.SecureServing, c.OpenAPIConfig); err != nil {
		return fmt.Errorf("delegated authentication: %w", err)
	}
	if err := o.authorization.ApplyTo(&c.Authorization); err != nil {
		return fmt.Errorf("delegated authorization: %w", err)
	}
	if err := o.audit.ApplyTo(c); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return o.applyFeatures(c)
}

// selfSign writes a self-signed certificate if none is given.
func (o *apiServerOptions) selfSign() error {
	dir := o.serving.ServerCert.CertDirectory
	if err := o.serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return badValue("cert-dir", dir, "the self-signed serving certificate cannot be written there (%v): "+
			"give a writable directory, or a certificate with --tls-cert-file and --tls-private-key-file", err)
	}
	return nil
}

// applyFeatures leaves priority and fairness out: it needs to read flow schemas,
// which the role of a metrics server does not allow. Requests are bounded by
// --max-requests-inflight instead.
func (o *apiServerOptions) applyFeatures(c *genericapiserver.Config) error {
	features := *o.features
	features.EnablePriorityAndFairness = false
	return features.ApplyTo(c, nil, nil)
}
