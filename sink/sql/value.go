package sql

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/leatstream/leat/internal/expression"
)

// convert returns text as a value of the kind.
func convert(kind, text string) (any, error) {
	switch kind {
	case kindInteger:
		return integer(text)
	case kindReal:
		f, err := number(text)
		if err != nil {
			return nil, err
		}
		return f, nil
	case kindBoolean:
		switch text {
		case "true":
			return int64(1), nil
		case "false":
			return int64(0), nil
		}
		return nil, fmt.Errorf("%.40q is neither true nor false", text)
	case kindJSON:
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%.40q is not UTF-8", text)
		}
		if expression.Valid(unsafe.Slice(unsafe.StringData(text), len(text))) {
			return text, nil
		}
		quoted, err := json.Marshal(text)
		return view(quoted), err
	}
	return textOrBlob(text), nil
}

func integer(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	// A whole number may be written as 5.0 or 1e3; beyond 2^53 a float64 is not exact.
	if f, err := number(text); err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
		return int64(f), nil
	}
	return nil, fmt.Errorf("%.40q is not an integer of 64 bits", text)
}

// number reads a decimal number; ParseFloat would also take hexadecimal, Inf, NaN and underscores.
func number(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, fmt.Errorf("%.40q is not a number of 64 bits", text)
	}
	return f, nil
}

// textOrBlob returns s as a text if every reader can read it as one, else as bytes: SQLite stores any
// bytes as text, but cuts them at a zero byte in most of its functions.
func textOrBlob(s string) any {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return []byte(s)
}

// timeText returns t as texts that sort by time and that the date functions of SQLite read.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// view returns b as a text that shares its memory: payloads are never written again.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
