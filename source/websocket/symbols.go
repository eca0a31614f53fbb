package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/setting"
)

// Symbols are names that are subscribed to, too many for one message.
type Symbols struct {
	// Names for {{symbols}} in subscribe and subscriptions, such as [BTC-USD, ETH-USD]. A message that uses it is said once for each chunk of them, in which it is
	// the list: {product_ids: "{{symbols}}"}, or in a text '{"product_ids":{{symbols}}}' or {{join(symbols, ",")}}.
	Symbols []string `yaml:"symbols"`

	// A file with more of them, one a line. Empty lines, and what follows a #, do not count. It is read at every attempt.
	SymbolsFile string `yaml:"symbols_file"`

	// How many symbols there are in one message at most.
	Chunk int `yaml:"chunk" default:"100" min:"1" max:"10000"`
}

const (
	maxSymbols     = 100_000
	maxSymbolsFile = 4 << 20
)

// given reports whether there are any.
func (s *Symbols) given() bool { return len(s.Symbols) > 0 || s.SymbolsFile != "" }

// chunks returns all symbols, as many together as belong into one message.
func (s *Symbols) chunks() ([][]string, error) {
	all := s.Symbols
	if s.SymbolsFile != "" {
		more, err := readSymbols(s.SymbolsFile)
		if err != nil {
			return nil, fmt.Errorf("read symbols_file: %w", err)
		}
		all = slices.Concat(all, more)
	}
	if len(all) > maxSymbols {
		return nil, fmt.Errorf("there are %d symbols, more than %d", len(all), maxSymbols)
	}
	return slices.Collect(slices.Chunk(all, max(1, s.Chunk))), nil
}

func readSymbols(path string) (list []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	limited := &io.LimitedReader{R: f, N: maxSymbolsFile + 1}
	lines := bufio.NewScanner(limited)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text != "" {
			list = append(list, text)
		}
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("it has more than %d bytes", maxSymbolsFile)
	}
	return list, lines.Err()
}

// checkSymbols returns what is wrong with the symbols.
func (c *Config) checkSymbols() error {
	used := slices.ContainsFunc(c.said(), func(m *Message) bool { return m.text.Uses("symbols") })
	switch {
	case c.Symbols.given() && !used:
		return &setting.FieldError{Field: "symbols", Err: errors.New("nothing uses {{symbols}}"), Hint: "use it in subscribe or subscriptions"}
	case !c.Symbols.given() && used:
		return setting.FieldErrorf("subscribe", "{{symbols}} is used, but there are no symbols")
	}
	return nil
}

// said returns what is said to subscribe.
func (c *Config) said() []*Message {
	list := []*Message{&c.Subscribe}
	for i := range c.Subscriptions {
		list = append(list, &c.Subscriptions[i])
	}
	return list
}
