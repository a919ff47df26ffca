// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime"
)

// count returns how many objects an answer has. It holds no more than one of them
// if it is JSON: a list of a large cluster has hundreds of megabytes.
func count(body io.Reader, r read) (int, error) {
	if r.accept == acceptProtobuf {
		return countProtobuf(body)
	}
	return countJSON(body)
}

// countJSON counts what is in the items of a list, or in the rows of a table. An
// answer without either is one object.
func countJSON(body io.Reader) (int, error) {
	d := json.NewDecoder(body)
	if _, err := d.Token(); err != nil {
		return 0, err
	}
	n := 1
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return 0, err
		}
		if key != "items" && key != "rows" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return 0, err
			}
			continue
		}
		if n, err = countElements(d); err != nil {
			return 0, err
		}
	}
	_, err := d.Token()
	return n, err
}

func countElements(d *json.Decoder) (n int, err error) {
	if begin, err := d.Token(); err != nil || begin == nil { // null has none
		return 0, err
	}
	var skipped json.RawMessage
	for ; d.More(); n++ {
		if err := d.Decode(&skipped); err != nil {
			return 0, err
		}
	}
	_, err = d.Token()
	return n, err
}

var (
	protobufPrefix = []byte("k8s\x00")
	errNoProtobuf  = errors.New("this is no protobuf of Kubernetes")
)

// countProtobuf counts the second field of a list, which has the items. An object
// that is no list is one.
func countProtobuf(body io.Reader) (int, error) {
	all, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	message, ok := bytes.CutPrefix(all, protobufPrefix)
	if !ok {
		return 0, errNoProtobuf
	}
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(message); err != nil {
		return 0, err
	}
	if !strings.HasSuffix(unknown.Kind, "List") {
		return 1, nil
	}
	const items = 2
	n := 0
	for rest := unknown.Raw; len(rest) > 0; {
		number, kind, size := protowire.ConsumeTag(rest)
		if size < 0 {
			return 0, fmt.Errorf("%w: %w", errNoProtobuf, protowire.ParseError(size))
		}
		rest = rest[size:]
		if size = protowire.ConsumeFieldValue(number, kind, rest); size < 0 {
			return 0, fmt.Errorf("%w: %w", errNoProtobuf, protowire.ParseError(size))
		}
		rest = rest[size:]
		if number == items {
			n++
		}
	}
	return n, nil
}
