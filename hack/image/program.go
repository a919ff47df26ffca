// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
)

// A program is a binary and what is linked into it.
type program struct {
	file     string
	settings []debug.BuildSetting
	// In the order of their paths. The main module is one of them, and so is the
	// standard library, as std.
	modules []*module
	main    *module
}

// A module is one of which at least one package is linked.
type module struct {
	path, version string
	sum           string // as in go.sum, or empty
	root          string
	folders       map[string]bool // of its linked packages
	uses          map[string]bool // paths of modules that its linked packages import
	licenses      []string        // SPDX identifiers
}

// A goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Dir, Root string
	Standard              bool
	Imports               []string
	ImportMap             map[string]string
	Module                *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path string }
	}
}

// readProgram reads what is linked into a binary that was built from a package
// of the current folder, in the environment that it was built in.
func readProgram(ctx context.Context, file, pkg string) (*program, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading what %s was built of: %w", file, err)
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,Root,Standard,Imports,ImportMap,Module", pkg)
	cmd.Stderr = os.Stderr
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what %s imports: %w", pkg, err)
	}
	p, err := newProgram(info, list)
	if err != nil {
		return nil, err
	}
	p.file = file
	return p, nil
}

// newProgram is readProgram of a binary's build information and the output of
// go list. The first says what is linked, and the second where it is; they must
// agree.
func newProgram(info *debug.BuildInfo, list []byte) (*program, error) {
	packages, err := decodePackages(list)
	if err != nil {
		return nil, err
	}
	modules := map[string]*module{}
	owner := map[string]*module{} // by the path of the package
	for _, pkg := range packages {
		m := &module{path: "std", version: info.GoVersion, root: pkg.Root}
		if !pkg.Standard {
			if pkg.Module == nil {
				return nil, fmt.Errorf("package %s belongs to no module", pkg.ImportPath)
			}
			if pkg.Module.Replace != nil {
				return nil, fmt.Errorf("module %s is replaced by %s in go.mod: an image is built of released modules", pkg.Module.Path, pkg.Module.Replace.Path)
			}
			m = &module{path: pkg.Module.Path, version: pkg.Module.Version, root: pkg.Module.Dir}
		}
		if known := modules[m.path]; known != nil {
			m = known
		} else {
			m.folders, m.uses = map[string]bool{}, map[string]bool{}
			modules[m.path] = m
		}
		m.folders[pkg.Dir] = true
		owner[pkg.ImportPath] = m
	}
	for _, pkg := range packages {
		for _, path := range pkg.Imports {
			if mapped, ok := pkg.ImportMap[path]; ok {
				path = mapped
			}
			if m, used := owner[pkg.ImportPath], owner[path]; used != nil && used != m {
				m.uses[used.path] = true
			}
		}
	}
	if err := addSums(modules, info); err != nil {
		return nil, err
	}
	p := &program{settings: info.Settings, main: modules[info.Main.Path]}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		p.modules = append(p.modules, modules[path])
	}
	return p, nil
}

func decodePackages(list []byte) ([]goPackage, error) {
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(list)); ; {
		var pkg goPackage
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the output of go list: %w", err)
		}
		packages = append(packages, pkg)
	}
}

// addSums gives modules their sums. It fails if they are not what is linked.
func addSums(modules map[string]*module, info *debug.BuildInfo) error {
	linked := map[string]bool{"std": true, info.Main.Path: true}
	for _, dep := range info.Deps {
		m := modules[dep.Path]
		if m == nil || m.version != dep.Version {
			return fmt.Errorf("the binary has %s %s, and go list does not: build it from this folder, in this environment", dep.Path, dep.Version)
		}
		m.sum = dep.Sum
		linked[dep.Path] = true
	}
	for _, path := range append(slices.Sorted(maps.Keys(modules)), info.Main.Path) {
		if !linked[path] || modules[path] == nil {
			return fmt.Errorf("module %s is in one of the binary and the output of go list only: build it from this folder, in this environment", path)
		}
	}
	return nil
}
