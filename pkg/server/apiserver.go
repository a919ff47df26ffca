// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/version"

	"github.com/kubemeter/metrics-server/pkg/api"
	"github.com/kubemeter/metrics-server/pkg/api/openapi"
)

const title = "Kubemeter metrics-server"

// NewAPIServerConfig returns what every instance of the API server has in
// common. EffectiveVersion is still to be set, and serving, authentication,
// authorization, audit and feature options are to be applied.
func NewAPIServerConfig() *genericapiserver.Config {
	c := genericapiserver.NewConfig(api.Codecs)
	namer := openapinamer.NewDefinitionNamer(api.Scheme)
	c.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	c.OpenAPIConfig.Info.Title = title
	c.OpenAPIConfig.Info.Version = version.Get().GitVersion
	c.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)
	c.OpenAPIV3Config.Info.Title = title
	c.OpenAPIV3Config.Info.Version = version.Get().GitVersion
	// /metrics is ours: it has our own metrics, too.
	c.EnableMetrics = false
	return c
}
