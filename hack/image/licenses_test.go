// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// Loading the texts takes seconds.
var loadTexts = sync.OnceValues(assets.DefaultClassifier)

func texts(t *testing.T) *classifier.Classifier {
	t.Helper()
	c, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// text is the text of a licence.
func text(t *testing.T, license string) string {
	t.Helper()
	b, err := assets.ReadLicenseFile("License/" + license)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// write writes files into a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// moduleIn is a module in a folder, with packages in some of its folders.
func moduleIn(root string, packages ...string) *module {
	m := &module{path: "example.com/lib", version: "v1.2.3", root: root, folders: map[string]bool{}}
	for _, p := range packages {
		m.folders[filepath.Join(root, p)] = true
	}
	return m
}

func TestLicencesAndNoticesOfWhatIsLinkedAreCopied(t *testing.T) {
	mit, apache := text(t, "MIT/pristine.txt"), text(t, "Apache-2.0/pristine.txt")
	m := moduleIn(write(t, map[string]string{
		"LICENSE":                apache,
		"NOTICE.txt":             "made by somebody",
		"PATENTS":                "granted",
		"license.go":             "package lib",
		"README":                 mit,
		"a/forked/LICENSE-MIT":   mit,
		"a/forked/deep/a.go":     "package deep",
		"notlinked/COPYING":      mit,
		"a/forked/LICENSES/list": "a folder of that name",
	}), "a/forked/deep")
	out := t.TempDir()
	if err := (&program{modules: []*module{m}}).copyLicenses(texts(t), out); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Apache-2.0", "MIT"}; !slices.Equal(m.licenses, want) {
		t.Errorf("got licences %v, want %v", m.licenses, want)
	}
	var got []string
	licenses := os.DirFS(filepath.Join(out, "licenses"))
	err := fs.WalkDir(licenses, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"example.com/lib/LICENSE", "example.com/lib/NOTICE.txt", "example.com/lib/PATENTS",
		"example.com/lib/a/forked/LICENSE-MIT",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got files %v, want %v", got, want)
	}
	if copied, err := fs.ReadFile(licenses, want[3]); err != nil || string(copied) != mit {
		t.Errorf("the licence was not copied as it is: %v", err)
	}
}

func TestTheLicenceOfBoringCryptoIsLeftOut(t *testing.T) {
	m := moduleIn(write(t, map[string]string{
		"LICENSE":     text(t, "BSD-3-Clause/pristine.txt"),
		boringLicense: text(t, "OpenSSL/license.txt"),
	}), "src/crypto/internal/boring")
	if err := (&program{modules: []*module{m}}).copyLicenses(texts(t), t.TempDir()); err == nil {
		t.Error("it was left out of a module that is not the standard library")
	}
	m.path = "std"
	if err := (&program{modules: []*module{m}}).copyLicenses(texts(t), t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestWhatMustNotBeLinkedIsRefused(t *testing.T) {
	mit := text(t, "MIT/pristine.txt")
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no licence":       {map[string]string{"a/a.go": ""}, "module example.com/lib v1.2.3 has no licence"},
		"a notice alone":   {map[string]string{"a/a.go": "", "NOTICE": "made by somebody"}, "has no licence"},
		"an unknown text":  {map[string]string{"a/a.go": "", "LICENSE": "Do what you like."}, "LICENSE of module example.com/lib v1.2.3 is no licence that is known"},
		"one not allowed":  {map[string]string{"a/a.go": "", "LICENSE": text(t, "GPL-2.0/license.txt")}, "has licence GPL-2.0"},
		"one of two known": {map[string]string{"a/a.go": "", "LICENSE": mit, "a/COPYING": text(t, "AGPL-3.0/license.txt")}, "a/COPYING of module example.com/lib v1.2.3 has licence AGPL-3.0"},
	} {
		err := (&program{modules: []*module{moduleIn(write(t, c.files), "a")}}).copyLicenses(texts(t), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
