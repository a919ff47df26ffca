// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// remembered is how many changes are kept for watches that begin again.
const remembered = 20_000

// Change is what watches are told of one object: a node or a pod, of the type that
// Contents has. One that is deleted has its last state. The object is not to be
// written to any more.
type Change struct {
	Type   watch.EventType
	Object object
}

// Change replaces what there is, and tells watches: the changes have to lead from
// what there was to what there is.
func (s *Stub) Change(c Contents, changes ...Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents = c
	s.changes = append(s.changes, changes...)
	s.version += len(changes)
	if extra := len(s.changes) - remembered; extra > 0 {
		s.changes = append([]Change(nil), s.changes[extra:]...)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// news is what has changed, up to a version, of which each change has its own. More is
// closed when there is more.
type news struct {
	changes []Change
	version int
	more    <-chan struct{}
}

// since returns what has changed since a version. It fails if that is too old.
func (s *Stub) since(version int) (*news, *apierrors.StatusError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.version - len(s.changes)
	if version < first && first > s.replaced {
		return nil, apierrors.NewResourceExpired(fmt.Sprintf("version %d is too old: %d is the oldest that is remembered", version, first))
	}
	at := min(max(version-first, 0), len(s.changes))
	return &news{s.changes[at:], s.version, s.changed}, nil
}

// has tells whether an object is one of the collection.
func (c *collection) has(o object) bool {
	_, isNode := o.(*corev1.Node)
	return !c.still && isNode == (c.kind.Kind == "Node")
}
