// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// WorkloadImage is the image of the containers of tests, and of their sandboxes: the
// program of the folder workload and nothing else.
const WorkloadImage = "localhost/kubemeter/workload:test"

// buildWorkloadImage builds the program, and writes its image as an archive.
func buildWorkloadImage(ctx context.Context, dir string) (archive string, err error) {
	program := filepath.Join(dir, "workload")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./workload")
	_, file, _, _ := runtime.Caller(0)
	build.Dir = filepath.Dir(file)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program of the containers: %w\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	archive = filepath.Join(dir, "workload.tar")
	return archive, writeImage(archive, WorkloadImage, text)
}

// writeImage writes an image of one static program, in the format of docker save.
func writeImage(archive, name string, program []byte) error {
	layer, err := archiveOf(map[string][]byte{"workload": program}, 0o755)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		// As a sandbox, it is given no arguments.
		"config": map[string]any{"Entrypoint": []string{"/workload"}, "Cmd": []string{"idle"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	image, err := archiveOf(map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest}, 0o644)
	if err != nil {
		return err
	}
	return os.WriteFile(archive, image, 0o600)
}

func archiveOf(files map[string][]byte, mode int64) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), w.Close()
}

// ImportImage makes the image of an archive, of docker save or of OCI, known to the
// node under a name.
func (n *Node) ImportImage(ctx context.Context, archive, name string) error {
	out, err := n.ctr(ctx, "images", "import", "--snapshotter", "native", archive)
	if err != nil {
		return fmt.Errorf("import image %s: %w", archive, err)
	}
	// It says "unpacking NAME (DIGEST)...done".
	fields := strings.Fields(out)
	if len(fields) < 2 {
		return fmt.Errorf("import image %s: ctr says %q", archive, out)
	}
	_, err = n.ctr(ctx, "images", "tag", "--force", fields[1], name)
	return err
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", n.path("run/containerd/containerd.sock"), "--namespace", "k8s.io"}, args...)
	out, err := exec.CommandContext(ctx, "ctr", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
