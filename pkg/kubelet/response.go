// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"io"
	"mime"
	"net/http"

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
	http10                                 bool
	close                                  bool // no other response follows
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
