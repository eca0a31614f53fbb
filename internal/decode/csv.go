package decode

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/jsontext"
)

// csvStage makes an object of each row; of several rows a list of objects.
type csvStage struct {
	limit   int
	columns []string // an empty name is left out
	comma   rune
	numbers bool
}

func parseCSV(option any) (func(int) (stage, error), error) {
	s := csvStage{comma: ','}
	columns := option
	if _, isList := option.([]any); !isList {
		object, err := options(option, "columns", "comma", "numbers")
		if err != nil {
			return nil, fmt.Errorf("%w; or a list of the columns", err)
		}
		columns = object["columns"]
		if s.comma, err = comma(object["comma"]); err != nil {
			return nil, err
		}
		var ok bool
		if s.numbers, ok = object["numbers"].(bool); !ok && object["numbers"] != nil {
			return nil, errors.New("numbers: expected true or false")
		}
	}
	var err error
	if s.columns, err = names(columns, "columns"); err != nil {
		return nil, err
	}
	return func(limit int) (stage, error) {
		s := s
		s.limit = limit
		return s, nil
	}, nil
}

func comma(option any) (rune, error) {
	if option == nil {
		return ',', nil
	}
	text, _ := option.(string)
	r, size := utf8.DecodeRuneInString(text)
	if size == 0 || size != len(text) || r == utf8.RuneError || r == '"' || r == '\n' || r == '\r' {
		return 0, errors.New(`comma: expected one character, such as ";"`)
	}
	return r, nil
}

// run implements stage.
func (s csvStage) run(in, out []byte) ([]byte, bool, error) {
	r := csv.NewReader(bytes.NewReader(in))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = s.comma, len(s.columns), true
	rows := 0
	out = append(out, '[')
	for {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF) && rows == 1:
			return out[1:], true, nil
		case errors.Is(err, io.EOF) && rows == 0:
			return out, true, errors.New("there is no row")
		case errors.Is(err, io.EOF):
			return append(out, ']'), true, nil
		case err != nil:
			return out, true, err
		}
		if rows++; rows > 1 {
			out = append(out, ',')
		}
		if out = s.row(out, row); len(out) > s.limit {
			return out, true, errLarge
		}
	}
}

func (s csvStage) row(out []byte, row []string) []byte {
	out = append(out, '{')
	first := true
	for i, field := range row {
		if s.columns[i] == "" {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(jsontext.AppendString(out, asBytes(s.columns[i])), ':')
		if s.numbers && isNumber(field) {
			out = append(out, field...)
		} else {
			out = jsontext.AppendString(out, asBytes(field))
		}
	}
	return append(out, '}')
}

// isNumber reports whether text is a number of JSON.
func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid(asBytes(text))
}
