// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBinaries(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if b, err := Binaries(binary, ""); err != nil || len(b) != 1 {
		t.Errorf("%v %v", b, err)
	}
	if _, err := Binaries(binary, binary+"-absent"); err == nil {
		t.Error("a binary that is absent was taken")
	}
}
