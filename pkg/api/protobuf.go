// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/binary"
	"io"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// protobufFormat is Kubernetes' protobuf: an object is the raw field of a
// runtime.Unknown, after a magic number. The fields are those of the generated.proto
// files of k8s.io/apimachinery and k8s.io/metrics.
type protobufFormat struct{}

const protobufMagic = "k8s\x00"

// The tags of fields with a length are 8 times their number plus 2.
const (
	field1  = 1<<3 | 2
	field2  = 2<<3 | 2
	field3  = 3<<3 | 2
	field4  = 4<<3 | 2
	field5  = 5<<3 | 2
	field6  = 6<<3 | 2
	field8  = 8<<3 | 2
	field11 = 11<<3 | 2
	// varint1 and so on are fields with a number.
	varint1 = 1 << 3
	varint2 = 2 << 3
	varint7 = 7 << 3
)

func (protobufFormat) writeList(w io.Writer, apiVersion string, l *objectList) error {
	// It is as short as this for the same reason as in JSON.
	if _, err := w.Write([]byte(protobufMagic)); err != nil {
		return err
	}
	listMeta := l.ListMeta
	meta, err := listMeta.Marshal()
	if err != nil {
		return err
	}
	b := buffers.Get().(*buffer)
	defer b.free()
	var labels labelText
	b.bytes = appendBytesField(b.bytes, field1, meta)
	size := len(b.bytes)
	// The size of all comes first. To make it once more takes less than to keep it.
	for _, o := range l.all() {
		b.bytes = appendItem(b.bytes[:0], o, &labels)
		size += len(b.bytes)
	}
	b.bytes = appendType(b.bytes[:0], l.kind+"List", apiVersion)
	b.bytes = binary.AppendUvarint(append(b.bytes, field2), uint64(size))
	b.bytes = appendBytesField(b.bytes, field1, meta)
	for _, o := range l.all() {
		b.bytes = appendItem(b.bytes, o, &labels)
		if err := b.flushPiece(w); err != nil {
			return err
		}
	}
	b.bytes = appendContentType(b.bytes)
	return b.flush(w)
}

// appendItem appends an item of a list.
func appendItem(b []byte, o object, labels *labelText) []byte {
	b, start := begin(b, field2)
	return end(o.appendProtobuf(b, labels), start)
}

func (protobufFormat) appendObject(b []byte, apiVersion string, o object) []byte {
	b = append(b, protobufMagic...)
	b = appendType(b, o.kind(), apiVersion)
	b, raw := begin(b, field2)
	b = o.appendProtobuf(b, &labelText{})
	b = end(b, raw)
	return appendContentType(b)
}

// appendEvent appends a WatchEvent, the object of which is a RawExtension.
func (f protobufFormat) appendEvent(b []byte, apiVersion string, t watch.EventType, o object) []byte {
	b = appendStringField(b, field1, string(t))
	b, extension := begin(b, field2)
	b, raw := begin(b, field1)
	b = f.appendObject(b, apiVersion, o)
	b = end(b, raw)
	return end(b, extension)
}

// appendType appends the TypeMeta of a runtime.Unknown.
func appendType(b []byte, kind, apiVersion string) []byte {
	b, start := begin(b, field1)
	b = appendStringField(b, field1, apiVersion)
	b = appendStringField(b, field2, kind)
	return end(b, start)
}

// appendContentType appends the empty content encoding and type of a
// runtime.Unknown.
func appendContentType(b []byte) []byte { return append(b, field3, 0, field4, 0) }

func (o nodeObject) appendProtobuf(b []byte, labels *labelText) []byte {
	b = appendMeta(b, "", o.Name, o.Revision(), o.Timestamp, o.Labels(), labels)
	b = appendSpan(b, o.Timestamp, o.Window)
	return appendUsage(b, field4, &o.Usage)
}

func (o podObject) appendProtobuf(b []byte, labels *labelText) []byte {
	b = appendMeta(b, o.Namespace, o.Name, o.Revision(), o.Timestamp, o.Labels(), labels)
	b = appendSpan(b, o.Timestamp, o.Window)
	for i := range o.Containers {
		c := &o.Containers[i]
		var start int
		b, start = begin(b, field4)
		b = appendStringField(b, field1, c.Name)
		b = appendUsage(b, field2, &c.Usage)
		b = end(b, start)
	}
	return b
}

func appendMeta(b []byte, namespace, name string, revision uint64, created time.Time, set store.Labels, labels *labelText) []byte {
	b, start := begin(b, field1)
	b = appendStringField(b, field1, name)
	b = append(b, field2, 0) // generateName
	b = appendStringField(b, field3, namespace)
	b = append(b, field4, 0, field5, 0) // selfLink, uid
	b, version := begin(b, field6)
	b = strconv.AppendUint(b, revision, 10)
	b = end(b, version)
	b = append(b, varint7, 0) // generation
	b = appendTime(b, field8, created)
	b = append(b, labels.of(set, appendLabels)...)
	return end(b, start)
}

func appendLabels(b []byte, labels store.Labels) []byte {
	for _, label := range labels {
		var start int
		b, start = begin(b, field11)
		b = appendStringField(b, field1, label.Key)
		b = appendStringField(b, field2, label.Value)
		b = end(b, start)
	}
	return b
}

func appendSpan(b []byte, timestamp time.Time, window time.Duration) []byte {
	b = appendTime(b, field2, timestamp)
	b, start := begin(b, field3)
	b = binary.AppendUvarint(append(b, varint1), uint64(window))
	return end(b, start)
}

// appendTime appends seconds. The nanoseconds are always 0.
func appendTime(b []byte, tag byte, t time.Time) []byte {
	b, start := begin(b, tag)
	if !t.IsZero() {
		b = binary.AppendUvarint(append(b, varint1), uint64(t.Unix()))
		b = append(b, varint2, 0)
	}
	return end(b, start)
}

// appendUsage appends a map field of quantities.
func appendUsage(b []byte, tag byte, u *store.Usage) []byte {
	b = appendQuantity(b, tag, "cpu", u.CPU, appendNanocores)
	b = appendQuantity(b, tag, "memory", u.Memory, appendBytes)
	if u.HasSwap {
		b = appendQuantity(b, tag, "swap", u.Swap, appendBytes)
	}
	return b
}

func appendQuantity(b []byte, tag byte, resource string, v uint64, appendTo func([]byte, uint64) []byte) []byte {
	b, entry := begin(b, tag)
	b = appendStringField(b, field1, resource)
	b, quantity := begin(b, field2)
	b, text := begin(b, field1)
	b = appendTo(b, v)
	b = end(b, text)
	b = end(b, quantity)
	return end(b, entry)
}

func appendStringField(b []byte, tag byte, s string) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(s)))
	return append(b, s...)
}

func appendBytesField(b []byte, tag byte, value []byte) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(value)))
	return append(b, value...)
}

// begin opens a field whose length is not known yet, and returns where it starts.
func begin(b []byte, tag byte) (_ []byte, start int) { return append(b, tag, 0), len(b) + 2 }

// end closes it: its length goes before it, and takes more than the byte that is
// there if it is 128 or more.
func end(b []byte, start int) []byte {
	n := len(b) - start
	if n < 1<<7 {
		b[start-1] = byte(n)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	b = append(b, length[1:size]...) // as much room as it takes more
	copy(b[start-1+size:], b[start:start+n])
	copy(b[start-1:], length[:size])
	return b
}
