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

// set takes in one label. A value that is over the bound is an error, whatever
// the label.
func (l *labels) set(name, value []byte) *Error {
	if l.count++; l.count > MaxLabels {
		return tooLargeError("labels in a series", MaxLabels)
	}
	if len(value) > MaxLabelValue {
		return tooLargeError("bytes in the value of label "+quote(name), MaxLabelValue)
	}
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
	return nil
}

func (l *labels) mark(m labelMask) {
	l.repeated = l.repeated || l.seen&m != 0
	l.seen |= m
}

// nameContainer tells whether the labels name a container.
func (l *labels) nameContainer() bool {
	return len(l.namespace) > 0 && len(l.pod) > 0 && len(l.container) > 0 && !l.repeated
}
