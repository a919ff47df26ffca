// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	_ "embed" // the look at contrast
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/test/debian"
)

// browser is the Debian packages of the browser.
var browser = []string{"chromium", "fonts-dejavu-core"}

// tab is one of a browser, which belongs to a test.
type tab struct {
	*testing.T
	ctx    context.Context
	server *url.URL

	mu       sync.Mutex
	console  []string // errors of the page
	requests []string // of the page, its own URL among them
}

// openTab starts a browser of its own, that has the token as its password. When the test
// ends, the page must have caused no error, and asked nobody but the server.
func openTab(t *testing.T, server, token string) *tab {
	t.Helper()
	debian.Require(t, browser...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("hide-scrollbars", true))
	ctx, endBrowser := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(endBrowser)
	b := &tab{T: t}
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithListener(b.listen))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("ending the browser: %v", err)
		}
	})
	where, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	b.ctx, b.server = ctx, where
	where.User = url.UserPassword("anyone", token)
	t.Cleanup(b.check)
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.console = append(b.console, fmt.Sprintf("%s %s: %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.console = append(b.console, fmt.Sprint("console.", e.Type))
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// take returns what the page has caused so far, and forgets it.
func (b *tab) take() (console, requests []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	console, requests = b.console, b.requests
	b.console, b.requests = nil, nil
	return console, requests
}

func (b *tab) check() {
	console, requests := b.take()
	for _, line := range console {
		b.Errorf("the page says: %s", line)
	}
	if len(requests) == 0 {
		b.Error("no request was seen")
	}
	for _, r := range requests {
		u, err := url.Parse(r)
		if err != nil || u.Scheme != "data" && u.Host != b.server.Host {
			b.Errorf("a request leaves the page: %.200s", r)
		}
	}
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// value runs an action that has one.
func value[V any](b *tab, action chromedp.Action[V]) V {
	b.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// command is one of the DevTools protocol, of which the answer does not matter.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// visit opens the page.
func (b *tab) visit(query string) {
	b.Helper()
	u := *b.server
	b.run(chromedp.Navigate(u.JoinPath(status.Path).String() + query))
}

// click follows a link or sends a form.
func (b *tab) click(selector string) {
	b.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.Fatalf("%s: %v", selector, err)
	}
}

// evaluate returns what JavaScript makes of the page, which is not the page's own.
func evaluate[V any](b *tab, script string) V {
	b.Helper()
	return value(b, chromedp.Evaluate[V](script))
}

// text is that of the page, as it is seen.
func (b *tab) text() string {
	b.Helper()
	return evaluate[string](b, "document.body.innerText")
}

// names are those in the table.
func (b *tab) names() []string {
	b.Helper()
	return evaluate[[]string](b, `[...document.querySelectorAll("td.name")].map(td => td.firstChild.textContent)`)
}

func (b *tab) wants(parts ...string) {
	b.Helper()
	text := b.text()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.Errorf("the page does not show %q:\n%s", part, text)
		}
	}
}

// device is what the page is looked at with.
type device struct {
	name          string
	width, height int64
	mobile        bool
}

var devices = []device{{"desktop", 1280, 900, false}, {"phone", 390, 844, true}}

var schemes = []string{"light", "dark"}

// look makes it the device's screen, in a colour scheme.
func (b *tab) look(d device, scheme string) {
	b.Helper()
	b.run(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: d.width, Height: d.height, DeviceScaleFactor: 1, Mobile: d.mobile,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
	)
}

// tallest is how much of a page with 100 rows is worth a screenshot, in pixels.
const tallest = 3000

// shoot writes a screenshot of the page, if that is wanted.
func (b *tab) shoot(name string) {
	b.Helper()
	if *screenshots == "" {
		return
	}
	size := evaluate[[]float64](b, "[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
	var png []byte
	b.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		beyond := true
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Clip: &page.Viewport{Width: size[0], Height: min(size[1], tallest), Scale: 1}, CaptureBeyondViewport: &beyond,
		})
		png = shot.Data
		return err
	}))
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}

//go:embed testdata/contrast.js
var contrastScript string

// looksWell goes through devices and schemes. Nothing may be wider than the screen, all
// text must stand out from what is behind it, and dark is not light.
func (b *tab) looksWell(name string) {
	b.Helper()
	for _, d := range devices {
		backgrounds := map[string]bool{}
		for _, scheme := range schemes {
			b.look(d, scheme)
			if width := evaluate[int64](b, "document.documentElement.scrollWidth"); width > d.width {
				b.Errorf("%s: the page is %d pixels wide, and the %s %d", name, width, d.name, d.width)
			}
			for _, pale := range evaluate[[]string](b, contrastScript) {
				b.Errorf("%s, %s, %s: %s", name, d.name, scheme, pale)
			}
			backgrounds[evaluate[string](b, "getComputedStyle(document.body).backgroundColor")] = true
			b.shoot(strings.Join([]string{name, d.name, scheme}, "-"))
		}
		if len(backgrounds) != len(schemes) {
			b.Errorf("%s: the background is always %v", name, backgrounds)
		}
	}
}
