// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// checkKept compares each object of a release with what the API server returns: a field that it
// drops or writes otherwise would be out of sync for a GitOps tool for ever.
func (r release) checkKept(t *testing.T) {
	t.Helper()
	config := plane.AdminConfig()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(must[*discovery.DiscoveryClient](t)(discovery.NewDiscoveryClientForConfig(config))))
	client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(config))
	for _, o := range objects(t, r.must(t, "get", "manifest", "metrics-server", "--namespace", r.namespace)) {
		kind := o.GroupVersionKind()
		mapping := must[*meta.RESTMapping](t)(mapper.RESTMapping(kind.GroupKind(), kind.Version))
		var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			namespace := o.GetNamespace()
			if namespace == "" {
				namespace = r.namespace
			}
			resource = client.Resource(mapping.Resource).Namespace(namespace)
		}
		live, err := resource.Get(t.Context(), o.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, difference := range differences("", o.Object, live.Object) {
			t.Errorf("%s %s: %s", o.GetKind(), o.GetName(), difference)
		}
	}
}

// differences are what is in a manifest and otherwise in the live object, which may have more.
func differences(path string, manifest, live any) (all []string) {
	switch m := manifest.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, and %v in the API server", path, manifest, live)}
		}
		for key, value := range m {
			if _, ok := l[key]; !ok {
				all = append(all, fmt.Sprintf("%s.%s is %v, and dropped by the API server", path, key, value))
				continue
			}
			all = append(all, differences(path+"."+key, value, l[key])...)
		}
		return all
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(m) {
			return []string{fmt.Sprintf("%s is %v, and %v in the API server", path, manifest, live)}
		}
		for i := range m {
			all = append(all, differences(fmt.Sprint(path, "[", i, "]"), m[i], l[i])...)
		}
		return all
	}
	if !reflect.DeepEqual(manifest, live) && fmt.Sprint(manifest) != fmt.Sprint(live) { // 1 may be an int64 or a float64
		return []string{fmt.Sprintf("%s is %v, and %v in the API server", path, manifest, live)}
	}
	return nil
}
