// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"iter"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// object is a node or pod as the store has read it. It stands for the NodeMetrics
// or PodMetrics that GetObject makes. JSON and protobuf do not need that, nor do
// tables and metadata; YAML, CBOR, pretty JSON and a table with whole objects do.
type object interface {
	runtime.Object
	runtime.CacheableObject
	metav1.ObjectMetaAccessor
	kind() string
	timestamp() time.Time
	row() row
	// appendJSON appends the fields as JSON, and the end of the object.
	appendJSON([]byte, *labelText) []byte
	// appendProtobuf appends the message.
	appendProtobuf([]byte, *labelText) []byte
}

const nodeKind, podKind = "NodeMetrics", "PodMetrics"

type nodeObject struct{ *store.NodeUsage }

type podObject struct{ *store.PodUsage }

// GetObjectKind implements runtime.Object: an encoder knows the kind.
func (nodeObject) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// GetObjectKind implements runtime.Object.
func (podObject) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What the store has read does not change.
func (o nodeObject) DeepCopyObject() runtime.Object { return o }

// DeepCopyObject implements runtime.Object.
func (o podObject) DeepCopyObject() runtime.Object { return o }

// GetObject implements runtime.CacheableObject.
func (o nodeObject) GetObject() runtime.Object {
	m := nodeMetrics(o.NodeUsage)
	return &m
}

// GetObject implements runtime.CacheableObject.
func (o podObject) GetObject() runtime.Object {
	m := podMetrics(o.PodUsage)
	return &m
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (o nodeObject) GetObjectMeta() metav1.Object {
	meta := objectMeta(o.Key(), o.Labels().Map(), o.Revision(), o.Timestamp)
	return &meta
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (o podObject) GetObjectMeta() metav1.Object {
	meta := objectMeta(o.Key(), o.Labels().Map(), o.Revision(), o.Timestamp)
	return &meta
}

// CacheEncode implements runtime.CacheableObject.
func (o nodeObject) CacheEncode(id runtime.Identifier, encode encodeFunc, w io.Writer) error {
	return encodeObject(o, id, encode, w)
}

// CacheEncode implements runtime.CacheableObject.
func (o podObject) CacheEncode(id runtime.Identifier, encode encodeFunc, w io.Writer) error {
	return encodeObject(o, id, encode, w)
}

func (nodeObject) kind() string { return nodeKind }
func (podObject) kind() string  { return podKind }

func (o nodeObject) timestamp() time.Time { return o.Timestamp }
func (o podObject) timestamp() time.Time  { return o.Timestamp }

func (o nodeObject) row() row {
	r := row{name: o.Name, window: o.Window}
	r.add(&o.Usage)
	return r
}

func (o podObject) row() row {
	r := row{name: o.Name, window: o.Window}
	for i := range o.Containers {
		r.add(&o.Containers[i].Usage)
	}
	return r
}

// encodeFunc is the library's way to encode an object of the scheme. That of a watch
// encodes an event, and takes an object of ours.
type encodeFunc = func(runtime.Object, io.Writer) error

func encodeObject(o object, id runtime.Identifier, encode encodeFunc, w io.Writer) error {
	if e, ok := encodings[id]; ok {
		return e.writeObject(w, o)
	}
	if e, ok := eventEncodings[id]; ok {
		return e.writeEvent(w, o)
	}
	if strings.HasPrefix(string(id), watchIdentifier) {
		// It makes of the object what the watch asks for, or comes back here with the
		// identifier of the object's own encoder.
		return encode(o, w)
	}
	return encode(o.GetObject(), w)
}

// objectList is a list of nodes or pods, as objects are.
type objectList struct {
	// ListMeta lends the list its methods for protobuf, which know nothing of the
	// items. Nothing must encode the list by them: CacheEncode does.
	metav1.ListMeta
	// Items is what the generic API server looks for in a list.
	Items []object
	// kind of the items.
	kind string
}

// GetObjectKind implements runtime.Object.
func (l *objectList) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (l *objectList) DeepCopyObject() runtime.Object {
	return &objectList{ListMeta: l.ListMeta, Items: slices.Clone(l.Items), kind: l.kind}
}

// GetObject implements runtime.CacheableObject.
func (l *objectList) GetObject() runtime.Object {
	if l.kind == nodeKind {
		list := &metrics.NodeMetricsList{ListMeta: l.ListMeta, Items: make([]metrics.NodeMetrics, len(l.Items))}
		for i, o := range l.Items {
			list.Items[i] = nodeMetrics(o.(nodeObject).NodeUsage)
		}
		return list
	}
	list := &metrics.PodMetricsList{ListMeta: l.ListMeta, Items: make([]metrics.PodMetrics, len(l.Items))}
	for i, o := range l.Items {
		list.Items[i] = podMetrics(o.(podObject).PodUsage)
	}
	return list
}

// CacheEncode implements runtime.CacheableObject.
func (l *objectList) CacheEncode(id runtime.Identifier, encode encodeFunc, w io.Writer) error {
	if e, ok := encodings[id]; ok {
		return e.writeList(w, l)
	}
	return encode(l.GetObject(), w)
}

// readAhead is how many items' names are asked for at once.
const readAhead = 32

// all goes through the items. A name is as good as never in the processor's cache, and
// to wait for one after the other would be a tenth of what a list of all pods costs.
func (l *objectList) all() iter.Seq2[int, object] {
	return func(yield func(int, object) bool) {
		for i, o := range l.Items {
			if i%readAhead == 0 {
				touchNames(l.Items[i:min(i+readAhead, len(l.Items))])
			}
			if !yield(i, o) {
				return
			}
		}
	}
}

func touchNames(items []object) {
	var sum byte
	for _, o := range items {
		if p, ok := o.(podObject); ok && p.Name != "" {
			sum += p.Name[0]
		}
	}
	goruntime.KeepAlive(sum)
}
