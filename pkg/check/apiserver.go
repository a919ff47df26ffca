// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
)

// checkAPIServer asks for the version, which everybody may know. Who is refused even
// that cannot see anything else.
func (c *checker) checkAPIServer(ctx context.Context, s *Step) {
	raw, err := c.client.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		c.report.blind = true
		mend := []string{"kubectl cluster-info"}
		if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
			mend = []string{"kubectl auth whoami", comment("log in again, or give another --kubeconfig or --context")}
		}
		s.find(codeAPIServer, "cluster", c.config.Host+": "+plain(reasonOfURL(err).Error()), mend...)
		return
	}
	var v version.Info
	if err := json.Unmarshal(raw, &v); err != nil || v.GitVersion == "" {
		c.report.blind = true
		s.find(codeAPIServer, "cluster", c.config.Host+" does not answer as an API server does: "+plain(string(raw)), "kubectl cluster-info")
		return
	}
	s.fact("%s answers with version %s", c.config.Host, plain(v.GitVersion))
}
