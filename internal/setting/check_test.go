package setting_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/leatstream/leat/internal/setting"
)

func TestFieldErrorsNameTheFieldAndKeepTheCause(t *testing.T) {
	err := setting.FieldErrorf("tls.cert", "open: %w", fs.ErrNotExist)
	if err.Error() != "tls.cert: open: file does not exist" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	err = &setting.FieldError{Field: "url", Err: errors.New("no scheme"), Hint: "begin it with wss://"}
	if got := err.Error(); got != "url: no scheme; begin it with wss://" {
		t.Error(got)
	}
}
