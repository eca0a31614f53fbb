package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Pages say where the events are in the answers to a Request, and where an answer goes on.
type Pages struct {
	// Where the events are in an answer: the member path of a list, such as states or data.items. Default: the answer is the list, or is
	// one event if it is none.
	Items expression.Path `yaml:"items"`

	// Where an answer says that there is more of it: the word link for the header field Link with rel="next", or the member path of an
	// address, or of a text that is used as {{page}} in the request. Addresses on another host are refused. Default: an answer is all there is.
	Next string `yaml:"next"`

	// The largest answer, all its pages together, after decompression. A larger one is left out and becomes a gap record.
	MaxAnswer setting.Size `yaml:"max_answer" default:"16MiB" min:"1KiB" max:"256MiB"`
}

// nextLink is the Next of a header field.
const nextLink = "link"

// CheckPages returns what is wrong with the settings, taken together with the request that asks for them.
func (p *Pages) CheckPages(r *Request) error {
	var wrong []error
	if p.Items.Arrays() > 0 {
		wrong = append(wrong, setting.FieldErrorf("items", "expected the path of the list itself, without []"))
	}
	if p.Next != "" && p.Next != nextLink {
		path, err := expression.ParsePath(p.Next)
		switch {
		case err != nil:
			wrong = append(wrong, &setting.FieldError{Field: "next", Err: err})
		case path.Arrays() > 0:
			wrong = append(wrong, setting.FieldErrorf("next", "expected the path of one value, without []"))
		}
	}
	if r.Uses("page") && p.Next == nextLink {
		wrong = append(wrong, setting.FieldErrorf("next", "{{page}} is used: expected the member path of what it stands for"))
	}
	return errors.Join(wrong...)
}

// Pager asks for pages and takes them apart. NewPager makes one for the answers to one client; one goroutine uses it.
type Pager struct {
	Tape *Taping // is told what the pages say; nil: nothing is recorded

	client *Client
	pages  *Pages
	limit  time.Duration // of one answer
	intake *Intaking
	whole  bool // the intake splits answers, and not what is in them
	byPage bool // {{page}} is used
	next   expression.Path
}

// NewPager returns a Pager. The defaults of the settings are filled in, and their Check has passed. The Pager closes the Intaking with its own Close.
func NewPager(client *Client, pages *Pages, intake *Intaking) *Pager {
	p := &Pager{client: client, pages: pages, limit: 2 * client.request.Timeout, intake: intake, byPage: client.request.Uses("page")}
	p.whole = pages.Items.IsZero() && intake.split != nil && !intake.split.Path.IsZero()
	if pages.Next != nextLink {
		p.next, _ = expression.ParsePath(pages.Next)
	}
	return p
}

// Close frees what decoding needs. It may be called more than once.
func (p *Pager) Close() { p.intake.Close() }

// Query is what a page is asked for with.
type Query struct {
	Vars   map[string]any // of Client.Variables. Ask sets page, and what it has to find out anew
	Page   string         // the Next of the page before; empty: the first one
	Header http.Header    // beside those of the settings
	Left   int64          // how many bytes the answer may have
}

// Page is one page of an answer.
type Page struct {
	Items  []Item // in the order of the page
	Next   string // of Query, for the page behind it; empty: there is none
	Bytes  int64  // of the answer; more than Left: it is too large, and there are no items
	Same   bool   // the provider says that there is nothing new
	Header http.Header

	// End is why the provider wants to be left alone, as a rule of classify says; nil: it does not. Items were before it.
	End error

	most int // Items
}

// Item is an event of a page.
type Item struct {
	Data []byte     // its own for good
	Skip *SkipError // it is left out for this reason; Data is what was left out
}

