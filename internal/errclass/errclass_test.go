package errclass_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/leatstream/leat/internal/errclass"
)

func TestMark(t *testing.T) {
	cause, class, other := errors.New("cause"), errors.New("class"), errors.New("other")
	err := fmt.Errorf("above: %w", errclass.Mark(cause, class))
	if err.Error() != "above: cause" || !errors.Is(err, cause) || !errors.Is(err, class) || errors.Is(err, other) {
		t.Errorf("%v", err)
	}
	if errclass.Mark(nil, class) != nil {
		t.Error("no error became one")
	}
}
