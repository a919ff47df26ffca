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

// quotedJSON is a value, of strings, numbers, booleans, maps and slices, as one word.
func quotedJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return quoted(string(text))
}

// piped is a command that reads an object, in one line so that it can be pasted whole.
func piped(object any, command string) string {
	return "echo " + quotedJSON(object) + " | " + command
}

// comment is advice that no command follows, for the same shell.
func comment(format string, args ...any) string {
	return "# " + plain(fmt.Sprintf(format, args...))
}
