// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	componentmetrics "k8s.io/component-base/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// tokenText is what a continue token has encoded.
type tokenText struct {
	APIVersion      string `json:"v"`
	ResourceVersion int64  `json:"rv"`
	Start           string `json:"start"`
}

// key is where a token says that a page begins, after that.
func (c tokenText) key() store.Key {
	start := strings.TrimPrefix(c.Start, "/")
	slash := strings.LastIndexByte(start, '/')
	return store.Key{Namespace: start[:max(slash, 0)], Name: start[slash+1:]}
}

// Whatever token comes, and from wherever: it is refused, or what follows is what the
// selectors select of what comes after the token's key, in order and once.
func FuzzContinue(f *testing.F) {
	p := newPopulation(f)
	const raw, encoded, built, forms = 0, 1, 2, 3
	for _, start := range []string{
		"a/web", "/a/web", "a/web/", "a//web", "a/../b/web", "a/.", "../a", "n1", "n", "", "/", "//", "b/web", "none/x", "zz/zz", "a/b/c", "a-b/", "/web",
		"a/web\x00", "A/WEB", "\xff/\xfe", "a/web-1", "a\\web", strings.Repeat("a/", 100) + "b",
	} {
		for collection := range collections {
			f.Add(uint8(collection), start, uint8(built), int64(1), uint8(1), uint8(collection))
		}
		f.Add(uint8(0), start, uint8(raw), int64(1), uint8(0), uint8(0))
		f.Add(uint8(0), start, uint8(built), int64(1), uint8(0), uint8(11))
	}
	for _, text := range []string{
		`{}`, `null`, `[]`, `"a"`, `{"v":"meta.k8s.io/v1","rv":1,"start":"a/web"}`, `{"V":"meta.k8s.io/v1","RV":1,"START":"a/web"}`,
		`{"v":"meta.k8s.io/v1","rv":1,"start":"a/web","start":"b/web"}`, `{"v":"meta.k8s.io/v1","rv":-1,"start":"a/web"}`,
		`{"v":"meta.k8s.io/v1","rv":1e3,"start":"a/web"}`, `{"v":"meta.k8s.io/v1","rv":9223372036854775807,"start":"\u0000/\ud800"}`,
		`{"v":"meta.k8s.io/v1","rv":9223372036854775808,"start":"a/web"}`, `{"v":"meta.k8s.io/v2","rv":1,"start":"a/web"}`, `{"v":"meta.k8s.io/v1","rv":1,"start":"n1"} x`,
	} {
		f.Add(uint8(0), text, uint8(encoded), int64(0), uint8(2), uint8(0))
		f.Add(uint8(1), text, uint8(encoded), int64(0), uint8(0), uint8(3))
	}
	f.Fuzz(func(t *testing.T, collection uint8, text string, form uint8, revision int64, limit, selector uint8) {
		c := int(collection) % len(collections)
		token := text
		switch form % forms {
		case built:
			data, err := json.Marshal(tokenText{"meta.k8s.io/v1", revision, text})
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
			fallthrough
		case encoded:
			token = base64.RawURLEncoding.EncodeToString([]byte(text))
		}
		field, label := pageSelectors(t, int(selector), c)
		query := url.Values{"continue": {token}, "limit": {strconv.Itoa(int(limit))}}
		query.Set("fieldSelector", field.String())
		query.Set("labelSelector", label.String())
		want := p.selected(c, field, label)
		l, refused := p.list(t, c, query)
		if token == "" {
			if got := p.rest(t, c, query, int(limit), l); refused || !slices.Equal(got, namesOfResidents(want)) {
				t.Fatalf("without a token: refused is %v, got %q", refused, got)
			}
			return
		}

		data, err := base64.RawURLEncoding.DecodeString(token)
		var decoded tokenText
		if err == nil {
			err = json.Unmarshal(data, &decoded)
		}
		after := decoded.key()
		if refused {
			ours := err == nil && decoded.APIVersion == "meta.k8s.io/v1" && decoded.ResourceVersion > 0
			if ours && slices.ContainsFunc(p.residents(c), func(r resident) bool { return r.key == after }) {
				t.Fatalf("refused a token after %v that could be ours: %s", after, text)
			}
			return
		}
		if after.Name == "" || (after.Namespace != "") != collections[c].pods {
			t.Fatalf("%v: took a token after %v", query, after)
		}
		if err != nil || decoded.ResourceVersion <= 0 || l.ResourceVersion != strconv.FormatInt(decoded.ResourceVersion, 10) {
			t.Fatalf("%v: a list of version %s for %q: %v", query, l.ResourceVersion, data, err)
		}
		want = slices.DeleteFunc(want, func(r resident) bool { return r.key.Compare(after) <= 0 })
		if got := p.rest(t, c, query, int(limit), l); !slices.Equal(got, namesOfResidents(want)) {
			t.Fatalf("%v after %v:\n got %q\nwant %q", query, after, got, namesOfResidents(want))
		}
	})
}

