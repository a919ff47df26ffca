// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app turns the command line into the configuration of a server.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"github.com/kubemeter/metrics-server/pkg/server"
)

const name = "metrics-server"

// Run runs a server until ctx is cancelled.
type Run func(ctx context.Context, c server.Config) error

// errRun is an error of a server that ran: it is in the log already.
var errRun = errors.New("the server failed")

// Execute runs the command with args and returns the exit code of the process.
// What is wrong with args is printed to stderr, one line per problem, and run is
// not called then. An error of run itself goes to the log.
func Execute(ctx context.Context, args []string, stdout, stderr io.Writer, run Run) int {
	return execute(ctx, newOptions(utilfeature.DefaultMutableFeatureGate), args, stdout, stderr, run)
}

func execute(ctx context.Context, o *options, args []string, stdout, stderr io.Writer, run Run) int {
	cmd := newCommand(stdout, o, run)
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if found := (*checkError)(nil); errors.As(err, &found) {
		if found.err != nil {
			printProblems(stderr, found.err)
		}
		return found.code
	}
	if !errors.Is(err, errRun) {
		printProblems(stderr, err)
	}
	return 1
}

func newCommand(stdout io.Writer, o *options, run Run) *cobra.Command {
	cmd := &cobra.Command{
		Use: name,
		Long: "Kubemeter metrics-server polls every kubelet for the CPU and memory usage of nodes and pods,\n" +
			"and serves the last of it as metrics.k8s.io, which kubectl top and autoscalers read.\n\n" +
			"metrics-server check says what keeps a cluster from having metrics, and how to mend it: see metrics-server check --help.",
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.showVersion {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Get().GitVersion)
				return err
			}
			return o.run(cmd.Context(), run)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainFlag(err) })
	sections := o.flags()
	for _, section := range sections.Order {
		cmd.Flags().AddFlagSet(sections.FlagSets[section])
	}
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns(stdout))
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newCheckCommand(stdout))
	return cmd
}

// allowedValues says what a value of a flag's type looks like.
var allowedValues = map[string]string{
	"bool":     "true or false",
	"duration": "a number with a unit, such as 15s or 1m30s",
	"float":    "a number",
	"float32":  "a number",
	"float64":  "a number",
	"int":      "a whole number",
	"ip":       "an IP address",
}

// explainFlag turns an error of parsing a flag into one that says what is
// allowed, as those of validation do.
func explainFlag(err error) error {
	invalid := (*pflag.InvalidValueError)(nil)
	if !errors.As(err, &invalid) {
		return fmt.Errorf("%w, see --help", err)
	}
	allowed, ok := allowedValues[invalid.GetFlag().Value.Type()]
	if !ok {
		return err
	}
	return badValue(invalid.GetFlag().Name, invalid.GetValue(), "must be %s", allowed)
}

// columns returns the width of a terminal, or 0 for anything else: the lines of
// the help text are not wrapped then.
func columns(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: %s takes flags only, see --help", args[0], name)
	}
	return nil
}

// run checks everything before anything is started.
func (o *options) run(ctx context.Context, run Run) error {
	if err := utilerrors.NewAggregate(o.validate()); err != nil {
		return err
	}
	logs.InitLogs()
	defer logs.FlushLogs()
	if err := o.logging.apply(); err != nil {
		return err
	}
	config, err := o.config()
	if err != nil {
		return err
	}
	klog.InfoS("Starting", "version", version.Get().GitVersion, "metricResolution", config.Resolution, "metricMaxAge", config.MaxAge)
	limitMemory()
	if err := run(ctx, *config); err != nil {
		klog.ErrorS(err, "The server failed")
		return errRun
	}
	return nil
}

func printProblems(w io.Writer, err error) {
	problems := []error{err}
	if aggregate := (utilerrors.Aggregate)(nil); errors.As(err, &aggregate) {
		problems = utilerrors.Flatten(aggregate).Errors()
	}
	for _, problem := range problems {
		fmt.Fprintf(w, "Error: %s\n", strings.Join(strings.Fields(problem.Error()), " "))
	}
}
