// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"strings"
)

// quoted is a word for a shell.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:=,@", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// word is anybody's text as one word of a command. No name begins with a dash, which would
// make a flag of it, such as one that leads kubectl to another server.
func word(text string) string { return quoted(strings.TrimLeft(oneLine(text), "- ")) }

// command is a line for a shell. All that is not written here, but comes from the cluster
// or the user, has to be among the words: each becomes one word, or part of one, whatever
// is in it.
func command(format string, words ...string) string {
	all := make([]any, len(words))
	for i, w := range words {
		all[i] = word(w)
	}
	return fmt.Sprintf(format, all...)
}

// inJSON is a value, of strings, numbers, booleans, maps and slices.
func inJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// piped is a command that reads an object, in one line so that it can be pasted whole.
func piped(object any, reader string) string {
	return command("echo %s | ", inJSON(object)) + reader
}

// comment is advice that no command follows, for the same shell.
func comment(format string, args ...any) string {
	return "# " + plain(fmt.Sprintf(format, args...))
}
