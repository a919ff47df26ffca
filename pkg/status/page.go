// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// perPage is how many nodes or pods a page shows.
const perPage = 100

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	style string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"number": number, "plural": plural, "span": span, "took": took, "sentence": sentence, "advise": on, "bytes": mebibytes, "pieces": pieces,
	}).Parse(pageText))

	// contentSecurityPolicy allows the style by its hash, the icon that is in the page,
	// and the form. Nothing else is loaded, run, or sent anywhere.
	contentSecurityPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(style) +
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// page is what the template shows of a Status.
type page struct {
	*Status
	Style    template.CSS
	View     string
	Search   string
	Sort     string
	Strip    []segment
	Ages     chart
	Took     chart
	Withheld []count // pods by reason, the most first
	Columns  []column
	States   []option
	Reasons  []option
	Rows     []Node // if View is "nodes"
	PodRows  []Pod  // if View is "pods"
	Pager    pager
	JSON     string // link
	Tabs     []tab
	Filtered bool
	Clear    string // link
}

// segment is a part of the bar of nodes by state.
type segment struct {
	State   State
	Count   int
	X, Size float64 // percent
	Link    string
}

// count is how many there are of something, and where they are shown.
type count struct {
	Name  string
	Count int
	Link  string
}

// column is the head of a column of nodes.
type column struct {
	Title string
	Link  string // that sorts by it
	Order string // of aria-sort
}

type option struct {
	Value    string
	Selected bool
}

type tab struct {
	Title   string
	Count   int
	Link    string
	Current bool
}

// pager leads to other pages of a table.
type pager struct {
	From, To, All  int
	Previous, Next string // links, "" if there is none
}

// render makes the page.
func render(s *Status, q query) ([]byte, error) {
	p := page{
		Status: s, Style: template.CSS(style), View: q.view, Search: q.search, Sort: q.sort,
		Strip: strip(&s.Totals), Ages: newChart(s.SampleAges), Took: newChart(s.ScrapeDurations),
		Withheld: withheld(s.Totals.PodsWithheld),
		Columns:  heads(q),
		JSON:     jsonLink(q),
		Filtered: q.search != "" || q.state != "" || q.reason != "",
		Clear:    link(query{view: q.view, sort: q.sort, page: 1}),
	}
	p.Tabs = []tab{
		{"Nodes", s.Totals.Nodes, link(q.with(viewNodes)), q.view == viewNodes},
		{"Withheld pods", s.PodsWithheld(), link(q.with(viewPods)), q.view == viewPods},
	}
	for _, state := range States() {
		p.States = append(p.States, option{string(state), q.state == state})
	}
	reasons := map[string]bool{}
	if q.reason != "" {
		reasons[q.reason] = true
	}
	if q.view == viewNodes {
		for _, problem := range s.Problems {
			reasons[problem.Reason] = true
		}
		p.Rows, p.Pager = paged(s.Nodes, len(s.Nodes), q)
	} else {
		for reason := range s.Totals.PodsWithheld {
			reasons[reason] = true
		}
		p.PodRows, p.Pager = paged(s.WithheldPods.Pods, s.WithheldPods.Selected, q)
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		p.Reasons = append(p.Reasons, option{reason, q.reason == reason})
	}
	var text bytes.Buffer
	err := pageTemplate.Execute(&text, p)
	return text.Bytes(), err
}

// with returns a query of another view. A reason and a state are of one view.
func (q query) with(view string) query {
	if q.view != view {
		q.view, q.page, q.state, q.reason = view, 1, "", ""
	}
	return q
}

// link is relative, so that it is right behind a proxy, too.
func link(q query) string { return "?" + q.values().Encode() }

func jsonLink(q query) string {
	q.page = 1
	v := q.values()
	v.Set(paramFormat, formatJSON)
	return "?" + v.Encode()
}

// paged cuts out the page that is asked for, or the last one.
func paged[E any](rows []E, all int, q query) ([]E, pager) {
	pages := max(1, (len(rows)+perPage-1)/perPage)
	at := min(q.page, pages)
	from, to := (at-1)*perPage, min(at*perPage, len(rows))
	p := pager{From: min(from+1, to), To: to, All: all}
	if at > 1 {
		q.page = at - 1
		p.Previous = link(q)
	}
	if at < pages {
		q.page = at + 1
		p.Next = link(q)
	}
	return rows[from:to], p
}

