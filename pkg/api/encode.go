// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"io"
	"sync"
	"unsafe"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/metrics/pkg/apis/metrics/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// What is asked for most, JSON and protobuf, is written straight from what the
// store has read. The library would make a map of each container's usage, and a
// number of any precision of each value, which takes ten times as long. The bytes
// are those that the library writes; all else is left to it.

// encoding is a version of the API in a format.
type encoding struct {
	apiVersion string
	format     format
}

// format writes objects.
type format interface {
	// writeList writes a list to w, in pieces.
	writeList(w io.Writer, apiVersion string, l *objectList) error
	// appendObject appends an object that stands alone.
	appendObject(b []byte, apiVersion string, o object) []byte
	// appendEvent appends an object as an event of a watch has it.
	appendEvent(b []byte, apiVersion string, t watch.EventType, o object) []byte
}

var formats = map[string]format{
	runtime.ContentTypeJSON:     jsonFormat{},
	runtime.ContentTypeProtobuf: protobufFormat{},
}

// eventEncoding is how a watch writes events of a type.
type eventEncoding struct {
	encoding
	event watch.EventType
}

// encodings and eventEncodings are those that need no library, by what their
// encoder in the generic API server has for an identifier.
var encodings, eventEncodings = identify()

// watchIdentifier begins the identifiers of a watch's encoders, which encode an
// object by handing it to other encoders.
const watchIdentifier = `{"name":"watch`

func identify() (map[runtime.Identifier]encoding, map[runtime.Identifier]eventEncoding) {
	objects, events := map[runtime.Identifier]encoding{}, map[runtime.Identifier]eventEncoding{}
	for _, info := range Codecs.SupportedMediaTypes() {
		f, ok := formats[info.MediaType]
		if !ok {
			continue
		}
		for _, version := range []schema.GroupVersion{v1.SchemeGroupVersion, v1beta1.SchemeGroupVersion} {
			e := encoding{version.String(), f}
			object := Codecs.EncoderForVersion(info.Serializer, version).Identifier()
			stream := Codecs.EncoderForVersion(info.StreamSerializer.Serializer, version).Identifier()
			objects[object] = e
			for _, t := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
				// As the watch handler of the generic API server does it. What it
				// is not, is encoded the slow way.
				id, err := json.Marshal(struct {
					Name            string `json:"name"`
					EmbeddedEncoder string `json:"embeddedEncoder"`
					Encoder         string `json:"encoder"`
					EventType       string `json:"eventType"`
				}{"watch", string(object), string(stream), string(t)})
				utilruntime.Must(err)
				events[runtime.Identifier(id)] = eventEncoding{e, t}
			}
		}
	}
	return objects, events
}

func (e encoding) writeList(w io.Writer, l *objectList) error {
	return e.format.writeList(w, e.apiVersion, l)
}

func (e encoding) writeObject(w io.Writer, o object) error {
	b := buffers.Get().(*buffer)
	defer b.free()
	b.bytes = e.format.appendObject(b.bytes, e.apiVersion, o)
	return b.flush(w)
}

// writeEvent writes an event by one Write, as it has to: the framers of watches make
// a frame of each.
func (e eventEncoding) writeEvent(w io.Writer, o object) error {
	b := buffers.Get().(*buffer)
	defer b.free()
	b.bytes = e.format.appendEvent(b.bytes, e.apiVersion, e.event, o)
	return b.flush(w)
}

// pieceSize is how many bytes of a list are written at once: few enough to stay in
// the processor's cache, and enough for full TLS records and HTTP/2 frames.
const pieceSize = 32 << 10

// buffer is where bytes are put together to be written.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, pieceSize+4<<10)} }}

// free gives the buffer back, unless a write failed or something was very large.
func (b *buffer) free() {
	if b.bytes == nil || cap(b.bytes) > 2*pieceSize {
		return
	}
	b.bytes = b.bytes[:0]
	buffers.Put(b)
}

// flush writes what is in the buffer. The bytes of a failed write are not used again:
// a frame of HTTP/2 may still be read from them.
func (b *buffer) flush(w io.Writer) error {
	written := b.bytes
	b.bytes = nil
	if _, err := w.Write(written); err != nil {
		return err
	}
	b.bytes = written[:0]
	return nil
}

// flushPiece writes it if it is enough.
func (b *buffer) flushPiece(w io.Writer) error {
	if len(b.bytes) < pieceSize {
		return nil
	}
	return b.flush(w)
}

// labelText are labels that have been encoded. In a list, the replicas of a
// workload follow one another and have the same.
type labelText struct {
	labels store.Labels
	text   []byte
}

// of returns the encoding of labels, which appendTo appends. The labels are shared by
// all objects that have the same, and never changed.
func (t *labelText) of(labels store.Labels, appendTo func([]byte, store.Labels) []byte) []byte {
	if len(labels) != len(t.labels) || unsafe.SliceData(labels) != unsafe.SliceData(t.labels) {
		t.labels, t.text = labels, appendTo(t.text[:0], labels)
	}
	return t.text
}
