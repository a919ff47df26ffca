// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestReadJSON(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, test := range map[string]struct {
		stream                   string
		added, modified, deleted int64
		err                      error
	}{
		"all types": {
			stream: `{"type":"ADDED","object":{}}` + "\n" + `{"type":"MODIFIED","object":{}}` + "\n" +
				`{"type":"BOOKMARK","object":{}}` + "\n" + `{"type":"DELETED","object":{}}` + "\n",
			added: 1, modified: 1, deleted: 1, err: io.EOF,
		},
		"longer than the buffer": {
			stream: `{"type":"ADDED","object":"` + long + `"}` + "\n" + `{"type":"ADDED","object":"` + long + `"}` + "\n",
			added:  2, err: io.EOF,
		},
		"cut off":     {stream: `{"type":"ADDED","object":{}}` + "\n" + `{"type":"ADD`, added: 1, err: io.EOF},
		"no event":    {stream: "404 page not found\n", err: errStream},
		"of no type":  {stream: `{"type":"ROTATED"}` + "\n", err: errStream},
		"of no name":  {stream: `{"type":"` + "\n", err: errStream},
		"an error":    {stream: `{"type":"ERROR","object":{}}` + "\n" + `{"type":"ADDED"}` + "\n", err: errTold},
		"end at once": {err: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			var c counts
			err := c.read(bufio.NewReaderSize(strings.NewReader(test.stream), 32), nextJSON)
			if c.added.Load() != test.added || c.modified.Load() != test.modified || c.deleted.Load() != test.deleted {
				t.Errorf("%d added, %d modified, %d deleted, want %+v", c.added.Load(), c.modified.Load(), c.deleted.Load(), test)
			}
			if !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
		})
	}
}

// frame is an event as a server with protobuf sends it.
func frame(t *testing.T, event, object string) []byte {
	t.Helper()
	e := metav1.WatchEvent{Type: event, Object: runtime.RawExtension{Raw: []byte(object)}}
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
}

func TestReadProtobuf(t *testing.T) {
	stream := slices.Concat(frame(t, "ADDED", strings.Repeat("x", 1000)), frame(t, "MODIFIED", ""), frame(t, "DELETED", "y"))
	var c counts
	err := c.read(bufio.NewReaderSize(bytes.NewReader(stream), 32), nextProtobuf)
	if !errors.Is(err, io.EOF) || c.added.Load() != 1 || c.modified.Load() != 1 || c.deleted.Load() != 1 || c.bytes.Load() != int64(len(stream)) {
		t.Errorf("%v after %d added, %d modified, %d deleted in %d of %d bytes", err,
			c.added.Load(), c.modified.Load(), c.deleted.Load(), c.bytes.Load(), len(stream))
	}
	for name, stream := range map[string][]byte{
		"text":              []byte("404 page not found\n"),
		"a type beyond all": {0, 0, 0, 5, 1<<3 | 2, 200, 'A', 'D', 'D'},
	} {
		if err := new(counts).read(bufio.NewReader(bytes.NewReader(stream)), nextProtobuf); !errors.Is(err, errStream) {
			t.Errorf("%s: %v, want %v", name, err, errStream)
		}
	}
}
