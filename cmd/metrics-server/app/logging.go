// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	"github.com/spf13/pflag"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
)

func init() {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
}

// loggingFlags has the flag of each field that logsapi.Validate may complain
// about.
var loggingFlags = map[string]string{
	"format":                      "logging-format",
	"flushFrequency":              "log-flush-frequency",
	"verbosity":                   "v",
	"options.text.splitStream":    "log-text-split-stream",
	"options.text.infoBufferSize": "log-text-info-buffer-size",
	"options.json.splitStream":    "log-json-split-stream",
	"options.json.infoBufferSize": "log-json-info-buffer-size",
}

type loggingOptions struct {
	*logsapi.LoggingConfiguration
	gate featuregate.FeatureGate
}

func newLoggingOptions(gate featuregate.FeatureGate) *loggingOptions {
	return &loggingOptions{logsapi.NewLoggingConfiguration(), gate}
}

func (o *loggingOptions) addFlags(fs *pflag.FlagSet) {
	logsapi.AddFlags(o.LoggingConfiguration, fs)
}

func (o *loggingOptions) validate() []error {
	var problems []error
	for _, err := range logsapi.Validate(o.LoggingConfiguration, o.gate, nil) {
		flag, ok := loggingFlags[err.Field]
		if !ok {
			flag = "vmodule" // The others are its list items.
		}
		problem := fmt.Errorf("--%s: %s", flag, err.ErrorBody())
		if flag == "logging-format" {
			problem = fmt.Errorf("%w; allowed are json and text", problem)
		}
		problems = append(problems, problem)
	}
	return problems
}

// apply has the process log as the options say. It works once only.
func (o *loggingOptions) apply() error {
	return logsapi.ValidateAndApply(o.LoggingConfiguration, o.gate)
}
