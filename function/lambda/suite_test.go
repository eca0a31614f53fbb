package lambda_test

import (
	"errors"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/functiontest"
)

func batch(payloads ...string) leat.Batch { return functiontest.Batch(7, payloads...) }

func errorIn(err error) *function.Error {
	var e *function.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func suite(t *testing.T, language, handler string) {
	t.Parallel()
	program(t, language, handler) // skips here
	functiontest.Run(t, functiontest.Config{
		Largest: 6 << 20,
		New: func(t testing.TB, limit time.Duration) function.Function {
			c := program(t, language, handler)
			c.Timeout, c.Processes = limit, 4
			f, _ := open(t, c)
			return f
		},
	})
}

func TestGoFunctions(t *testing.T)     { suite(t, "go", "") }
func TestNodePromises(t *testing.T)    { suite(t, "node", "index.handler") }
func TestNodeCallbacks(t *testing.T)   { suite(t, "node", "index.callback") }
func TestNodePlainValues(t *testing.T) { suite(t, "node", "index.plain") }
func TestNodeModules(t *testing.T)     { suite(t, "node", "module.handler") }
func TestPythonFunctions(t *testing.T) { suite(t, "python", "app.handler") }
