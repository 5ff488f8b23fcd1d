// Package browser opens pages in a headless Chromium, for tests of what a reader sees and does. chromedp speaks the DevTools
// protocol with it: a test then presses real keys and reads what assistive technology is told.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
)

// limit is how long a test may wait for the browser: far longer than it takes on a busy machine.
const limit = 3 * time.Minute

// programs are the names of Chromium, the smallest first.
var programs = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}

// Page is an open page.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu sync.Mutex
	// complaints are exceptions of scripts, and requests for anything but the page.
	complaints []string
}

// Open writes a page to a file and opens it. The test fails at its end if a script of the page has thrown, or if the page has asked
// for anything but itself.
func Open(t testing.TB, html []byte) *Page {
	t.Helper()
	program, err := find()
	if err != nil {
		needs.Missing(t, err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, html, 0o644); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(limit))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	ctx, stop := context.WithTimeout(context.Background(), limit)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	p := &Page{t: t, ctx: ctx}
	address := (&url.URL{Scheme: "file", Path: file}).String()
	if err := chromedp.Listen(ctx, func(event any) { p.hear(event, address) }); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.Navigate("about:blank"))
	Call(p, network.Enable, network.EnableParams{})
	Call(p, runtime.Enable, cdp.Empty{})
	p.Do(chromedp.Navigate(address))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.complaints) > 0 {
			t.Errorf("the page: %s", strings.Join(p.complaints, "; "))
		}
	})
	return p
}

func find() (string, error) {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium: 'make deps' installs chromium-headless-shell")
}

func (p *Page) hear(event any, address string) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception.Description)
	case *network.EventRequestWillBeSent:
		if e.Request.URL != "about:blank" && !strings.HasPrefix(e.Request.URL, address) {
			complaint = "asks for " + e.Request.URL
		}
	}
	if complaint != "" {
		p.mu.Lock()
		p.complaints = append(p.complaints, complaint)
		p.mu.Unlock()
	}
}

// Do carries out what a reader does.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Eval returns the value of an expression in the page.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return ask(p, chromedp.Evaluate[T](expression))
}

// Until waits for an expression to be true.
func (p *Page) Until(expression string) {
	p.t.Helper()
	ask(p, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(limit)))
}

// Focus gives the keyboard to the first element of a selector.
func (p *Page) Focus(selector string) {
	p.t.Helper()
	Eval[any](p, fmt.Sprintf("document.querySelector(%q).focus()", selector))
}

// Call sends a command of the DevTools protocol.
func Call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	result, err := chromedp.Call(p.ctx, command, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

func ask[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}
