// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const descriptorDir = "/proc/self/fd"

// openPoller has Go open the descriptors that it waits with for all others, which it
// does once, with the first one.
var openPoller = sync.OnceFunc(func() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(fmt.Sprintf("open a pipe: %v", err))
	}
	r.Close()
	w.Close()
})

// addDescriptors adds all that are open, by number and what they lead to.
func (r resources) addDescriptors() {
	openPoller()
	for _, number := range names(descriptorDir) {
		target, err := os.Readlink(filepath.Join(descriptorDir, number))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed since, as that of the folder itself
		}
		if err != nil {
			panic(fmt.Sprintf("find what is open: %v", err))
		}
		text := fmt.Sprintf("descriptor %s of %s", number, target)
		r[text] = text
	}
}

// names lists a folder of /proc. There is nothing that a test could do without it.
func names(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		panic(fmt.Sprintf("find what leaks: %v", err))
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	if err != nil {
		panic(fmt.Sprintf("find what leaks: %v", err))
	}
	return all
}
