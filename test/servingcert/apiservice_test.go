// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/test/eventually"
)

func patchAPIService(t *testing.T, name, patch string) {
	t.Helper()
	_, err := apiServiceClient(t).ApiregistrationV1().APIServices().Patch(t.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// register has the APIServices be served by the first server, and by no other.
func register(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(host(local.ServerURL()))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := local.RegisterAPIServices(t.Context(), n, nil); err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the APIServices, the server puts its authorities there at once.
func TestAPIServices(t *testing.T) {
	register(t)
	server := replica{host(local.ServerURL())}
	kept := func(t *testing.T) {
		t.Helper()
		began := time.Now()
		eventually.Succeeds(t, patience, func() error { return checkKept(t, server) })
		t.Logf("after %s", time.Since(began).Round(time.Millisecond))
		if err := local.WaitAvailable(t.Context()); err != nil {
			t.Error(err)
		}
	}
	kept(t)
	v1, v1beta1 := apiServices[0], apiServices[1]
	foreign := newAuthority(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	foreignPatch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/caBundle", "value": %q}]`, base64.StdEncoding.EncodeToString(foreign.CertPEM()))

	t.Run("another bundle", func(t *testing.T) {
		patchAPIService(t, v1, foreignPatch)
		kept(t)
	})
	t.Run("no bundle", func(t *testing.T) {
		patchAPIService(t, v1beta1, `[{"op": "remove", "path": "/spec/caBundle"}]`)
		kept(t)
	})
	t.Run("no verification, for a while", func(t *testing.T) {
		patchAPIService(t, v1, `[{"op": "remove", "path": "/spec/caBundle"}, {"op": "replace", "path": "/spec/insecureSkipTLSVerify", "value": true}]`)
		// The server takes a step after that.
		patchAPIService(t, v1beta1, foreignPatch)
		eventually.Succeeds(t, patience, func() error {
			if !bytes.Equal(bundleOf(t, v1beta1), secret(t)["ca.crt"]) {
				return errors.New("the bundle is another one")
			}
			return nil
		})
		if bundle := bundleOf(t, v1); len(bundle) > 0 {
			t.Errorf("the bundle is %q", bundle)
		}
		patchAPIService(t, v1, `[{"op": "replace", "path": "/spec/insecureSkipTLSVerify", "value": false}]`)
		kept(t)
	})
	t.Run("deleted and made again", func(t *testing.T) {
		if err := apiServiceClient(t).ApiregistrationV1().APIServices().Delete(t.Context(), v1, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		register(t)
		kept(t)
	})
	t.Run("another Service", func(t *testing.T) {
		patchAPIService(t, v1, `[{"op": "replace", "path": "/spec/service/name", "value": "another"}]`)
		eventually.Succeeds(t, patience, func() error { return certificate(t).VerifyHostname("another.kube-system.svc") })
		register(t)
		kept(t)
	})
}
