// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
)

// allowed has the licences that what is linked may have: they ask for no more
// than that their text and the notices go with the binary.
var allowed = map[string]bool{
	"Apache-2.0":   true,
	"BSD-2-Clause": true,
	"BSD-3-Clause": true,
	"ISC":          true,
	"MIT":          true,
}

// legalFile matches the names of files that have to go with a binary, and
// licenseFile those among them that must have the text of a licence.
var (
	legalFile   = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)
	licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)`)
)

// boringLicense is that of a library in the standard library which is linked
// with GOEXPERIMENT=boringcrypto only.
const boringLicense = "src/crypto/internal/boring/LICENSE"

// copyLicenses copies the licences and notices of all that is linked to
// DIRECTORY/licenses/MODULE/, and notes what licences each module has.
func (p *program) copyLicenses(texts *classifier.Classifier, out string) error {
	for _, m := range p.modules {
		files, err := m.legalFiles()
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := m.copyLegalFile(texts, file, filepath.Join(out, "licenses", filepath.FromSlash(m.path))); err != nil {
				return err
			}
		}
		if len(m.licenses) == 0 {
			return fmt.Errorf("module %s %s has no licence in %s: it must not be linked", m.path, m.version, m.root)
		}
		slices.Sort(m.licenses)
		m.licenses = slices.Compact(m.licenses)
	}
	return nil
}

// legalFiles lists the licences and notices in the folders of a module's linked
// packages and above them, relative to the module's root.
func (m *module) legalFiles() ([]string, error) {
	folders := map[string]bool{}
	for folder := range m.folders {
		for ; !folders[folder]; folder = filepath.Dir(folder) {
			folders[folder] = true
			if folder == m.root {
				break
			}
			if folder == filepath.Dir(folder) {
				return nil, fmt.Errorf("a package of module %s is not in its folder %s", m.path, m.root)
			}
		}
	}
	var files []string
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("looking for the licence of module %s: %w", m.path, err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() && legalFile.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go") {
				file, err := filepath.Rel(m.root, filepath.Join(folder, e.Name()))
				if err != nil {
					return nil, err
				}
				if m.path != "std" || filepath.ToSlash(file) != boringLicense {
					files = append(files, file)
				}
			}
		}
	}
	return files, nil
}

func (m *module) copyLegalFile(texts *classifier.Classifier, file, out string) error {
	text, err := os.ReadFile(filepath.Join(m.root, file))
	if err != nil {
		return fmt.Errorf("reading a licence of module %s: %w", m.path, err)
	}
	found := licensesIn(texts, text)
	if len(found) == 0 && licenseFile.MatchString(filepath.Base(file)) {
		return fmt.Errorf("%s of module %s %s is no licence that is known", file, m.path, m.version)
	}
	for _, license := range found {
		if !allowed[license] {
			return fmt.Errorf("%s of module %s %s has licence %s: if what it asks for can be done, add it to hack/image/licenses.go", file, m.path, m.version, license)
		}
	}
	m.licenses = append(m.licenses, found...)
	target := filepath.Join(out, file)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, text, fs.FileMode(0o644))
}

// licensesIn returns the SPDX identifiers of the licences that a text has in
// full or by their standard header.
func licensesIn(texts *classifier.Classifier, text []byte) []string {
	var found []string
	for _, match := range texts.Match(text).Matches {
		if match.MatchType == "License" || match.MatchType == "Header" {
			found = append(found, match.Name)
		}
	}
	return found
}
