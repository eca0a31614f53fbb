package lambda_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/lambda"
	"github.com/leatstream/leat/internal/setting"
)

func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		language, handler string
		kind, message     string // of the error
		stack             string // a part of it; empty: it does not matter
	}{
		{"python", "app.not_json", "Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable", ""},
		{"python", "app.number", "Runtime.MarshalError", "Out of range float values", ""},
		{"python", "app.leave", "Runtime.ExitError", "exit status 4", ""},
		{"python", "app.large", "Function.ResponseSizeTooLarge", "6291456 bytes", ""},
		{"python", "app.raises", "ValueError", "with a stack", "in deeper"},
		{"node", "index.notJSON", "TypeError", "BigInt", ""},
		{"node", "index.unsettled", "Runtime.NodeJsExit", "nothing can settle", ""},
		{"node", "index.rejection", "Runtime.UnhandledPromiseRejection", "nobody caught this", ""},
		{"node", "index.thrower", "RangeError", "with a stack", "at deeper"},
		{"node", "index.large", "Function.ResponseSizeTooLarge", "6291456 bytes", ""},
		{"go", "panic", "string", "a panic on purpose", "main"},
		{"go", "stream", "errorString", "the answer broke off on purpose", ""},
		{"go", "large", "Function.ResponseSizeTooLarge", "6291456 bytes", ""},
	} {
		t.Run(test.language+" "+test.handler, func(t *testing.T) {
			t.Parallel()
			f, _ := open(t, program(t, test.language, test.handler))
			for range 2 { // and it can be called again
				e := wants(t, f, input(), test.message)
				if e.Type != test.kind || !strings.Contains(strings.Join(e.Stack, "\n"), test.stack) {
					t.Errorf("type %q, stack %q", e.Type, e.Stack)
				}
			}
		})
	}
}

func TestFunctionsThatCannotBeStartedAreGone(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "bootstrap"), []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		language string
		config   lambda.Config
		want     string
	}{
		{"python", lambda.Config{Handler: "broken.handler"}, "Runtime.ImportModuleError: Unable to import module 'broken': No module named 'no_such_module'"},
		{"python", lambda.Config{Handler: "wrong.handler"}, "Runtime.UserCodeSyntaxError"},
		{"python", lambda.Config{Handler: "app.none"}, "Runtime.HandlerNotFound: Handler 'none' missing on module 'app'"},
		{"python", lambda.Config{Handler: "ends.handler"}, "Runtime.ExitError: Runtime exited with error: exit status 5"},
		{"python", lambda.Config{Handler: "no.handler", Runtime: "python"}, "Runtime.ImportModuleError"},
		{"python", lambda.Config{Handler: "no.handler"}, "nothing says what to run"},
		{"node", lambda.Config{Handler: "wrong.handler"}, "SyntaxError"},
		{"node", lambda.Config{Handler: "index.none"}, "Runtime.HandlerNotFound: index.none is undefined or not a function"},
		{"node", lambda.Config{Handler: "no.handler", Runtime: "nodejs"}, "Runtime.ImportModuleError: Cannot find module 'no'"},
		{"node", lambda.Config{Handler: "index.handler", Interpreter: "no-such-node"}, "find interpreter"},
		{"go", lambda.Config{}, "exit status 2"},
		{"", lambda.Config{Code: empty}, "it is no program: chmod +x may help"},
		{"", lambda.Config{Code: empty, Runtime: "provided", Handler: "x.y"}, "it is no program"},
		{"", lambda.Config{Code: t.TempDir(), Runtime: "provided"}, "go build -o bootstrap"},
		{"", lambda.Config{Code: t.TempDir()}, "there is no handler"},
		{"", lambda.Config{Code: "testdata/nowhere"}, "is no directory"},
	} {
		t.Run(test.language+" "+test.want, func(t *testing.T) {
			t.Parallel()
			c := test.config
			if test.language != "" {
				c = program(t, test.language, "init")
				c.Handler, c.Runtime, c.Interpreter = test.config.Handler, test.config.Runtime, test.config.Interpreter
			}
			f, _ := open(t, c)
			for range 2 {
				_, err := f.Invoke(t.Context(), input())
				if !function.IsGone(err) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want function.Gone with %q", err, test.want)
				}
			}
		})
	}
}

func TestTheLastOutputIsTold(t *testing.T) {
	t.Parallel()
	f, log := open(t, program(t, "python", "ends.handler"))
	_, err := f.Invoke(t.Context(), input())
	var e *function.Error
	if !errors.As(err, &e) || string(e.LogTail) != "what was wrong\n" {
		t.Errorf("got %v with %q", err, e.LogTail)
	}
	if !strings.Contains(log.String(), `msg="what was wrong" output=stderr`) {
		t.Errorf("the log: %s", log)
	}
}