// pageSelectors returns one of a few pairs of selectors that a collection knows.
func pageSelectors(t *testing.T, i, collection int) (fields.Selector, labels.Selector) {
	t.Helper()
	pairs := [][2]string{
		{}, {"", "app=web"}, {"metadata.namespace!=a", ""}, {"metadata.name!=web", "app"}, {"metadata.name=web", ""}, {"metadata.namespace=b", ""},
		{"metadata.namespace=b", "app=web"}, {"", "parity=1"}, {"", "app in (web,x),turn!=2"}, {"", "turn in (1,3)"}, {"metadata.namespace=ns-1", "turn!=0"},
		{"metadata.namespace=b,metadata.name=web", ""}, {"metadata.namespace=ns-1,metadata.name=stay-0004", "app"},
		{"spec.nodeName=n1", ""}, {"spec.nodeName!=n1", "app"}, {"spec.nodeName=n3,metadata.namespace=ns-2", ""},
	}
	if !collections[collection].pods {
		pairs = pairs[:13] // nodes have no spec.nodeName here
	}
	pair := pairs[i%len(pairs)]
	field, err := fields.ParseSelector(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	label, err := labels.Parse(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	return field, label
}

// Pages are what the whole list has after the page before, at the time of each: so they
// are the whole list if nothing changes, and nothing is in them twice if something does.
func FuzzPages(f *testing.F) {
	for i := range uint8(16) {
		f.Add(uint64(i), i%2, i, i, []byte{})
		f.Add(uint64(i), i%2, 3*i, i, []byte{0, 1, 0, 2, 5})
		f.Add(uint64(i), i%2, 1+i%3, i, []byte{1, 1, 1, 1})
	}
	f.Fuzz(func(t *testing.T, seed uint64, nodes, limit, selector uint8, turns []byte) {
		registry := componentmetrics.NewKubeRegistry()
		m, err := NewMetrics(registry.Register, clocktesting.NewFakeClock(start))
		if err != nil {
			t.Fatal(err)
		}
		churn := newChurn(seed, 5, 40)
		const allPods, allNodes = 0, 1 // of collections
		c, list := allPods, (&podStorage{reader: churn.Store, metrics: m}).List
		if nodes%2 == 1 {
			c, list = allNodes, (&nodeStorage{reader: churn.Store, metrics: m}).List
		}
		options := &internalversion.ListOptions{}
		options.FieldSelector, options.LabelSelector = pageSelectors(t, int(selector), c)
		version, last := "", store.Key{}
		for i := 0; ; i++ {
			whole := listDirectly(t, list, options, 0, "")
			want := slices.DeleteFunc(keysOf(whole), func(k store.Key) bool { return k.Compare(last) <= 0 })
			more := limit > 0 && len(want) > int(limit)
			if more {
				want = want[:limit]
			}
			page := listDirectly(t, list, options, int64(limit), options.Continue)
			if got := keysOf(page); !slices.Equal(got, want) || (page.Continue != "") != more {
				t.Fatalf("page %d after %v, continue %q:\n got %v\nwant %v", i, last, page.Continue, got, want)
			}
			if i == 0 {
				version = whole.ResourceVersion
			}
			if page.ResourceVersion != version {
				t.Fatalf("page %d has version %s, the first has %s", i, page.ResourceVersion, version)
			}
			if !more {
				return
			}
			options.Continue, last = page.Continue, want[len(want)-1]
			if i < len(turns) {
				for range turns[i] % 4 {
					churn.turn()
				}
			}
		}
	})
}

// listDirectly lists without a server: one for each store would take most of the time.
func listDirectly(t *testing.T, list func(context.Context, *internalversion.ListOptions) (runtime.Object, error),
	options *internalversion.ListOptions, limit int64, token string,
) *objectList {
	t.Helper()
	o := *options
	o.Limit, o.Continue = limit, token
	l, err := list(genericapirequest.WithNamespace(t.Context(), ""), &o)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*objectList)
}

func keysOf(l *objectList) (keys []store.Key) {
	for _, o := range l.Items {
		meta := o.GetObjectMeta()
		keys = append(keys, store.Key{Namespace: meta.GetNamespace(), Name: meta.GetName()})
	}
	return keys
}
