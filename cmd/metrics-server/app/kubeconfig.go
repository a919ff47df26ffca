// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/pflag"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"
)

const (
	// The API server is read by a few watches, and by bursts only at a start.
	clientQPS   = 50
	clientBurst = 100
)

// kubeconfigOption says how the API server is reached.
type kubeconfigOption struct {
	path string
}

func (o *kubeconfigOption) addFlag(fs *pflag.FlagSet) {
	fs.StringVar(&o.path, "kubeconfig", o.path,
		"kubeconfig file for the connection to the API server, whose credentials are also shown to kubelets, unless there are others for them. "+
			"Without it the service account of the pod is used.")
}

// serviceAccountOf returns the ServiceAccount whose token a client has; its name is "" if it has none's.
// The token is not verified: the API server does.
func serviceAccountOf(client *rest.Config) (name types.NamespacedName) {
	token := client.BearerToken
	if client.BearerTokenFile != "" {
		text, err := os.ReadFile(client.BearerTokenFile)
		if err != nil {
			return name
		}
		token = strings.TrimSpace(string(text))
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return name
	}
	var claims struct{ Sub string }
	if err := json.Unmarshal(text, &claims); err != nil {
		return name
	}
	name.Namespace, name.Name, _ = serviceaccount.SplitUsername(claims.Sub)
	return name
}

// load makes the client of the API server.
func (o *kubeconfigOption) load() (*rest.Config, error) {
	c, err := loadKubeconfig("kubeconfig", o.path)
	if err != nil {
		return nil, err
	}
	setClient(c)
	return c, nil
}

// setClient says who asks, how much, and in which format.
func setClient(c *rest.Config) {
	c.UserAgent = fmt.Sprintf("%s/%s (%s/%s)", name, version.Get().GitVersion, runtime.GOOS, runtime.GOARCH)
	c.ContentType = k8sruntime.ContentTypeProtobuf
	c.AcceptContentTypes = k8sruntime.ContentTypeProtobuf + "," + k8sruntime.ContentTypeJSON
	c.QPS, c.Burst = clientQPS, clientBurst
}

// loadKubeconfig reads the file that a flag names, or takes the service account
// of the pod.
func loadKubeconfig(flag, path string) (*rest.Config, error) {
	if path != "" {
		loader := &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
		file, err := loader.Load()
		if err != nil {
			return nil, badValue(flag, path, "must be a kubeconfig file: %v", err)
		}
		c, err := clientcmd.NewDefaultClientConfig(*file, nil).ClientConfig()
		if err != nil {
			return nil, badValue(flag, path, "must be a usable kubeconfig file: %v", err)
		}
		return c, nil
	}
	c, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, fmt.Errorf("--%s is not given and this is not a pod: give the path of a kubeconfig file, or run in a pod with a service account", flag)
	case err != nil:
		return nil, fmt.Errorf("--%s is not given and the service account of this pod cannot be used: %w", flag, err)
	}
	return c, nil
}
