// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBill writes the bill of materials of a program, whose licences are known,
// to DIRECTORY/sbom.cdx.json. The same program has the same bill: there is no
// serial number, and the time is given.
func (p *program) writeBill(out, version string, created time.Time) error {
	binary, err := os.ReadFile(p.file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(binary)
	p.main.version = version

	bom := cdx.NewBOM()
	main := p.main.component(cdx.ComponentTypeApplication)
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	main.Properties = p.environment()
	bom.Metadata = &cdx.Metadata{
		Timestamp: created.UTC().Format(time.RFC3339),
		Component: &main,
		Supplier:  &cdx.OrganizationalEntity{Name: "The Kubemeter Authors"},
	}
	var components []cdx.Component
	var dependencies []cdx.Dependency
	references := map[string]string{}
	for _, m := range p.modules {
		references[m.path] = m.reference()
	}
	for _, m := range p.modules {
		var uses []string
		for _, path := range slices.Sorted(maps.Keys(m.uses)) {
			uses = append(uses, references[path])
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: m.reference(), Dependencies: &uses})
		if m == p.main {
			continue
		}
		c := m.component(cdx.ComponentTypeLibrary)
		if c.Hashes, err = m.hashes(); err != nil {
			return err
		}
		components = append(components, c)
	}
	bom.Components, bom.Dependencies = &components, &dependencies

	var text bytes.Buffer
	encoder := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	// Not the newest version, which scanners learn to read later.
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("encoding the bill of materials: %w", err)
	}
	return os.WriteFile(filepath.Join(out, "sbom.cdx.json"), text.Bytes(), 0o644)
}

// reference is the package URL of a module. A + would be read as a blank.
func (m *module) reference() string {
	return "pkg:golang/" + m.path + "@" + strings.ReplaceAll(m.version, "+", "%2B") + "?type=module"
}

func (m *module) component(kind cdx.ComponentType) cdx.Component {
	licenses := cdx.Licenses{}
	for _, id := range m.licenses {
		licenses = append(licenses, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	return cdx.Component{
		BOMRef:     m.reference(),
		Type:       kind,
		Name:       m.path,
		Version:    m.version,
		Scope:      cdx.ScopeRequired,
		Licenses:   &licenses,
		PackageURL: m.reference(),
	}
}

// hashes is a module's sum as in go.sum, which is a SHA-256 in base64.
func (m *module) hashes() (*[]cdx.Hash, error) {
	if m.sum == "" {
		return nil, nil
	}
	encoded, ok := strings.CutPrefix(m.sum, "h1:")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, fmt.Errorf("module %s has sum %q, want h1: and a SHA-256 in base64", m.path, m.sum)
	}
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}, nil
}

// environment has what the binary was built for, under the names that are
// registered for it.
func (p *program) environment() *[]cdx.Property {
	var properties []cdx.Property
	for _, s := range p.settings {
		if strings.HasPrefix(s.Key, "GO") || s.Key == "CGO_ENABLED" {
			properties = append(properties, cdx.Property{Name: "cdx:gomod:build:env:" + s.Key, Value: s.Value})
		}
	}
	return &properties
}
