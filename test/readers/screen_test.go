// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// screen is what a program that runs in a terminal shows.
type screen struct{ terminal vt10x.Terminal }

// startScreen runs a program in a terminal of its own until the test ends.
func startScreen(t *testing.T, cmd *exec.Cmd, columns, lines int) screen {
	t.Helper()
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(lines)})
	if err != nil {
		t.Fatal(err)
	}
	// What the terminal answers goes back to the program.
	s := screen{vt10x.New(vt10x.WithSize(columns, lines), vt10x.WithWriter(file))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// A write would want whole characters.
		for out := bufio.NewReader(file); s.terminal.Parse(out) == nil; {
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		<-ended
		file.Close()
	})
	return s
}

// table returns the rows below the first line that has all of these columns: of each row,
// the words that stand below them.
func (s screen) table(columns ...string) (all rows) {
	var places []span
	for line := range strings.Lines(s.terminal.String()) {
		words := wordsOf(line)
		if places == nil {
			places = find(words, columns)
			continue
		}
		if row := below(words, places); !slices.Contains(row, "") {
			all = append(all, row)
		}
	}
	return all
}

// span is a word and its place in a line.
type span struct {
	text       string
	begin, end int
}

// wordsOf returns a line's words, without the frames of boxes.
func wordsOf(line string) (all []span) {
	begin := -1
	characters := append([]rune(line), ' ')
	for i, r := range characters {
		switch space := unicode.IsSpace(r) || '─' <= r && r <= '╿'; {
		case space && begin >= 0:
			all = append(all, span{string(characters[begin:i]), begin, i})
			begin = -1
		case !space && begin < 0:
			begin = i
		}
	}
	return all
}

// withoutArrow removes what tells by which column a table is sorted, or that a value has
// changed.
func (s span) withoutArrow() string { return strings.TrimRight(s.text, "↑↓") }

// find returns the words of these texts, or nil.
func find(words []span, texts []string) (all []span) {
	for _, text := range texts {
		i := slices.IndexFunc(words, func(w span) bool { return w.withoutArrow() == text })
		if i < 0 {
			return nil
		}
		all = append(all, words[i])
	}
	return all
}

// below returns the words that stand in these places: columns are aligned left or right, so
// that what belongs together overlaps.
func below(words, places []span) (all []string) {
	for _, p := range places {
		i := slices.IndexFunc(words, func(w span) bool { return w.begin < p.end && p.begin < w.end })
		if i < 0 {
			return []string{""}
		}
		all = append(all, words[i].withoutArrow())
	}
	return all
}
