package function_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/function"
)

func TestClassesOfErrors(t *testing.T) {
	cause := &function.Error{Type: "ValueError", Message: "no number"}
	permanent, gone := function.Permanent(fmt.Errorf("call f: %w", cause)), function.Gone(cause)
	if !function.IsPermanent(permanent) || function.IsGone(permanent) || !function.IsGone(gone) || function.IsPermanent(gone) {
		t.Error("the classes are confused")
	}
	var found *function.Error
	if !errors.As(permanent, &found) || found != cause || permanent.Error() != "call f: ValueError: no number" {
		t.Errorf("the cause is lost: %v", permanent)
	}
	if function.Permanent(nil) != nil || function.Gone(nil) != nil {
		t.Error("no error became one")
	}
}

func TestErrorsAreTrimmed(t *testing.T) {
	e := (&function.Error{
		Type:    strings.Repeat("T", 10_000),
		Message: "x" + strings.Repeat("ü", function.MaxMessage) + "\xff",
		Stack:   []string{strings.Repeat("a", 30<<10), strings.Repeat("é", 30<<10), "never"},
		LogTail: []byte("dropped" + strings.Repeat("l", function.MaxLogTail-1) + "e"),
	}).Trim()
	if len(e.Type) != function.MaxType || len(e.Message) != function.MaxMessage-1 || strings.ContainsRune(e.Message, '\ufffd') {
		t.Errorf("%d bytes of type, %d of message", len(e.Type), len(e.Message))
	}
	if len(e.Stack) != 2 || len(e.Stack[1]) != 2<<10 {
		t.Errorf("%d lines of stack", len(e.Stack))
	}
	if len(e.LogTail) != function.MaxLogTail || e.LogTail[function.MaxLogTail-1] != 'e' {
		t.Errorf("%d bytes of output", len(e.LogTail))
	}
	if short := (&function.Error{Message: "a\xffb"}).Trim(); short.Error() != "a\ufffdb" {
		t.Errorf("got %q", short.Error())
	}
}