// heads are the columns. A click on the one that is sorted by turns the order.
func heads(q query) []column {
	heads := []column{
		{Title: "Node", Link: "name"}, {Title: "State", Link: "state"}, {Title: "Last success", Link: "success"},
		{Title: "Sample age", Link: "age"}, {Title: "Scrape took", Link: "duration"}, {Title: "Pods", Link: "pods"},
		{Title: "Certificate ends", Link: "certificate"},
	}
	for i := range heads {
		h := &heads[i]
		to, key := q, h.Link
		to.page, to.sort, h.Order = 1, key, "none"
		switch q.sort {
		case key:
			to.sort, h.Order = "-"+key, "ascending"
		case "-" + key:
			h.Order = "descending"
		}
		h.Link = link(to)
	}
	return heads
}

// leastSegment is how wide, in percent, a segment is that would be too thin to see.
const leastSegment = 1

func strip(t *Totals) []segment {
	var all []segment
	sum := 0.0
	for _, state := range States() {
		if n := t.NodesByState[state]; n > 0 {
			size := max(leastSegment, 100*float64(n)/float64(t.Nodes))
			all = append(all, segment{State: state, Count: n, X: sum, Size: size, Link: nodesLink(state, "")})
			sum += size
		}
	}
	for i := range all { // the narrow ones have taken more than there is
		all[i].X, all[i].Size = 100*all[i].X/sum, 100*all[i].Size/sum
	}
	return all
}

// nodesLink leads to the nodes in a state for a reason.
func nodesLink(state State, reason string) string {
	return link(query{view: viewNodes, state: state, reason: reason, sort: defaultSort, page: 1})
}

// Link leads to the nodes that have it.
func (p Problem) Link() string { return nodesLink(p.State, p.Reason) }

func withheld(pods map[string]int) []count {
	var all []count
	for reason, n := range pods {
		all = append(all, count{reason, n, link(query{view: viewPods, reason: reason, sort: defaultSort, page: 1})})
	}
	slices.SortFunc(all, func(a, b count) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Name, b.Name)) })
	return all
}

// Ago is how long ago a time was.
func (s *Status) Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(s.Time.Sub(t).Seconds()) + " ago"
}

// Ends is when a certificate does.
func (s *Status) Ends(t time.Time) string {
	if left := t.Sub(s.Time); left >= 0 {
		return "in " + span(left.Seconds())
	}
	return "ended " + s.Ago(t)
}

// EndsSoon tells whether a certificate should have been renewed.
func (s *Status) EndsSoon(t time.Time) bool { return t.Sub(s.Time) < expiresSoon }

// Uptime of the server.
func (s *Status) Uptime() string { return span(s.Time.Sub(s.Server.Started).Seconds()) }

// PodsWithheld is how many there are, for whatever reason.
func (s *Status) PodsWithheld() (all int) {
	for _, n := range s.Totals.PodsWithheld {
		all += n
	}
	return all
}

// span is a time of some seconds or more, for people.
func span(seconds float64) string {
	return duration.HumanDuration(max(0, time.Duration(seconds*float64(time.Second))))
}

// piece is a part of a text.
type piece struct {
	Text string
	Code bool // it was between backquotes
}

func pieces(text string) []piece {
	var all []piece
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			all = append(all, piece{part, i%2 == 1})
		}
	}
	return all
}

// took is a time of milliseconds or more, in two or three digits.
func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 10*time.Second && d < 2*time.Minute && d%time.Second != 0:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	case d >= 10*time.Second:
		return span(seconds)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

func mebibytes(n int64) string { return number(int(n>>20)) + " MiB" }

// number has commas between thousands.
func number(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// chart is a histogram, drawn.
type chart struct {
	Bars     []bar
	Greatest float64
	All      int
	Width    int // of the drawing, in bars of 10
}

// bar is a bucket. Y and Height are of 100.
type bar struct {
	X         int
	Y, Height float64
	Count     int
	Label     string // of the axis
	Range     string
}

// leastHeight is that of a bar that is not empty: one of few has to be seen beside one
// of many.
const leastHeight = 3

func newChart(h Histogram) chart {
	c := chart{Greatest: h.Greatest, Width: 10 * len(h.Buckets)}
	most := 0
	for _, b := range h.Buckets {
		most = max(most, b.Count)
		c.All += b.Count
	}
	below := 0.0
	for i, b := range h.Buckets {
		drawn := bar{X: 10 * i, Y: 100, Count: b.Count, Label: took(b.UpTo)}
		if b.Count > 0 {
			drawn.Height = max(leastHeight, 100*float64(b.Count)/float64(most))
			drawn.Y -= drawn.Height
		}
		switch {
		case i == len(h.Buckets)-1:
			drawn.Label, drawn.Range = "more", "over "+took(below)
		case i == 0:
			drawn.Range = "up to " + took(b.UpTo)
		default:
			drawn.Range = fmt.Sprintf("%s to %s", took(below), took(b.UpTo))
		}
		below = b.UpTo
		c.Bars = append(c.Bars, drawn)
	}
	return c
}
