// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bytes"
	"strings"
	"sync"
)

// Log picks out of a server's log what it says of watches that it has ended.
type Log struct {
	mu    sync.Mutex
	line  []byte // that has begun
	ended []string
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(p) {
		l.line = append(l.line, line...)
		if line[len(line)-1] != '\n' {
			break
		}
		if s := strings.TrimSpace(string(l.line)); strings.Contains(s, "Ended a watch that did not keep up") {
			l.ended = append(l.ended, s)
		}
		l.line = l.line[:0]
	}
	return len(p), nil
}

// lines about watches that were ended so far.
func (l *Log) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended[:len(l.ended):len(l.ended)]
}
