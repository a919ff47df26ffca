// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// object can be sent as JSON and as protobuf.
type object interface {
	runtime.Object
	metav1.Object
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// collection is all objects of a kind, which are made one by one.
type collection struct {
	version       string
	size          int
	kind          schema.GroupVersionKind
	fieldSelector string // the one that is accepted, which all match
	object        func(i int) object
	empty         func() object       // for bookmarks
	form          func(object) object // in which what Contents has is sent
	still         bool                // it never changes
}

// page is a part of a collection.
type page struct {
	collection
	first, end int
}

// meta says where the next page begins: the token is the index of its first
// object.
func (p *page) meta() metav1.ListMeta {
	m := metav1.ListMeta{ResourceVersion: p.version}
	if p.end < p.size {
		m.Continue = strconv.Itoa(p.end)
	}
	return m
}

func (c collection) list(w http.ResponseWriter, r *http.Request) {
	p, err := c.page(r)
	if err != nil {
		fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	contentType, write := jsonType, p.writeJSON
	if wantsProtobuf(r) {
		contentType, write = protobufType, p.writeProtobuf
	}
	w.Header().Set("Content-Type", contentType)
	out := bufio.NewWriterSize(w, 64<<10)
	if write(out) != nil || out.Flush() != nil {
		panic(http.ErrAbortHandler) // or half a list might pass for a whole one
	}
}

func (c collection) page(r *http.Request) (*page, error) {
	p := &page{collection: c, end: c.size}
	query := r.URL.Query()
	var err error
	if from := query.Get("continue"); from != "" {
		if p.first, err = strconv.Atoi(from); err != nil || p.first < 0 || p.first > c.size {
			return nil, fmt.Errorf("continue=%q is not from the page before", from)
		}
	}
	if limit := query.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("limit=%q is not a number of objects", limit)
		}
		if n > 0 {
			p.end = min(p.end, p.first+n)
		}
	}
	return p, nil
}

func (p *page) writeJSON(out *bufio.Writer) error {
	meta, err := json.Marshal(p.meta())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `{"kind":"%sList","apiVersion":%q,"metadata":%s,"items":[`, p.kind.Kind, p.kind.GroupVersion(), meta)
	encoder := json.NewEncoder(out)
	separator := ""
	for i := p.first; i < p.end; i++ {
		fmt.Fprint(out, separator)
		separator = ","
		if err := encoder.Encode(p.object(i)); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, "]}")
	return err
}

// Field numbers of runtime.Unknown and of all lists.
const (
	unknownType, unknownRaw = 1, 2
	listMeta, listItems     = 1, 2
)

// protobufPrefix tells Kubernetes' protobuf from other bytes.
const protobufPrefix = "k8s\x00"

// writeProtobuf makes each object twice, because a list begins with its length.
func (p *page) writeProtobuf(out *bufio.Writer) error {
	meta := p.meta()
	size := sizeOfField(listMeta, meta.Size())
	for i := p.first; i < p.end; i++ {
		size += sizeOfField(listItems, p.object(i).Size())
	}
	kind := runtime.TypeMeta{APIVersion: p.kind.GroupVersion().String(), Kind: p.kind.Kind + "List"}

	buffer := append([]byte(nil), protobufPrefix...)
	buffer, err := appendMessage(buffer, unknownType, &kind)
	if err != nil {
		return err
	}
	buffer = protowire.AppendTag(buffer, unknownRaw, protowire.BytesType)
	buffer = protowire.AppendVarint(buffer, uint64(size))
	if buffer, err = appendMessage(buffer, listMeta, &meta); err != nil {
		return err
	}
	if _, err := out.Write(buffer); err != nil {
		return err
	}
	for i := p.first; i < p.end; i++ {
		if buffer, err = appendMessage(buffer[:0], listItems, p.object(i)); err != nil {
			return err
		}
		if _, err := out.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

func sizeOfField(number protowire.Number, size int) int {
	return protowire.SizeTag(number) + protowire.SizeBytes(size)
}

// message is what Kubernetes generates.
type message interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

func appendMessage(b []byte, number protowire.Number, m message) ([]byte, error) {
	size := m.Size()
	b = protowire.AppendTag(b, number, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	start := len(b)
	b = append(b, make([]byte, size)...)
	_, err := m.MarshalToSizedBuffer(b[start:])
	return b, err
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(v) // to a client that may be gone
}
