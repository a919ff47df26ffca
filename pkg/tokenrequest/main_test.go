// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package tokenrequest

import (
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
