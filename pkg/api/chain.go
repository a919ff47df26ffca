// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// BuildHandlerChain returns what the field of that name of an API server's configuration
// is for: lists are admitted by the memory that there is, and lists and watches whose
// client has not read for a time are ended, so that they hold neither memory nor a
// connection.
func BuildHandlerChain(lists *ListMemory, stallLimit time.Duration) func(http.Handler, *genericapiserver.Config) http.Handler {
	return func(handler http.Handler, config *genericapiserver.Config) http.Handler {
		return withDeadline(genericapiserver.DefaultBuildHandlerChain(
			endStalled(lists.Admit(handler), lists.metrics, stallLimit), config))
	}
}
