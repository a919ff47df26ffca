// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

// labels are the labels of one series, as far as they are read.
type labels struct {
	namespace, pod, container []byte
	seen                      labelMask
	repeated                  bool
	count                     int
}

type labelMask uint8

const (
	seenNamespace labelMask = 1 << iota
	seenPod
	seenContainer
)

// set takes in one label.
func (l *labels) set(name, value []byte) {
	l.count++
	switch string(name) {
	case "namespace":
		l.mark(seenNamespace)
		l.namespace = value
	case "pod":
		l.mark(seenPod)
		l.pod = value
	case "container":
		l.mark(seenContainer)
		l.container = value
	}
}

func (l *labels) mark(m labelMask) {
	l.repeated = l.repeated || l.seen&m != 0
	l.seen |= m
}

// nameContainer tells whether the labels name a container.
func (l *labels) nameContainer() bool {
	return isName(l.namespace) && isName(l.pod) && isName(l.container) && !l.repeated
}

func isName(b []byte) bool { return len(b) > 0 && len(b) <= MaxName }
