// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// responses are all that a response of HTTP/1 can be, sound and not.
var responses = map[string]struct {
	raw     string
	refused string // by this, where net/http takes it
}{
	"length":              {raw: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"},
	"chunked":             {raw: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n2\r\n, \r\n0\r\n\r\n"},
	"chunked in HTTP/1.0": {raw: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", refused: "of HTTP/1.0 and chunked"},
	"large chunk":         {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + strings.Repeat("x", 10000) + "\r\n0\r\n\r\n"},
	"trailers":            {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: Expires\r\n\r\n04\r\nbody\r\n0\r\nExpires: 0\r\n\r\n"},
	"upper case":          {raw: "HTTP/1.1 200 OK\r\nCONTENT-TYPE:text/plain\t \r\ncontent-length:0002 \r\n\r\nok"},
	"until the end":       {raw: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall that comes"},
	"closed":              {raw: "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok"},
	"HTTP/1.0":            {raw: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	"no reason":           {raw: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"},
	"empty reason":        {raw: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"},
	"empty":               {raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	"refusal":             {raw: "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden"},
	"no content":          {raw: "HTTP/1.1 204 No Content\r\n\r\n"},
	"not modified":        {raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n"},
	"same length twice":   {raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
	"redirect":            {raw: "HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n"},
	"encoded":             {raw: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"},
	"another follows":     {raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"},
	"nothing":             {raw: ""},
	"no headers":          {raw: "HTTP/1.1 200 OK\r\n"},
	"half a line":         {raw: "HTTP/1.1 200 OK\r\nContent-Le"},
	"short":               {raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"},
	"short chunk":         {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo"},
	"no last chunk":       {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"},
	"no end of trailers":  {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nExpires: 0\r\n"},
	"malformed trailer":   {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n[xpires: 0\r\n\r\n"},
	"long chunk":          {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbody\r\n0\r\n\r\n"},
	"chunk without size":  {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nbody\r\n0\r\n\r\n"},
	"negative chunk":      {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n"},
	"huge chunk":          {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nbody\r\n0\r\n\r\n"},
	"not HTTP":            {raw: "SSH-2.0-OpenSSH_9.2\r\n"},
	"HTTP/2":              {raw: "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", refused: "status line"},
	"no status":           {raw: "HTTP/1.1 OK\r\n\r\n"},
	"bad status":          {raw: "HTTP/1.1 2x0 OK\r\n\r\n"},
	"long status":         {raw: "HTTP/1.1 2000 OK\r\n\r\n"},
	"signed status":       {raw: "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"},
	"no colon":            {raw: "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok"},
	"no name":             {raw: "HTTP/1.1 200 OK\r\n: 2\r\n\r\nok"},
	"space in a name":     {raw: "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", refused: "header line"},
	"folded":              {raw: "HTTP/1.1 200 OK\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nContent-Length: 2\r\n\r\nok", refused: "header line"},
	"signed length":       {raw: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"},
	"two lengths":         {raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"},
	"length and chunks":   {raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", refused: "is chunked"},
	"other encoding":      {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
	"bare line feeds":     {raw: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", refused: "CR LF"},
	"chunk extension":     {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n", refused: "a chunk has the size"},
	"two types":           {raw: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok", refused: "twice"},
	"long line":           {raw: "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", maxLineBytes) + "\r\nContent-Length: 2\r\n\r\nok", refused: "exceeded"},
	"many headers":        {raw: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 70) + "Content-Length: 2\r\n\r\nok", refused: "exceeded"},
	"many chunks":         {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", maxChunks) + "0\r\n\r\n", refused: "more than 32768 chunks"},
	"switch":              {raw: "HTTP/1.1 101 Switching Protocols\r\n\r\n", refused: "switches protocols"},
}

// TestResponsesAreReadAsByNetHTTP holds what direct reads against net/http.
func TestResponsesAreReadAsByNetHTTP(t *testing.T) {
	for name, tc := range responses {
		t.Run(name, func(t *testing.T) {
			got, err := readResponse(strings.NewReader(tc.raw))
			want, wantErr := readWithNetHTTP(tc.raw)
			switch {
			case tc.refused != "":
				if wantErr != nil || err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got error %v, want %q; net/http: %v", err, tc.refused, wantErr)
				}
			case (err == nil) != (wantErr == nil):
				t.Errorf("got error %v, and net/http %v", err, wantErr)
			case err == nil && got != want:
				t.Errorf("got %+v, and net/http %+v", got, want)
			}
			// It does not matter how the bytes arrive.
			again, againErr := readResponse(iotest.OneByteReader(strings.NewReader(tc.raw)))
			if again != got || fmt.Sprint(againErr) != fmt.Sprint(err) {
				t.Errorf("byte by byte it is %+v, %v", again, againErr)
			}
		})
	}
}

// response is what is used of one.
type response struct {
	status                                 int
	contentType, contentEncoding, location string
	contentLength                          int64
	body                                   string
	last                                   bool // on its connection
}

func readResponse(r io.Reader) (got response, err error) {
	x := newExchange()
	x.reader.Reset(r)
	if err := x.readHead(); err != nil {
		return got, err
	}
	body, err := io.ReadAll(&x.body)
	return response{
		x.head.status, x.head.contentType.get(), x.head.contentEncoding.get(), x.head.location.get(),
		x.head.contentLength, string(body), x.head.close,
	}, err
}

func readWithNetHTTP(raw string) (want response, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://kubelet/", nil)
	if err != nil {
		return want, err
	}
	r := bufio.NewReader(strings.NewReader(raw))
	resp, err := http.ReadResponse(r, req)
	for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(r, req)
	}
	if err != nil {
		return want, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	get := resp.Header.Get
	return response{
		resp.StatusCode, get("Content-Type"), get("Content-Encoding"), get("Location"), resp.ContentLength, string(body), resp.Close,
	}, err
}

// FuzzResponse looks for a response that direct takes and reads otherwise than
// net/http, or that makes it keep a connection on which the next response would be
// misread.
func FuzzResponse(f *testing.F) {
	for _, tc := range responses {
		f.Add([]byte(tc.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := readResponse(bytes.NewReader(raw))
		if err != nil {
			return
		}
		want, err := readWithNetHTTP(string(raw))
		if err != nil {
			t.Fatalf("it is taken for %+v, and net/http says %v", got, err)
		}
		if got.last = got.last || want.last; got != want {
			t.Errorf("got %+v, and net/http %+v", got, want)
		}
	})
}

// newRawFetcher fetches from a kubelet that answers each request on a connection
// with respond, and closes it when that fails.
func newRawFetcher(t *testing.T, respond func(net.Conn) error) *fetcher {
	t.Helper()
	port, ca := serveRaw(t, func(r *bufio.Reader, conn net.Conn) error {
		if _, err := http.ReadRequest(r); err != nil {
			return err
		}
		return respond(conn)
	})
	c := testConfig(port)
	c.Client.CAData = ca
	return newFetcher(t, c)
}

// rawHead is that of a response with a body of 5 bytes.
const rawHead = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"

func (f *fetcher) wantBody(t *testing.T, want string) {
	t.Helper()
	if got := f.succeeds(t); string(got.Body) != want {
		t.Errorf("got %q", got.Body)
	}
}

// A kubelet may close a connection while it is idle: that is no failure.
func TestConnectionClosedWhileIdle(t *testing.T) {
	accepted := 0
	f := newRawFetcher(t, func(conn net.Conn) error {
		accepted++
		io.WriteString(conn, rawHead+"right")
		return errors.New("closed without a word")
	})
	for range 3 {
		f.wantBody(t, "right")
	}
	if accepted != 3 {
		t.Errorf("%d requests were answered, want 3", accepted)
	}
}

// What comes after an answer belongs to no request: the connection is not used
// again.
func TestUnaskedResponse(t *testing.T) {
	connections := map[net.Conn]bool{}
	f := newRawFetcher(t, func(conn net.Conn) error {
		connections[conn] = true
		_, err := io.WriteString(conn, rawHead+"right"+rawHead+"wrong")
		return err
	})
	for range 2 {
		f.wantBody(t, "right")
	}
	if len(connections) != 2 {
		t.Errorf("%d connections were made, want 2", len(connections))
	}
}

// The same, when it comes while the connection is idle.
func TestUnaskedResponseWhileIdle(t *testing.T) {
	stray := make(chan bool)
	f := newRawFetcher(t, func(conn net.Conn) error {
		io.WriteString(conn, rawHead+"right")
		<-stray
		_, err := io.WriteString(conn, rawHead+"wrong")
		stray <- true
		return err
	})
	for range 2 {
		f.wantBody(t, "right")
		stray <- true
		<-stray
		eventually(t, "the stray response has come", func() bool { return !f.endpoint.idle.quiet() })
	}
}

func TestClosedEndpoint(t *testing.T) {
	k := newKubelet(t, answer(textType, ""), nil)
	f := newFetcher(t, k.config(t))
	closed := func() bool {
		_, open := k.counts()
		return open == 0
	}
	f.succeeds(t)
	f.endpoint.Close()
	eventually(t, "the connection is closed", closed)
	f.succeeds(t) // as a fetch that was under way
	eventually(t, "the connection is closed after the fetch", closed)
	f.endpoint.Close()
}
