// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image does what a builder of images does not: contents adds to the
// binary of an image the bill of materials and the licences of what is linked
// into it, and inspect says what an image has come out as.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/google/licenseclassifier/v2/assets"
)

const usage = `usage:
  image contents -binary FILE -package PACKAGE -version VERSION -created SECONDS -out DIRECTORY
  image inspect DIRECTORY PLATFORM...`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch args[0] {
	case "contents":
		return contents(ctx, args[1:])
	case "inspect":
		if len(args) < 3 {
			return fmt.Errorf("inspect takes an OCI layout and its platforms\n%s", usage)
		}
		return inspect(os.DirFS(args[1]), args[2:], stdout)
	}
	return fmt.Errorf("unknown command %q\n%s", args[0], usage)
}

func contents(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("contents", flag.ContinueOnError)
	binary := flags.String("binary", "", "the program, as `FILE`")
	pkg := flags.String("package", "", "the `PACKAGE` that it was built from in the current folder")
	version := flags.String("version", "", "its `VERSION`")
	created := flags.Int64("created", 0, "what the bill has as its date, in `SECONDS` since 1970")
	out := flags.String("out", "", "the `DIRECTORY` that gets sbom.cdx.json and licenses/")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := readProgram(ctx, *binary, *pkg)
	if err != nil {
		return err
	}
	texts, err := assets.DefaultClassifier()
	if err != nil {
		return fmt.Errorf("loading the texts of licences: %w", err)
	}
	if err := p.copyLicenses(texts, *out); err != nil {
		return err
	}
	return p.writeBill(*out, *version, time.Unix(*created, 0))
}