// Ask asks for one page. An error is best an *EndError, or a *SkipError if the page was left out.
func (p *Pager) Ask(ctx context.Context, q Query) (*Page, error) {
	var got *Answer
	var err error
	q.Vars["page"] = q.Page
	if q.Page != "" && !p.byPage {
		got, err = p.client.Follow(ctx, q.Page, q.Vars, q.Header)
	} else {
		got, err = p.client.Do(ctx, q.Vars, q.Header, http.StatusNotModified)
	}
	if err != nil {
		return nil, err
	}
	defer got.Close()
	page := &Page{Header: got.Header, most: max(maxParts, int(q.Left/bytesOfItem))}
	if page.Same = got.Status == http.StatusNotModified || got.Status == http.StatusNoContent; page.Same {
		return page, nil
	}
	text, err := got.readAll(ctx, p.limit, q.Left)
	if page.Bytes = int64(len(text)); err != nil || page.Bytes > q.Left {
		return page, err
	}
	p.Tape.In(TapeEntry{Data: text})
	if text, err = p.intake.Answer(text); err != nil {
		return page, p.left(page, err)
	}
	body := unsafe.String(unsafe.SliceData(text), len(text)) // it is never written again
	if strings.TrimSpace(body) == "" {
		return page, nil
	}
	if !expression.ValidText(body) {
		return nil, &EndError{Kind: EndProtocol, Reason: "the answer is no JSON, or too deep"}
	}
	if err = p.take(page, body); err != nil {
		return nil, err
	}
	page.Next, err = p.following(got, body)
	return page, err
}

// left takes a page that is no data as what it is.
func (p *Pager) left(page *Page, err error) error {
	var end *EndError
	if errors.As(err, &end) {
		page.End = end
		return nil
	}
	return err
}

// take fills in the events of a page.
func (p *Pager) take(page *Page, body string) error {
	raw, _, ok := p.pages.Items.Find(body)
	if !ok {
		return &EndError{Kind: EndProtocol, Reason: "the answer has nothing at items: " + p.pages.Items.String()}
	}
	list := gjson.Parse(raw)
	switch {
	case list.Type == gjson.Null:
		return nil // an empty list, as some write it
	case !list.IsArray() && !p.pages.Items.IsZero():
		return &EndError{Kind: EndProtocol, Reason: "what the answer has at items is no list: " + p.pages.Items.String()}
	case !list.IsArray() || p.whole:
		p.part(page, strings.TrimSpace(body), false)
		return nil
	}
	list.ForEach(func(_, item gjson.Result) bool {
		return p.part(page, item.Raw, true)
	})
	return nil
}

// bytesOfItem bounds how many events an answer may hold: with less for each of them, as many as fit take much more memory than the answer.
const bytesOfItem = 64

// part takes one item, and reports whether to go on.
func (p *Pager) part(page *Page, raw string, classify bool) bool {
	if len(page.Items) >= page.most {
		page.End = &EndError{Kind: EndProtocol, Reason: fmt.Sprintf("the answer holds more than %d events", page.most)}
		return false
	}
	data := []byte(raw)
	taken, err := p.intake.part(data, classify)
	var skip *SkipError
	switch {
	case errors.As(err, &skip):
		page.Items = append(page.Items, Item{Data: data, Skip: skip})
	case err != nil:
		page.End = err
		return false
	}
	for i := range taken.Events {
		if isMark(&taken.Events[i]) {
			continue // where a page ends is known otherwise
		}
		page.Items = append(page.Items, Item{Data: taken.Events[i].Data})
	}
	return true
}

var errElsewhere = errors.New("the next page is said to be on another host")

// following returns the address of the next page, or the text for {{page}}.
func (p *Pager) following(got *Answer, body string) (string, error) {
	next := ""
	switch {
	case p.pages.Next == nextLink:
		next = linked(got.Header.Values("Link"))
	case !p.next.IsZero():
		raw, _, _ := p.next.Find(body)
		if value := gjson.Parse(raw); value.Type == gjson.String || value.Type == gjson.Number {
			next = value.String()
		}
	}
	if next == "" || p.byPage {
		return next, nil
	}
	from := got.URL()
	to, err := from.Parse(next)
	if err != nil || to.Scheme != from.Scheme || to.Host != from.Host || to.User != nil {
		return "", &EndError{Kind: EndProtocol, Err: errElsewhere}
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
