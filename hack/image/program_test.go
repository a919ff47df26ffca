// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// list is what go list says of a program of example.com/main with one library.
const list = `
{"ImportPath": "golang.org/x/net/idna", "Dir": "/go/src/vendor/golang.org/x/net/idna", "Root": "/go", "Standard": true}
{"ImportPath": "net", "Dir": "/go/src/net", "Root": "/go", "Standard": true, "Imports": ["vendored/idna"], "ImportMap": {"vendored/idna": "golang.org/x/net/idna"}}
{"ImportPath": "example.com/lib/a", "Dir": "/lib/a", "Imports": ["net", "unsafe"], "Module": {"Path": "example.com/lib", "Version": "v1.2.3", "Dir": "/lib"}}
{"ImportPath": "example.com/lib/b", "Dir": "/lib/b", "Imports": ["example.com/lib/a"], "Module": {"Path": "example.com/lib", "Version": "v1.2.3", "Dir": "/lib"}}
{"ImportPath": "example.com/main", "Dir": "/main", "Imports": ["example.com/lib/b"], "Module": {"Path": "example.com/main", "Dir": "/main", "Main": true}}
`

func buildInfo(deps ...*debug.Module) *debug.BuildInfo {
	return &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "example.com/main", Version: "(devel)"}, Deps: deps}
}

func TestAProgramIsItsLinkedModules(t *testing.T) {
	p, err := newProgram(buildInfo(&debug.Module{Path: "example.com/lib", Version: "v1.2.3", Sum: "h1:AAAA"}), []byte(list))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path, version, sum, root string
		folders, uses            []string
	}{
		{"example.com/lib", "v1.2.3", "h1:AAAA", "/lib", []string{"/lib/a", "/lib/b"}, []string{"std"}},
		{"example.com/main", "", "", "/main", []string{"/main"}, []string{"example.com/lib"}},
		{"std", "go1.26.8", "", "/go", []string{"/go/src/net", "/go/src/vendor/golang.org/x/net/idna"}, nil},
	}
	if len(p.modules) != len(want) {
		t.Fatalf("got %d modules, want %d", len(p.modules), len(want))
	}
	for i, w := range want {
		m := p.modules[i]
		if m.path != w.path || m.version != w.version || m.sum != w.sum || m.root != w.root ||
			!slices.Equal(slices.Sorted(maps.Keys(m.folders)), w.folders) || !slices.Equal(slices.Sorted(maps.Keys(m.uses)), w.uses) {
			t.Errorf("got %+v, want %+v", *m, w)
		}
	}
	if p.main != p.modules[1] {
		t.Error("the main module is another one")
	}
}

func TestWhatIsLinkedAndWhatIsListedMustAgree(t *testing.T) {
	lib := &debug.Module{Path: "example.com/lib", Version: "v1.2.3"}
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		list string
		want string
	}{
		"another version":      {buildInfo(&debug.Module{Path: "example.com/lib", Version: "v1.2.4"}), list, "the binary has example.com/lib v1.2.4"},
		"linked only":          {buildInfo(lib, &debug.Module{Path: "example.com/other", Version: "v1.0.0"}), list, "the binary has example.com/other v1.0.0"},
		"listed only":          {buildInfo(), list, "module example.com/lib is in one"},
		"another main package": {&debug.BuildInfo{Main: debug.Module{Path: "example.com/b"}, Deps: []*debug.Module{lib}}, list, "module example.com/main is in one"},
		"nothing listed":       {buildInfo(), "", "module example.com/main is in one"},
		"replaced": {
			buildInfo(lib),
			strings.ReplaceAll(list, `"Version": "v1.2.3"`, `"Version": "v1.2.3", "Replace": {"Path": "../lib"}`),
			"module example.com/lib is replaced by ../lib",
		},
		"no module": {buildInfo(lib), `{"ImportPath": "x"}`, "package x belongs to no module"},
		"no JSON":   {buildInfo(lib), `{`, "output of go list"},
	} {
		if _, err := newProgram(c.info, []byte(c.list)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
