// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
)

// Flags returns the flags of the server and those of its subcommand check, with their
// defaults and by the sections of the help texts. It is for the reference in docs/.
func Flags() (server, check cliflag.NamedFlagSets) {
	newCheckOptions().addFlags(check.FlagSet(checkSection))
	return newOptions(feature.DefaultMutableFeatureGate).flags(), check
}
