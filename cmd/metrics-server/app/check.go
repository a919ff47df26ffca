// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/check"
)

// exitNotChecked is the exit code if a check could not be done.
const exitNotChecked = 2

// checkError ends a check with an exit code. err is nil if the report tells why.
type checkError struct {
	code int
	err  error
}

func (e *checkError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

func notChecked(err error) error { return &checkError{exitNotChecked, err} }

// checkOptions are the flags of the subcommand.
type checkOptions struct {
	kubeconfig, context string
	service             types.NamespacedName
	serverURL           string
	sendToken           bool
	node, pod           string
	output              string
}

// newCheckOptions returns the defaults.
func newCheckOptions() *checkOptions {
	return &checkOptions{service: types.NamespacedName{Namespace: "kube-system", Name: name}, output: check.Formats[0]}
}

// checkSection is the section of the help text that has all flags.
const checkSection = "check"

func newCheckCommand(stdout io.Writer) *cobra.Command {
	o := newCheckOptions()
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what keeps a cluster from having metrics, and how to mend it.",
		Long: "Check walks the way of metrics through a cluster, from the API server to the kubelets, and says\n" +
			"what is wrong on it, why that matters, and which command mends it. It changes nothing.\n\n" +
			"The exit code is 0 if there is no problem, 1 if there is one, and 2 if there may be one in what\n" +
			"could not be checked.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return notChecked(fmt.Errorf("unexpected argument %q: %s check takes flags only, see --help", args[0], name))
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return notChecked(explainFlag(err)) })
	var sections cliflag.NamedFlagSets
	o.addFlags(sections.FlagSet(checkSection))
	cmd.Flags().AddFlagSet(sections.FlagSet(checkSection))
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns(stdout))
	return cmd
}

func (o *checkOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolP("help", "h", false, "Print this text and exit.")
	fs.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig,
		"kubeconfig file for the connection to the API server. Without it that of kubectl is used, or in a pod its service account.")
	fs.StringVar(&o.context, "context", o.context, "Context of the kubeconfig file, in place of its current one.")
	fs.StringVarP(&o.service.Namespace, "namespace", "n", o.service.Namespace, "Namespace of the metrics server.")
	fs.StringVar(&o.service.Name, "service", o.service.Name, "Name of the metrics server's Service.")
	fs.StringVar(&o.serverURL, "server-url", o.serverURL,
		"Where the metrics server itself is reached, such as https://localhost:4443. Without it, a port of its pod is forwarded.")
	fs.BoolVar(&o.sendToken, "send-token", o.sendToken,
		"Show your token to the metrics server, too, to read its /status. It is shown only to a server that the API server trusts. "+
			"A client certificate needs no such leave: it gives nothing away.")
	fs.StringVar(&o.node, "node", o.node, "Explain this node only.")
	fs.StringVar(&o.pod, "pod", o.pod, "Explain this pod only, as namespace/name.")
	fs.StringVarP(&o.output, "output", "o", o.output, "Format of the report: "+strings.Join(check.Formats, " or ")+".")
}

func (o *checkOptions) run(cmd *cobra.Command) error {
	config, err := o.config(cmd.ErrOrStderr())
	if err != nil {
		return notChecked(err)
	}
	report, err := check.Run(cmd.Context(), config)
	if err != nil {
		return notChecked(err)
	}
	if err := report.Write(cmd.OutOrStdout(), o.output); err != nil {
		return notChecked(err)
	}
	if code := report.ExitCode(); code != 0 {
		return &checkError{code, nil}
	}
	return nil
}

func (o *checkOptions) config(progress io.Writer) (check.Config, error) {
	c := check.Config{
		Service: o.service, ServerURL: o.serverURL, SendToken: o.sendToken, Node: o.node,
		ParseFlags: parseServerFlags, Progress: progress, Clock: clock.RealClock{},
	}
	if !slices.Contains(check.Formats, o.output) {
		return c, badValue("output", o.output, "must be one of %s", strings.Join(check.Formats, ", "))
	}
	if o.node != "" && o.pod != "" {
		return c, exclusive("node", "pod", "a pod is explained together with its node")
	}
	if o.pod != "" {
		namespace, pod, ok := strings.Cut(o.pod, "/")
		if !ok || namespace == "" || pod == "" {
			return c, badValue("pod", o.pod, "must be the namespace and the name of a pod, such as default/web-0")
		}
		c.Pod = types.NamespacedName{Namespace: namespace, Name: pod}
	}
	if o.serverURL != "" {
		if u, err := url.Parse(o.serverURL); err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return c, badValue("server-url", o.serverURL, "must be a URL with https and a host, such as https://localhost:4443")
		}
	}
	var err error
	c.Client, c.PodName, err = o.load()
	return c, err
}

// load makes the client as kubectl does. In a pod with a service account and without a
// kubeconfig file, it returns the name of the pod, too.
func (o *checkOptions) load() (*rest.Config, types.NamespacedName, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	pod := types.NamespacedName{}
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, pod, badValue("kubeconfig", o.kubeconfig, "must be a kubeconfig file: %v", err)
	}
	config, err := loader.ClientConfig()
	if errors.Is(err, rest.ErrNotInCluster) || clientcmd.IsEmptyConfig(err) {
		return nil, pod, errors.New("there is no kubeconfig file, and this is not a pod: give --kubeconfig, or set KUBECONFIG")
	}
	if err != nil {
		return nil, pod, fmt.Errorf("the kubeconfig file cannot be used: %w", err)
	}
	if len(raw.Clusters) == 0 {
		pod = thisPod()
	}
	setClient(config)
	return config, pod, nil
}

// namespaceFile is where a pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// thisPod is the pod that this runs in; its name is "" if there is none.
func thisPod() types.NamespacedName {
	namespace, err := os.ReadFile(filepath.Clean(namespaceFile))
	if err != nil {
		return types.NamespacedName{}
	}
	host, err := os.Hostname()
	if err != nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: strings.TrimSpace(string(namespace)), Name: host}
}

// parseServerFlags reads what counts of the command line of a server, of this or of another
// version.
func parseServerFlags(args []string, client *rest.Config) (check.Flags, error) {
	metrics, kubelets, servingCert := newMetricsOptions(), newKubeletOptions(), newServingCertOptions()
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.ParseErrorsAllowlist.UnknownFlags = true
	fs.SetOutput(io.Discard)
	metrics.addFlags(fs)
	kubelets.addFlags(fs)
	servingCert.addFlags(fs)
	if err := fs.Parse(args); err != nil {
		return check.Flags{}, err
	}
	selector, err := kubelets.selector()
	if err != nil {
		return check.Flags{}, err
	}
	flags := check.Flags{
		Resolution: metrics.resolution, MaxAge: metrics.age(), NodeSelector: selector,
		Kubelet: kubelets.config(client, metrics.resolution), KubeletServiceAccount: kubelets.serviceAccountName(),
		UsesServerCredentials: kubelets.usesServerCredentials(),
	}
	flags.CAConfigMap, _ = parseName(servingCert.caConfigMap)
	if config := servingCert.config(); config != nil {
		flags.CertificateSecret = config.Secret
	}
	return flags, nil
}
