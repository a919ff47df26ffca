// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/apiserver/pkg/server/statusz"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	zpagesfeatures "k8s.io/component-base/zpages/features"
)

const component = "metrics-server"

// installZPages serves /statusz and /flagz as other components of Kubernetes do, with the
// same feature gates. It is called when all other paths are installed: the libraries'
// own /statusz, which it replaces, names them as the component and gives their version.
func (s *server) installZPages() {
	mux := s.api.Handler.NonGoRestfulMux
	if s.flags != nil && utilfeature.DefaultFeatureGate.Enabled(zpagesfeatures.ComponentFlagz) {
		flagz.Install(mux, component, flagz.NamedFlagSetsReader{FlagSets: *s.flags})
	}
	if utilfeature.DefaultFeatureGate.Enabled(zpagesfeatures.ComponentStatusz) {
		mux.Unregister(statusz.DefaultStatuszPath)
		statusz.Install(mux, component, statusz.NewRegistry(nil, statusz.WithListedPaths(s.api.ListedPaths())))
	}
}
