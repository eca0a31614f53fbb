package poll

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// answer is what the provider answered, all pages together.
type answer struct {
	sent     time.Time // the first request: what was there by then is in it
	items    []string  // from the oldest to the newest
	bytes    int64
	tooLarge int64 // so many bytes it had at least, and was left out
	cut      bool  // there are more pages than are asked for, and nothing will ask for them
}

// ask asks once.
func (p *poller) ask(ctx context.Context) (*answer, error) {
	a := &answer{sent: time.Now()}
	p.waitFor("")
	page := ""
	for n := 1; ; n++ {
		body, next, err := p.page(ctx, a, page, n)
		if err != nil || a.tooLarge > 0 {
			return a, err
		}
		items, err := p.items(body)
		if err != nil {
			return nil, err
		}
		a.items = append(a.items, items...)
		page = next
		enough := p.window && p.Config.NewestFirst && slices.ContainsFunc(items, func(item string) bool { return p.known.has(p.identity(item)) })
		first := p.window && p.Config.NewestFirst && !p.known.any() // the first answer ever: what is older is not asked for
		if page == "" || enough || first || len(items) == 0 {
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

// page asks for the n-th page. An empty text and no error: nothing is new, or the answer is too large.
func (p *poller) page(ctx context.Context, a *answer, page string, n int) (body, next string, err error) {
	header := http.Header{"Accept": {"application/json, */*;q=0.5"}}
	if n == 1 {
		p.conditions(header)
	}
	vars := map[string]any{"cursor": p.cursor, "page": page}
	var got *source.Answer
	if page != "" && !p.pages {
		got, err = p.client.Follow(ctx, page, header)
	} else {
		got, err = p.client.Do(ctx, vars, header, http.StatusNotModified)
	}
	if err != nil {
		return "", "", err
	}
	defer got.Close()
	if n == 1 {
		p.waitFor(got.Header.Get(p.Config.IntervalHeader))
	}
	if got.Status == http.StatusNotModified || got.Status == http.StatusNoContent {
		return "", "", nil
	}
	text, err := p.read(ctx, got, a)
	if err != nil {
		return "", "", err
	}
	if n == 1 {
		p.etag, p.modified = got.Header.Get("ETag"), got.Header.Get("Last-Modified")
	}
	if a.tooLarge > 0 {
		return "", "", nil
	}
	p.feed.Tape.In(source.TapeEntry{Data: text})
	body = string(text)
	if len(strings.TrimSpace(body)) > 0 && !expression.ValidText(body) {
		return "", "", &source.EndError{Kind: source.EndProtocol, Reason: "the answer is no JSON, or too deep"}
	}
	next, err = p.following(got, body)
	return body, next, err
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

// read reads a page, up to the limit of the whole answer.
func (p *poller) read(ctx context.Context, got *source.Answer, a *answer) ([]byte, error) {
	late := time.AfterFunc(2*p.Config.Timeout, got.Abort)
	defer late.Stop()
	defer context.AfterFunc(ctx, got.Abort)()
	left := int64(p.Config.MaxAnswer) - a.bytes
	text, err := io.ReadAll(io.LimitReader(got.Body, left+1))
	switch {
	case err != nil && !late.Stop():
		return nil, &source.EndError{Kind: source.EndRead, Reason: "the answer took longer than " + setting.FormatDuration(2*p.Config.Timeout)}
	case err != nil:
		return nil, &source.EndError{Kind: source.EndRead, Err: source.Tellable(err)}
	}
	a.bytes += int64(len(text))
	if int64(len(text)) > left {
		a.tooLarge = a.bytes
	}
	return text, nil
}

// items returns the events of a page.
func (p *poller) items(body string) (items []string, err error) {
	if len(strings.TrimSpace(body)) == 0 {
		return nil, nil
	}
	raw, _, ok := p.Config.Items.Find(body)
	if !ok {
		return nil, &source.EndError{Kind: source.EndProtocol, Reason: "the answer has nothing at items: " + p.Config.Items.String()}
	}
	list := gjson.Parse(raw)
	switch {
	case list.Type == gjson.Null:
		return nil, nil // an empty list, as some write it
	case !list.IsArray() && !p.Config.Items.IsZero():
		return nil, &source.EndError{Kind: source.EndProtocol, Reason: "what the answer has at items is no list: " + p.Config.Items.String()}
	case !list.IsArray():
		return []string{strings.TrimSpace(body)}, nil
	}
	list.ForEach(func(_, item gjson.Result) bool {
		items = append(items, item.Raw)
		return true
	})
	return items, nil
}

var errElsewhere = errors.New("the next page is said to be on another host")

// following returns the address of the next page, or the text for {{page}}.
func (p *poller) following(got *source.Answer, body string) (string, error) {
	next := ""
	switch {
	case p.Config.Next == nextLink:
		next = linked(got.Header.Values("Link"))
	case !p.next.IsZero():
		raw, _, _ := p.next.Find(body)
		if value := gjson.Parse(raw); value.Type == gjson.String || value.Type == gjson.Number {
			next = value.String()
		}
	}
	if next == "" || p.pages {
		return next, nil
	}
	from := got.URL()
	to, err := from.Parse(next)
	if err != nil || to.Scheme != from.Scheme || to.Host != from.Host || to.User != nil {
		return "", &source.EndError{Kind: source.EndProtocol, Err: errElsewhere}
	}
	return to.String(), nil
}

// linked returns the target with rel="next" of header fields in the form of RFC 8288.
func linked(fields []string) string {
	for _, field := range fields {
		for field != "" {
			_, rest, ok := strings.Cut(field, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			own, after, _ := strings.Cut(params, "<") // a comma may stand in quotes, the bracket of the next one hardly
			if isNext(own) {
				return target
			}
			field = ""
			if after != "" {
				field = "<" + after
			}
		}
	}
	return ""
}

func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.Trim(param, " ,\t"), "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") && slices.Contains(strings.Fields(strings.ToLower(strings.Trim(value, `" `))), "next") {
			return true
		}
	}
	return false
}
