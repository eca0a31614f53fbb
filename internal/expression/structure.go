package expression

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/jsontext"
)

// JSONTemplate returns the Template of the JSON of a value: nil, a truth value, a number, a text, or a []any or map[string]any of such. The texts
// in it are templates, and what they insert stays inside of the text that it stands in. A text that is one expression alone becomes a list or an object
// where that is its value. Its error repeats no text.
func JSONTemplate(value any) (Template, error) {
	var b structure
	if err := b.add(value); err != nil {
		return Template{}, err
	}
	b.flush()
	return Template{source: b.source.String(), parts: b.parts}, nil
}

// structure builds a template of JSON.
type structure struct {
	parts  []part
	text   strings.Builder // since the last expression
	source strings.Builder
}

func (b *structure) write(text string) {
	b.text.WriteString(text)
	b.source.WriteString(text)
}

func (b *structure) flush() {
	if b.text.Len() > 0 {
		b.parts = append(b.parts, part{text: b.text.String()})
		b.text.Reset()
	}
}

func (b *structure) add(value any) error {
	switch v := value.(type) {
	case string:
		return b.addText(v)
	case []any:
		b.write("[")
		for i, item := range v {
			if i > 0 {
				b.write(",")
			}
			if err := b.add(item); err != nil {
				return err
			}
		}
		b.write("]")
		return nil
	case map[string]any:
		b.write("{")
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.write(",")
			}
			if err := b.addText(name); err != nil {
				return err
			}
			b.write(":")
			if err := b.add(v[name]); err != nil {
				return err
			}
		}
		b.write("}")
		return nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot be sent as JSON: %w", err)
	}
	b.write(string(text))
	return nil
}

func (b *structure) addText(text string) error {
	t, err := ParseTemplate(text)
	if err != nil {
		return err
	}
	if len(t.parts) == 1 && t.parts[0].program != nil {
		b.flush()
		p := t.parts[0]
		p.alone = true
		b.parts = append(b.parts, p)
		b.source.WriteString(`"{{` + p.program.Source().String() + `}}"`)
		return nil
	}
	b.write(`"`)
	for _, p := range t.parts {
		if p.program == nil {
			b.write(quoted(p.text))
			continue
		}
		b.flush()
		p.quoted = true
		b.parts = append(b.parts, p)
		b.source.WriteString("{{" + p.program.Source().String() + "}}")
	}
	b.write(`"`)
	return nil
}

// quoted returns a text as JSON writes it, without the quotes.
func quoted(text string) string {
	out := jsontext.AppendString(nil, text)
	return string(out[1 : len(out)-1])
}
