// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/kubemeter/metrics-server/cmd/metrics-server/app"
)

// flagsPage has the flags in the sections of the help texts.
func flagsPage() string {
	server, check := app.Flags()
	var page strings.Builder
	page.WriteString("# Flags\n\nAll flags of `metrics-server`, as `metrics-server --help` prints them. " +
		"A wrong value ends the server at once, with a line that names the flag, the value and what is allowed.\n")
	writeSections(&page, server)
	page.WriteString("\n## The subcommand check\n\n`metrics-server check --help` prints these. None of the others applies to it.\n")
	for _, section := range check.Order {
		writeFlags(&page, check.FlagSets[section])
	}
	return page.String()
}

func writeSections(page *strings.Builder, sections cliflag.NamedFlagSets) {
	for _, section := range sections.Order {
		fmt.Fprintf(page, "\n## %s\n", strings.ToUpper(section[:1])+section[1:])
		writeFlags(page, sections.FlagSets[section])
	}
}

func writeFlags(page *strings.Builder, flags *pflag.FlagSet) {
	t := newTable("flag", "type", "default", "")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind == "" {
			kind = "bool"
		}
		name := code("--" + f.Name)
		if f.Shorthand != "" {
			name += ", " + code("-"+f.Shorthand)
		}
		t.row(name, kind, code(shownDefault(f)), escape(usage))
	})
	page.WriteString("\n" + t.String())
}

// shownDefault is "" for a zero, which says nothing.
func shownDefault(f *pflag.Flag) string {
	if slices.Contains([]string{"0", "0s", "false", "[]", "<nil>"}, f.DefValue) {
		return ""
	}
	return f.DefValue
}
