// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

const armV7 = "linux/arm/v7"

// An oneImage is what a layout with one image is made of.
type oneImage struct {
	config   v1.Image
	platform v1.Platform
	files    []tar.Header
	images   int // in the index
	top      int // indexes in index.json
}

// good is an image without a fault.
func good() *oneImage {
	created := time.Unix(1785000000, 0).UTC()
	arm := v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	i := &oneImage{platform: arm, images: 1, top: 1}
	i.config = v1.Image{Created: &created, Platform: arm}
	i.config.Config.User = "1000:1000"
	i.config.Config.Entrypoint = []string{"/metrics-server"}
	for _, name := range []string{"metrics-server", "sbom.cdx.json", "licenses/std/LICENSE", "licenses/github.com/kubemeter/metrics-server/LICENSE"} {
		i.files = append(i.files, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1_000_000, ModTime: created})
	}
	i.files[0].Mode = 0o755
	i.files = append(i.files, tar.Header{Name: "licenses/", Typeflag: tar.TypeDir, Mode: 0o40755, ModTime: created})
	return i
}

func (i *oneImage) layout(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	add := func(kind string, content []byte) v1.Descriptor {
		d := digest.FromBytes(content)
		files[blob(d)] = &fstest.MapFile{Data: content}
		return v1.Descriptor{MediaType: kind, Digest: d, Size: int64(len(content))}
	}
	encode := func(value any) []byte {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var layer bytes.Buffer
	gz := gzip.NewWriter(&layer)
	tw := tar.NewWriter(gz)
	for _, h := range i.files {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	gz.Close()
	manifest := add(v1.MediaTypeImageManifest, encode(v1.Manifest{
		Config: add(v1.MediaTypeImageConfig, encode(i.config)),
		Layers: []v1.Descriptor{add(v1.MediaTypeImageLayerGzip, layer.Bytes())},
	}))
	manifest.Platform = &i.platform
	index := add(v1.MediaTypeImageIndex, encode(v1.Index{Manifests: slices.Repeat([]v1.Descriptor{manifest}, i.images)}))
	var top v1.Index
	for range i.top {
		top.Manifests = append(top.Manifests, index)
	}
	files["index.json"] = &fstest.MapFile{Data: encode(top)}
	return files
}

func TestAnImageIsInspected(t *testing.T) {
	layout := good().layout(t)
	var out strings.Builder
	if err := inspect(layout, []string{armV7}, &out); err != nil {
		t.Fatal(err)
	}
	var top, index v1.Index
	if err := json.Unmarshal(layout["index.json"].Data, &top); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(layout[blob(top.Manifests[0].Digest)].Data, &index); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("linux/arm/v7 %s 0.0 MB 4.0 MB 1.0 MB", index.Manifests[0].Digest)
	lines := strings.Split(out.String(), "\n")
	if got := strings.Join(strings.Fields(lines[1]), " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.Join(strings.Fields(lines[2]), " "), "all "+top.Manifests[0].Digest.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAFaultyImageIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*oneImage)
		want  string
	}{
		"root":             {func(i *oneImage) { i.config.Config.User = "" }, `as user ""`},
		"by name":          {func(i *oneImage) { i.config.Config.User = "nobody" }, `as user "nobody"`},
		"other program":    {func(i *oneImage) { i.config.Config.Entrypoint = []string{"/sh"} }, `it runs ["/sh"]`},
		"arguments":        {func(i *oneImage) { i.config.Config.Cmd = []string{"--v=9"} }, "--v=9"},
		"no date":          {func(i *oneImage) { i.config.Created = nil }, "it has no date"},
		"other platform":   {func(i *oneImage) { i.config.Architecture = "s390x" }, "image of linux/arm/v7: its own platform is linux/s390x/v7"},
		"no binary":        {func(i *oneImage) { i.files = i.files[1:] }, "metrics-server is missing"},
		"no bill":          {func(i *oneImage) { i.files[1].Name = "sbom" }, "sbom.cdx.json is missing"},
		"no licences":      {func(i *oneImage) { i.files = i.files[:2] }, "licenses/std/LICENSE is missing"},
		"owner":            {func(i *oneImage) { i.files[0].Uid = 1000 }, "metrics-server has owner 1000:0"},
		"group":            {func(i *oneImage) { i.files[4].Gid = 5 }, "licenses/ has owner 0:5"},
		"writable":         {func(i *oneImage) { i.files[0].Mode = 0o775 }, "mode 775"},
		"setuid":           {func(i *oneImage) { i.files[0].Mode = 0o4755 }, "mode 4755"},
		"time of building": {func(i *oneImage) { i.files[1].ModTime = time.Unix(1, 0) }, "time 1, want 0:0, at most 755 and 1785000000"},
		"two indexes":      {func(i *oneImage) { i.top = 2 }, "more than one index"},
		"no index":         {func(i *oneImage) { i.top = 0 }, "or none"},
	} {
		i := good()
		c.spoil(i)
		if err := inspect(i.layout(t), []string{armV7}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestTheOrderOfPlatformsIsChecked(t *testing.T) {
	i := good()
	i.images = 2
	layout := i.layout(t)
	for _, platforms := range [][]string{{armV7}, {armV7, "linux/amd64"}, {"linux/amd64", armV7}} {
		if err := inspect(layout, platforms, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "the index has the platforms [linux/arm/v7 linux/arm/v7], want") {
			t.Errorf("%v: got %v", platforms, err)
		}
	}
	if err := inspect(layout, []string{armV7, armV7}, &strings.Builder{}); err != nil {
		t.Error(err)
	}
}

func TestALayoutThatIsIncompleteIsRefused(t *testing.T) {
	layout := good().layout(t)
	for file := range layout {
		content := layout[file]
		delete(layout, file)
		if err := inspect(layout, []string{armV7}, &strings.Builder{}); err == nil {
			t.Errorf("%s is missing, and nothing was said", file)
		}
		layout[file] = &fstest.MapFile{Data: []byte("{")}
		if err := inspect(layout, []string{armV7}, &strings.Builder{}); err == nil {
			t.Errorf("%s is cut off, and nothing was said", file)
		}
		layout[file] = content
	}
}
