// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/munnerz/goautoneg"
	"k8s.io/klog/v2"
)

// Path is where a status is served.
const Path = "/status"

const (
	formatHTML = "html"
	formatJSON = "json"
)

var contentTypes = map[string]string{
	formatHTML: "text/html; charset=utf-8",
	formatJSON: "application/json",
}

// Handler serves what the source says: a page, or JSON to who prefers that or asks for
// it with format=json. One answer is made at a time, so that many requests do not take
// the CPU that scraping needs.
func (s *Source) Handler() http.Handler {
	return &handler{source: s}
}

type handler struct {
	source *Source
	one    sync.Mutex
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are allowed", http.StatusMethodNotAllowed)
		return
	}
	params := r.URL.Query()
	format := format(params.Get(paramFormat), r.Header.Get("Accept"))
	contentType, known := contentTypes[format]
	q, err := parseQuery(params)
	if err == nil && !known {
		err = fmt.Errorf("%s=%q: must be %s or %s", paramFormat, format, formatHTML, formatJSON)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := h.body(r.Context(), format, q)
	if r.Context().Err() != nil {
		return // nobody waits for it any more
	}
	if err != nil {
		klog.ErrorS(err, "The status cannot be shown")
		http.Error(w, "the status cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header.Set("Content-Type", contentType)
	_, _ = w.Write(body) // the client may be gone
}

func (h *handler) body(ctx context.Context, format string, q query) ([]byte, error) {
	h.one.Lock()
	defer h.one.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	status := h.source.status(q)
	if format == formatJSON {
		return json.Marshal(status)
	}
	return render(status, q)
}

// format is the one that is asked for, or else accepted the most.
func format(asked, accept string) string {
	if asked != "" {
		return asked
	}
	if goautoneg.Negotiate(accept, []string{"text/html", "application/json"}) == "application/json" {
		return formatJSON
	}
	return formatHTML
}
