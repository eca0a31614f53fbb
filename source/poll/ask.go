package poll

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/leatstream/leat/source"
)

// answer is what the provider answered, all pages together.
type answer struct {
	sent  time.Time     // the first request: what was there by then is in it
	items []source.Item // from the oldest to the newest
	bytes int64
	skip  *source.SkipError // it was left out
	cut   bool              // there are more pages than are asked for, and nothing will ask for them
	end   error             // the provider wants to be left alone
}

// ask asks once.
func (p *poller) ask(ctx context.Context) (*answer, error) {
	a := &answer{sent: time.Now()}
	p.waitFor("")
	next := ""
	for n := 1; ; n++ {
		page, err := p.page(ctx, a, next, n)
		if err != nil || a.skip != nil {
			return a, err
		}
		a.items, a.end = append(a.items, page.Items...), page.End
		next = page.Next
		enough := p.window && p.Config.NewestFirst && slices.ContainsFunc(page.Items, func(item source.Item) bool { return p.known.has(p.identity(&item)) })
		first := p.window && p.Config.NewestFirst && !p.known.any() // the first answer ever: what is older is not asked for
		if next == "" || enough || first || len(page.Items) == 0 || a.end != nil {
			break
		}
		if n == p.Config.MaxPages {
			if p.window || p.Config.NewestFirst {
				a.cut = true
			} else {
				p.pause = 0 // the cursor goes on from here
			}
			break
		}
	}
	if p.Config.NewestFirst {
		slices.Reverse(a.items)
	}
	return a, nil
}

// page asks for the n-th page.
func (p *poller) page(ctx context.Context, a *answer, next string, n int) (*source.Page, error) {
	header := http.Header{"Accept": {"application/json, */*;q=0.5"}}
	if n == 1 {
		p.conditions(header)
	}
	left := int64(p.Config.MaxAnswer) - a.bytes
	p.vars["cursor"] = p.cursor
	page, err := p.pager.Ask(ctx, source.Query{Vars: p.vars, Page: next, Header: header, Left: left})
	if err != nil && !errors.As(err, &a.skip) {
		return nil, err
	}
	if n == 1 {
		p.waitFor(page.Header.Get(p.Config.IntervalHeader))
		if !page.Same {
			p.etag, p.modified = page.Header.Get("ETag"), page.Header.Get("Last-Modified")
		}
	}
	a.bytes += page.Bytes
	if page.Bytes > left {
		a.skip = source.TooLarge(a.bytes, p.Config.MaxAnswer)
	}
	return page, nil
}

// conditions asks for an answer only if it is another one than the last.
func (p *poller) conditions(header http.Header) {
	if p.etag != "" {
		header.Set("If-None-Match", p.etag)
	}
	if p.modified != "" {
		header.Set("If-Modified-Since", p.modified)
	}
}
