// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// jsonFormat is JSON without white space.
type jsonFormat struct{}

func (jsonFormat) writeList(w io.Writer, apiVersion string, l *objectList) error {
	// A first write as short as this says that more writes follow: the generic API
	// server then looks at all of them to decide whether to compress.
	if _, err := w.Write([]byte("{")); err != nil {
		return err
	}
	meta, err := json.Marshal(&l.ListMeta)
	if err != nil {
		return err
	}
	b := buffers.Get().(*buffer)
	defer b.free()
	b.bytes = appendTypeJSON(b.bytes, l.kind+"List", apiVersion)
	b.bytes = append(b.bytes, `"metadata":`...)
	b.bytes = append(b.bytes, meta...)
	b.bytes = append(b.bytes, `,"items":[`...)
	var labels labelText
	for i, o := range l.all() {
		if i > 0 {
			b.bytes = append(b.bytes, ',')
		}
		b.bytes = append(b.bytes, '{')
		b.bytes = o.appendJSON(b.bytes, &labels)
		if err := b.flushPiece(w); err != nil {
			return err
		}
	}
	b.bytes = append(b.bytes, "]}\n"...)
	return b.flush(w)
}

func (jsonFormat) appendObject(b []byte, apiVersion string, o object) []byte {
	b = append(b, '{')
	b = appendTypeJSON(b, o.kind(), apiVersion)
	b = o.appendJSON(b, &labelText{})
	return append(b, '\n')
}

func (jsonFormat) appendEvent(b []byte, apiVersion string, t watch.EventType, o object) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, t...)
	b = append(b, `","object":{`...)
	b = appendTypeJSON(b, o.kind(), apiVersion)
	b = o.appendJSON(b, &labelText{})
	return append(b, "}\n"...)
}

func appendTypeJSON(b []byte, kind, apiVersion string) []byte {
	b = append(b, `"kind":"`...)
	b = append(b, kind...)
	b = append(b, `","apiVersion":"`...)
	b = append(b, apiVersion...)
	return append(b, `",`...)
}

func (o nodeObject) appendJSON(b []byte, labels *labelText) []byte {
	b = appendMetaJSON(b, "", o.Name, o.Revision(), o.Timestamp, o.Labels(), labels)
	b = appendSpanJSON(b, o.Timestamp, o.Window)
	b = append(b, `,"usage":`...)
	b = appendUsageJSON(b, &o.Usage)
	return append(b, '}')
}

func (o podObject) appendJSON(b []byte, labels *labelText) []byte {
	b = appendMetaJSON(b, o.Namespace, o.Name, o.Revision(), o.Timestamp, o.Labels(), labels)
	b = appendSpanJSON(b, o.Timestamp, o.Window)
	b = append(b, `,"containers":[`...)
	for i := range o.Containers {
		if i > 0 {
			b = append(b, ',')
		}
		c := &o.Containers[i]
		b = append(b, `{"name":`...)
		b = appendStringJSON(b, c.Name)
		b = append(b, `,"usage":`...)
		b = appendUsageJSON(b, &c.Usage)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func appendMetaJSON(b []byte, namespace, name string, revision uint64, created time.Time, set store.Labels, labels *labelText) []byte {
	b = append(b, `"metadata":{`...)
	if name != "" {
		b = append(b, `"name":`...)
		b = appendStringJSON(b, name)
		b = append(b, ',')
	}
	if namespace != "" {
		b = append(b, `"namespace":`...)
		b = appendStringJSON(b, namespace)
		b = append(b, ',')
	}
	b = append(b, `"resourceVersion":"`...)
	b = strconv.AppendUint(b, revision, 10)
	b = append(b, '"')
	if !created.IsZero() {
		b = append(b, `,"creationTimestamp":`...)
		b = appendTimeJSON(b, created)
	}
	b = append(b, labels.of(set, appendLabelsJSON)...)
	return append(b, '}')
}

func appendLabelsJSON(b []byte, labels store.Labels) []byte {
	if len(labels) == 0 {
		return b
	}
	b = append(b, `,"labels":{`...)
	for i, label := range labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendStringJSON(b, label.Key)
		b = append(b, ':')
		b = appendStringJSON(b, label.Value)
	}
	return append(b, '}')
}

func appendSpanJSON(b []byte, timestamp time.Time, window time.Duration) []byte {
	b = append(b, `,"timestamp":`...)
	b = appendTimeJSON(b, timestamp)
	b = append(b, `,"window":"`...)
	b = append(b, window.String()...)
	return append(b, '"')
}

func appendTimeJSON(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

func appendUsageJSON(b []byte, u *store.Usage) []byte {
	b = append(b, `{"cpu":"`...)
	b = appendNanocores(b, u.CPU)
	b = append(b, `","memory":"`...)
	b = appendBytes(b, u.Memory)
	if u.HasSwap {
		b = append(b, `","swap":"`...)
		b = appendBytes(b, u.Swap)
	}
	return append(b, `"}`...)
}

// appendStringJSON leaves what has to be escaped, which names hardly ever have, to
// the library.
func appendStringJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			escaped, _ := json.Marshal(s) // a string cannot fail
			return append(b, escaped...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()
