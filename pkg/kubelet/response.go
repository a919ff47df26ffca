// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const (
	// maxBodyBytes is some 50 times the answer of a node with 500 containers.
	maxBodyBytes = 32 << 20
	// maxErrorBytes is how much of a refusal is read, so that the connection
	// can be used again.
	maxErrorBytes = 4 << 10
)

// head is what counts of a response's status line and headers.
type head struct {
	status                                 int
	contentType, contentEncoding, location field
	contentLength                          int64 // -1 if it is not told
	close                                  bool  // no other response follows
}

// field is a header. Its value is kept when it is not set, to be used again.
type field struct {
	isSet bool
	value string
}

func (h *head) reset(status int) {
	h.status = status
	h.contentType.isSet, h.contentEncoding.isSet, h.location.isSet = false, false, false
}

// get returns "" if the header is not set.
func (f *field) get() string {
	if !f.isSet {
		return ""
	}
	return f.value
}

// checkResponse decides by status and headers whether the body is worth reading,
// and in which format it is.
func checkResponse(h *head, body io.Reader, want *resource) (exposition.Format, Reason, error) {
	if h.status != http.StatusOK {
		return 0, statusReason(h.status), statusError(h, body)
	}
	if encoding := h.contentEncoding.get(); encoding != "" && encoding != "identity" {
		return 0, ReasonContentType, fmt.Errorf("unsupported Content-Encoding %q: none was asked for", truncate(encoding))
	}
	if h.contentLength > maxBodyBytes {
		return 0, ReasonTooLarge, fmt.Errorf("the body has %d bytes, more than %d", h.contentLength, maxBodyBytes)
	}
	format, err := contentFormat(h.contentType.get(), want)
	if err != nil {
		return 0, ReasonContentType, err
	}
	return format, "", nil
}

func statusError(h *head, body io.Reader) error {
	// What cannot be read of a refusal is not missed.
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	status := fmt.Sprintf("%d %s", h.status, http.StatusText(h.status))
	if location := h.location.get(); location != "" {
		return fmt.Errorf("%s to %q: redirects are not followed", status, truncate(location))
	}
	return fmt.Errorf("%s: %q", status, truncate(string(text)))
}

// contentFormat goes by the Content-Type: a 200 may come from something that is
// not a kubelet.
func contentFormat(contentType string, want *resource) (exposition.Format, error) {
	if known := want.known.Load(); known != nil && known.contentType == contentType {
		return known.format, nil
	}
	if contentType == "" {
		return 0, fmt.Errorf("the answer has no Content-Type: want %s", want.accept)
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, fmt.Errorf("invalid Content-Type %q: %w", truncate(contentType), err)
	}
	format, ok := want.format(media, params)
	if !ok {
		return 0, fmt.Errorf("unsupported Content-Type %q: want %s", truncate(contentType), want.accept)
	}
	want.known.Store(&knownType{contentType, format})
	return format, nil
}

// bodies are buffers for the bodies of answers. One is taken when the head of an
// answer has arrived, so that kubelets that do not answer hold none.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// maxKeptBody is the largest buffer that is used again: a kubelet that sends too
// much must not make others' buffers large.
const maxKeptBody = 1 << 20

// readAnswer reads the body of an answer.
func readAnswer(r io.Reader) (Answer, Reason, error) {
	buf := bodies.Get().(*[]byte)
	body, reason, err := readBody(r, *buf)
	if err != nil {
		bodies.Put(buf)
		return Answer{}, reason, err
	}
	*buf = body
	return Answer{Body: body, buf: buf}, "", nil
}

// Release gives the body's buffer back. The body is not to be read afterwards.
func (a Answer) Release() {
	if a.buf != nil && cap(*a.buf) <= maxKeptBody {
		bodies.Put(a.buf)
	}
}

// readBody reads all of r into buf, which grows as needed. Growth follows what
// arrives and not what the Content-Length announces, so that a header alone
// costs no memory.
func readBody(r io.Reader, buf []byte) ([]byte, Reason, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBodyBytes {
			return nil, ReasonTooLarge, fmt.Errorf("the body has more than %d bytes", maxBodyBytes)
		}
		if err == io.EOF {
			return buf, "", nil
		}
		if err != nil {
			return nil, bodyReason(err), fmt.Errorf("the body ends after %d bytes: %w", len(buf), err)
		}
	}
}