func TestASlowStartIsGone(t *testing.T) {
	t.Parallel()
	c := program(t, "python", "slow.handler")
	c.Start = time.Second
	f, _ := open(t, c)
	_, err := f.Invoke(t.Context(), input())
	if !function.IsGone(err) || !strings.Contains(err.Error(), "did not ask for an event within 1s") {
		t.Errorf("got %v", err)
	}
	if s := f.Status(); s.Timeouts != 1 || s.Processes != 0 {
		t.Errorf("status %+v", s)
	}
}

// What a handler can see of its surroundings.
func TestTheContextIsThatOfAWS(t *testing.T) {
	t.Setenv("LEAT_TEST_SECRET", "hunter2")
	for language, handler := range map[string]string{"python": "app.context", "node": "index.context"} {
		c := program(t, language, handler)
		c.Memory = 128 << 20
		c.Environment = map[string]setting.Secret{"MINE": setting.NewSecret("x=y"), "TZ": setting.NewSecret("Europe/Berlin")}
		f, _ := open(t, c)
		in := input()
		in.Window = &function.Window{Start: time.Unix(0, 0), End: time.Unix(60, 0)}
		result, err := f.Invoke(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			ID, Name, Version, Memory, ARN, Group, Stream, Directory string
			Environment                                              map[string]string
		}
		if err := json.Unmarshal(result.State, &got); err != nil {
			t.Fatal(err)
		}
		dir, err := filepath.Abs("testdata/" + language)
		if err != nil {
			t.Fatal(err)
		}
		env := got.Environment
		for what, ok := range map[string]bool{
			"id":        regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(got.ID),
			"trace":     regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`).MatchString(env["_X_AMZN_TRACE_ID"]),
			"arn":       got.ARN == "arn:aws:lambda:us-east-1:000000000000:function:rides",
			"name":      got.Name == "rides" && env["AWS_LAMBDA_FUNCTION_NAME"] == "rides",
			"version":   got.Version == "$LATEST" && env["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST",
			"memory":    got.Memory == "128" && env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128",
			"group":     got.Group == "/aws/lambda/rides" && env["AWS_LAMBDA_LOG_GROUP_NAME"] == got.Group,
			"stream":    strings.Contains(got.Stream, "[$LATEST]") && env["AWS_LAMBDA_LOG_STREAM_NAME"] == got.Stream,
			"directory": got.Directory == dir && env["LAMBDA_TASK_ROOT"] == dir,
			"region":    env["AWS_REGION"] == "us-east-1" && env["AWS_DEFAULT_REGION"] == "us-east-1",
			"handler":   env["_HANDLER"] == handler,
			"mine":      env["MINE"] == "x=y" && env["TZ"] == "Europe/Berlin",
		} {
			if !ok {
				t.Errorf("%s: %s is wrong: %s", language, what, result.State)
			}
		}
		if _, ok := env["LEAT_TEST_SECRET"]; ok || strings.Contains(string(result.State), "hunter2") {
			t.Errorf("%s: the environment of Leat is inherited: %v", language, env)
		}
	}
}

func TestNodeCallbacksWaitForWhatIsLeft(t *testing.T) {
	t.Parallel()
	for handler, want := range map[string]string{
		"index.later": `{"done":"true"}`, "index.sooner": `{"done":"false"}`, "index.text": `{"by":"succeed"}`,
	} {
		f, _ := open(t, program(t, "node", handler))
		for range 2 {
			in := input()
			in.Window = &function.Window{Start: time.Unix(0, 0), End: time.Unix(60, 0)}
			if result, err := f.Invoke(t.Context(), in); err != nil || string(result.State) != want {
				t.Errorf("%s: %s, %v", handler, result.State, err)
			}
		}
	}
	for _, handler := range []string{"index.nothing", "index.silent", "index.nested.deep.handler"} {
		f, _ := open(t, program(t, "node", handler))
		for range 2 {
			if result, err := f.Invoke(t.Context(), input()); err != nil || len(result.Failed) > 0 {
				t.Errorf("%s: %v", handler, err)
			}
		}
	}
}

func TestProcessesAreStartedWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	c := program(t, "python", "deep/er.handler")
	c.Processes = 8
	f, _ := open(t, c)
	for range 20 {
		if _, err := f.Invoke(t.Context(), input()); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.Status(); s.Starts != 1 || s.Processes != 1 || s.Calls != 20 {
		t.Errorf("status %+v", s)
	}
}
