// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// billed is a program with one library.
func billed(t *testing.T) *program {
	t.Helper()
	main := &module{path: "example.com/main", uses: map[string]bool{"example.com/lib": true}, licenses: []string{"Apache-2.0"}}
	lib := &module{
		path: "example.com/lib", version: "v2.0.0+incompatible", uses: map[string]bool{}, licenses: []string{"BSD-3-Clause", "MIT"},
		sum: "h1:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", // SHA-256 of "hello world"
	}
	return &program{
		file:     filepath.Join(write(t, map[string]string{"binary": "hello world"}), "binary"),
		main:     main,
		modules:  []*module{lib, main},
		settings: []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "GOARCH", Value: "arm64"}, {Key: "CGO_ENABLED", Value: "0"}},
	}
}

func TestABillSaysWhatIsLinked(t *testing.T) {
	const sum = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
	out := t.TempDir()
	if err := billed(t).writeBill(out, "v0.1.0+dev", time.Unix(1785000000, 0)); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(out, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(file), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	main := bom.Metadata.Component
	if main.Name != "example.com/main" || main.Version != "v0.1.0+dev" || main.Type != cdx.ComponentTypeApplication ||
		(*main.Hashes)[0].Value != sum || (*main.Licenses)[0].License.ID != "Apache-2.0" {
		t.Errorf("got main component %+v", *main)
	}
	if p := *main.Properties; len(p) != 2 || p[0].Name != "cdx:gomod:build:env:GOARCH" || p[0].Value != "arm64" || p[1].Name != "cdx:gomod:build:env:CGO_ENABLED" {
		t.Errorf("got properties %+v", p)
	}
	if bom.Metadata.Timestamp != "2026-07-25T17:20:00Z" || bom.SerialNumber != "" {
		t.Errorf("got time %s and serial number %q", bom.Metadata.Timestamp, bom.SerialNumber)
	}
	if len(*bom.Components) != 1 {
		t.Fatalf("got %d components, want 1", len(*bom.Components))
	}
	lib := (*bom.Components)[0]
	const url = "pkg:golang/example.com/lib@v2.0.0%2Bincompatible?type=module"
	if lib.PackageURL != url || lib.BOMRef != url || lib.Version != "v2.0.0+incompatible" || (*lib.Hashes)[0].Value != sum || len(*lib.Licenses) != 2 {
		t.Errorf("got component %+v", lib)
	}
	for _, d := range *bom.Dependencies {
		if d.Ref == main.BOMRef && (len(*d.Dependencies) != 1 || (*d.Dependencies)[0] != url) {
			t.Errorf("the main component depends on %v", *d.Dependencies)
		}
	}
}

func TestAProgramHasOneBill(t *testing.T) {
	var bills [2][]byte
	for i := range bills {
		out := t.TempDir()
		if err := billed(t).writeBill(out, "v0.1.0", time.Unix(1785000000, 0)); err != nil {
			t.Fatal(err)
		}
		var err error
		if bills[i], err = os.ReadFile(filepath.Join(out, "sbom.cdx.json")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(bills[0], bills[1]) {
		t.Error("two bills of one program differ")
	}
}

func TestASumThatIsNoneIsRefused(t *testing.T) {
	for _, sum := range []string{"h2:AAAA", "h1:!"} {
		p := billed(t)
		p.modules[0].sum = sum
		if err := p.writeBill(t.TempDir(), "v0.1.0", time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "module example.com/lib has sum") {
			t.Errorf("%s: got %v", sum, err)
		}
	}
}
