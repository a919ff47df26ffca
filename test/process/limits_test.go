// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"math"
	"strings"
	"testing"
)

func TestFileLimit(t *testing.T) {
	if err := RaiseFileLimit(1); err != nil {
		t.Error(err)
	}
	if err := RaiseFileLimit(math.MaxInt32); err == nil || !strings.Contains(err.Error(), "ulimit") {
		t.Errorf("%v", err)
	}
}
