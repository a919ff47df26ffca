// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"io"
	"strings"
	"testing"
)

// Credentials are shown where --server-url leads, so that it has to be right.
func TestServerURL(t *testing.T) {
	for _, value := range []string{"http://localhost:4443", "localhost:4443", "https://", "https://:4443", "https:///status", "://x", "metrics-server"} {
		o := newCheckOptions()
		o.serverURL = value
		_, err := o.config(io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), "--server-url="+value+": must be a URL with https and a host, such as ") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
