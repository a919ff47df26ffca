// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// checked is in the TestMain of a package whose leaks are found.
var checked = regexp.MustCompile(`\nfunc TestMain\(m \*testing\.M\) \{[^\n]*(\n\t[^\n]*)*\b(leaktest\.(Main|Run)|localcluster\.RunTests|Main)\(`)

// No package of the repository is forgotten.
func TestEveryPackageIsChecked(t *testing.T) {
	repository := os.DirFS("../..")
	isChecked := map[string]bool{}
	err := fs.WalkDir(repository, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (file == "bin" || file != "." && strings.HasPrefix(entry.Name(), ".")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(repository, file)
		dir := path.Dir(file)
		isChecked[dir] = isChecked[dir] || checked.Match(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, yes := range isChecked {
		if !yes {
			t.Errorf("%s: add a TestMain that calls leaktest.Main", dir)
		}
	}
	if len(isChecked) < 2 {
		t.Errorf("the packages were not found: %v", isChecked)
	}
}
