// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// podList is a v1 PodList.
type podList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []pod
}

// DeepCopyObject implements runtime.Object.
func (l *podList) DeepCopyObject() runtime.Object {
	other := &podList{l.TypeMeta, *l.DeepCopy(), make([]pod, len(l.Items))}
	for i := range l.Items {
		other.Items[i] = *l.Items[i].DeepCopyObject().(*pod)
	}
	return other
}

// listPods is for API servers that do not stream lists as events: theirs is decoded as
// it comes, since the whole pods of a large cluster have hundreds of megabytes.
func listPods(ctx context.Context, request *rest.Request) (runtime.Object, error) {
	body, err := request.Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	l := &podList{}
	if err := l.read(bufio.NewReaderSize(body, 64<<10)); err != nil {
		return nil, fmt.Errorf("list of pods in protobuf: %w", err)
	}
	return l, nil
}

const (
	// protobufPrefix is before each object of Kubernetes in protobuf, which is in a
	// runtime.Unknown.
	protobufPrefix  = "k8s\x00"
	unknownRawField = 2

	listMetadataField, listItemsField = 1, 2

	// maxPodBytes is more than etcd takes of one object, 1.5 MiB by default.
	maxPodBytes = 16 << 20
)

func (l *podList) read(r *bufio.Reader) error {
	prefix := make([]byte, len(protobufPrefix))
	if _, err := io.ReadFull(r, prefix); err != nil {
		return err
	}
	if string(prefix) != protobufPrefix {
		return fmt.Errorf("it begins with %q", prefix)
	}
	complete := false
	for {
		number, size, err := readField(r)
		if errors.Is(err, io.EOF) && complete {
			return nil
		}
		if err != nil {
			return noEnd(err)
		}
		switch {
		case number != unknownRawField:
			err = skip(r, size)
		case complete:
			err = errors.New("it is there twice")
		default:
			complete = true
			err = l.readRaw(r, size)
		}
		if err != nil {
			return err
		}
	}
}

// readRaw reads the list itself.
func (l *podList) readRaw(r *bufio.Reader, size int64) error {
	raw := &io.LimitedReader{R: r, N: size}
	in := bufio.NewReader(raw)
	var buffer []byte
	for {
		number, size, err := readField(in)
		switch {
		case errors.Is(err, io.EOF) && raw.N == 0:
			return nil
		case err != nil:
			return noEnd(err)
		case number != listMetadataField && number != listItemsField:
			if err := skip(in, size); err != nil {
				return err
			}
			continue
		case size > maxPodBytes:
			return fmt.Errorf("an object in it has %d bytes", size)
		case int64(cap(buffer)) < size:
			buffer = make([]byte, size)
		}
		buffer = buffer[:size]
		if _, err := io.ReadFull(in, buffer); err != nil {
			return noEnd(err)
		}
		if number == listMetadataField {
			err = l.ListMeta.Unmarshal(buffer)
		} else {
			l.Items = append(l.Items, pod{})
			err = l.Items[len(l.Items)-1].Unmarshal(buffer)
		}
		if err != nil {
			return err
		}
	}
}

// readField reads up to the value of the next field that is a message or a string, as
// all are so far. The error is io.EOF where there is no other field.
func readField(r *bufio.Reader) (number protowire.Number, size int64, err error) {
	for {
		tag, err := binary.ReadUvarint(r)
		if err != nil {
			return 0, 0, err
		}
		number, kind := protowire.DecodeTag(tag)
		if number < protowire.MinValidNumber {
			return 0, 0, fmt.Errorf("the tag of a field is %d", tag)
		}
		switch kind {
		case protowire.BytesType:
			size, err := binary.ReadUvarint(r)
			if err == nil && size > math.MaxInt64 {
				err = fmt.Errorf("field %d has %d bytes", number, size)
			}
			return number, int64(size), noEnd(err)
		case protowire.VarintType:
			_, err = binary.ReadUvarint(r)
		case protowire.Fixed32Type:
			err = skip(r, 4)
		case protowire.Fixed64Type:
			err = skip(r, 8)
		default:
			err = fmt.Errorf("field %d is of the unknown type %d", number, kind)
		}
		if err != nil {
			return 0, 0, noEnd(err)
		}
	}
}

func skip(r *bufio.Reader, size int64) error {
	_, err := io.CopyN(io.Discard, r, size)
	return noEnd(err)
}

// noEnd is for where something has to follow.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
