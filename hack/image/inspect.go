// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// A layout is an OCI image layout.
type layout struct {
	files fs.FS
}

// inspect prints the digests and sizes of the images of a layout that has one
// index of them. It fails if they are not those of the platforms in this order, or
// if one of them is not as a cluster needs it, or differs with the machine that it
// was built on.
func inspect(files fs.FS, platforms []string, stdout io.Writer) error {
	l := layout{files}
	var top, index v1.Index
	if err := l.readJSON("index.json", &top); err != nil {
		return err
	}
	if len(top.Manifests) != 1 || top.Manifests[0].MediaType != v1.MediaTypeImageIndex {
		return errors.New("the layout has more than one index of images, or none")
	}
	if err := l.readJSON(blob(top.Manifests[0].Digest), &index); err != nil {
		return err
	}
	var built []string
	for _, m := range index.Manifests {
		built = append(built, platform(m.Platform))
	}
	if !slices.Equal(built, platforms) {
		return fmt.Errorf("the index has the platforms %v, want %v", built, platforms)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PLATFORM\tDIGEST\tCOMPRESSED\tUNPACKED\tBINARY")
	for i, m := range index.Manifests {
		image, err := l.readImage(m)
		if err != nil {
			return fmt.Errorf("image of %s: %w", platforms[i], err)
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f MB\t%.1f MB\t%.1f MB\n", platforms[i], m.Digest,
			megabytes(image.compressed), megabytes(image.unpacked), megabytes(image.binary))
	}
	fmt.Fprintf(table, "all\t%s\t\t\t\n", top.Manifests[0].Digest)
	return table.Flush()
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

func platform(p *v1.Platform) string {
	if p == nil {
		return "an unknown platform"
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

func blob(d digest.Digest) string {
	return "blobs/" + d.Algorithm().String() + "/" + d.Encoded()
}

func (l layout) readJSON(file string, value any) error {
	text, err := fs.ReadFile(l.files, file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	return nil
}

// An image has sizes in bytes.
type image struct {
	compressed, unpacked, binary int64
}

// readImage reads an image and checks it.
func (l layout) readImage(d v1.Descriptor) (image, error) {
	var manifest v1.Manifest
	var config v1.Image
	if err := l.readJSON(blob(d.Digest), &manifest); err != nil {
		return image{}, err
	}
	if err := l.readJSON(blob(manifest.Config.Digest), &config); err != nil {
		return image{}, err
	}
	if config.OS != d.Platform.OS || config.Architecture != d.Platform.Architecture {
		return image{}, fmt.Errorf("its own platform is %s", platform(&config.Platform))
	}
	if c := config.Config; c.User != "1000:1000" || !slices.Equal(c.Entrypoint, []string{"/metrics-server"}) || len(c.Cmd) != 0 {
		return image{}, fmt.Errorf("it runs %q %q as user %q, want /metrics-server as 1000:1000", c.Entrypoint, c.Cmd, c.User)
	}
	if config.Created == nil {
		return image{}, errors.New("it has no date")
	}
	files := map[string]int64{}
	var size image
	for _, layer := range manifest.Layers {
		size.compressed += layer.Size
		if err := l.readLayer(layer.Digest, config.Created.Unix(), files); err != nil {
			return image{}, err
		}
	}
	for _, bytes := range files {
		size.unpacked += bytes
	}
	size.binary = files["metrics-server"]
	for _, file := range []string{"metrics-server", "sbom.cdx.json", "licenses/std/LICENSE", "licenses/github.com/kubemeter/metrics-server/LICENSE"} {
		if files[file] == 0 {
			return image{}, fmt.Errorf("%s is missing", file)
		}
	}
	return size, nil
}

// readLayer adds the sizes of a layer's files by their names. It fails if a file
// is not root's, if others may write it, or if its time is not that of the image.
func (l layout) readLayer(d digest.Digest, created int64, files map[string]int64) error {
	compressed, err := fs.ReadFile(l.files, blob(d))
	if err != nil {
		return err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return fmt.Errorf("layer %s: %w", d, err)
	}
	for tr := tar.NewReader(unpacked); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", d, err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o7022 != 0 || h.ModTime.Unix() != created {
			return fmt.Errorf("%s has owner %d:%d, mode %o and time %d, want 0:0, at most 755 and %d",
				h.Name, h.Uid, h.Gid, h.Mode&0o7777, h.ModTime.Unix(), created)
		}
		if h.Typeflag != tar.TypeDir {
			files[h.Name] = h.Size
		}
	}
}
