package expression

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"github.com/expr-lang/expr"
)

// function is one that expressions may call.
type function struct {
	name        string
	least, most int // arguments; most -1: any number
	call        func(args []any) (any, error)
}

// functionError says why a function has no value. It repeats no argument, which may be secret.
type functionError struct{ text string }

// Error implements error.
func (e *functionError) Error() string { return e.text }

func (f function) option() expr.Option {
	return expr.Function(f.name, func(args ...any) (any, error) {
		if len(args) < f.least || f.most >= 0 && len(args) > f.most {
			return nil, &functionError{fmt.Sprintf("%s takes another number of arguments than %d", f.name, len(args))}
		}
		value, err := f.call(args)
		if err != nil {
			return nil, &functionError{f.name + ": " + err.Error()}
		}
		return value, nil
	})
}

// messageFunctions give the same for the same arguments.
var messageFunctions = []function{
	{"sha256", 1, 1, digest(sha256.New)},
	{"sha512", 1, 1, digest(sha512.New)},
	{"hmac_sha256", 2, 2, keyed(sha256.New)},
	{"hmac_sha512", 2, 2, keyed(sha512.New)},
	{"bytes", 1, -1, func(args []any) (any, error) { return joined(args) }},
	{"hex", 1, 1, written(hex.EncodeToString)},
	{"base64", 1, 1, written(base64.StdEncoding.EncodeToString)},
	{"base64url", 1, 1, written(base64.RawURLEncoding.EncodeToString)},
	{"base64_decode", 1, 1, func(args []any) (any, error) { return decoded(args[0]) }},
}

// templateFunctions are about the moment of their use.
var templateFunctions = []function{
	{"now", 0, 0, func([]any) (any, error) { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), nil }},
	{"unix", 0, 0, func([]any) (any, error) { return int(time.Now().Unix()), nil }},
	{"unix_ms", 0, 0, func([]any) (any, error) { return int(time.Now().UnixMilli()), nil }},
	{"uuid", 0, 0, func([]any) (any, error) { return uuid(), nil }},
	{"random_hex", 1, 1, func(args []any) (any, error) { return randomHex(args[0]) }},
	{"jwt", 3, 4, jwt},
}

var functionNames = func() map[string]bool {
	names := map[string]bool{}
	for _, list := range [][]function{messageFunctions, templateFunctions} {
		for _, f := range list {
			names[f.name] = true
		}
	}
	return names
}()

// bytesOf returns an argument as bytes: bytes as they are, anything else as the text that a template would insert.
func bytesOf(arg any) ([]byte, error) {
	if b, ok := arg.([]byte); ok {
		return b, nil
	}
	text, ok := textOf(arg)
	if !ok {
		return nil, fmt.Errorf("an argument does not exist")
	}
	return []byte(text), nil
}

func joined(args []any) ([]byte, error) {
	var all []byte
	for _, arg := range args {
		b, err := bytesOf(arg)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func digest(of func() hash.Hash) func([]any) (any, error) {
	return func(args []any) (any, error) {
		b, err := bytesOf(args[0])
		if err != nil {
			return nil, err
		}
		h := of()
		h.Write(b)
		return h.Sum(nil), nil
	}
}

func keyed(of func() hash.Hash) func([]any) (any, error) {
	return func(args []any) (any, error) {
		key, err := bytesOf(args[0])
		if err != nil {
			return nil, err
		}
		b, err := bytesOf(args[1])
		if err != nil {
			return nil, err
		}
		h := hmac.New(of, key)
		h.Write(b)
		return h.Sum(nil), nil
	}
}

func written(encode func([]byte) string) func([]any) (any, error) {
	return func(args []any) (any, error) {
		b, err := bytesOf(args[0])
		return encode(b), err
	}
}

// decoded reads both alphabets of base64, padded or not.
func decoded(arg any) ([]byte, error) {
	text, err := bytesOf(arg)
	if err != nil {
		return nil, err
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(string(text)); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("the argument is no base64")
}

// uuid returns one of version 4, RFC 9562 §5.4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func randomHex(arg any) (string, error) {
	n, ok := arg.(int)
	if !ok || n < 1 || n > 64 {
		return "", fmt.Errorf("expected a number of bytes from 1 to 64")
	}
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b), nil
}
