// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// Binary is a metrics server that is to be measured.
type Binary struct{ Name, Path string }

// Binaries returns the server and then its peer, if there is one. The error names the
// one that is absent.
func Binaries(server, peer string) ([]Binary, error) {
	all := []Binary{{Name: "server", Path: server}}
	if peer != "" {
		all = append(all, Binary{Name: "peer", Path: peer})
	}
	for i, b := range all {
		path, err := filepath.Abs(b.Path) // they are started in another folder
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("the binary of the %s: %w", b.Name, err)
		}
		all[i].Path = path
	}
	return all, nil
}
