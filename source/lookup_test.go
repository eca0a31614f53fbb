package source_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// site serves h at http://api/ until the test ends.
func site(t *testing.T, h http.HandlerFunc) *pipenet.Network {
	t.Helper()
	n := pipenet.New()
	ctx, stop := context.WithCancel(context.Background())
	served, listener := make(chan error, 1), n.Listen("api:80")
	go func() { served <- provider.Serve(ctx, listener, h) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return n
}

func text(t *testing.T, s string) expression.Template {
	t.Helper()
	out, err := expression.ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func lookup(set ...string) source.Lookup {
	l := source.Lookup{URL: expression.MustParseTemplate("http://api/open"), Set: map[string]expression.Value{}}
	for i := 0; i < len(set); i += 2 {
		l.Set[set[i]] = expression.MustParse(set[i+1])
	}
	return l
}

func TestALookupSetsVariablesForWhatIsBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		n := site(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Content-Type")+" "+string(body))
			if r.URL.Path == "/plain" {
				_, _ = io.WriteString(w, "just a text")
				return
			}
			_, _ = io.WriteString(w, `{"data":{"id":9007199254740993,"name":"a \"b\""},"list":[1,2]}`)
		})
		first := lookup("id", "data.id", "name", "data.name", "second", "list[1]")
		first.Headers = source.Headers{"Authorization": setting.NewSecret("Bearer {{key}}")}
		if err := first.Body.UnmarshalValue(map[string]any{"from": "{{cursor}}"}); err != nil {
			t.Fatal(err)
		}
		second := lookup("all", "msg")
		second.URL = text(t, "http://api/plain?id={{id}}")
		second.Query = map[string]expression.Template{"name": text(t, "{{name}}")}
		b := source.Before{Lookup: []source.Lookup{first, second}, Variables: map[string]expression.Template{"key": text(t, "k")}}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		vars, err := b.Start(n.DialContext).Variables(t.Context(), "7")
		if err != nil {
			t.Fatal(err)
		}
		if vars["id"] != 9007199254740993 || vars["name"] != `a "b"` || vars["second"] != 2 || vars["all"] != "just a text" || vars["cursor"] != "7" {
			t.Errorf("got %v", vars)
		}
		want := `[POST /open Bearer k application/json {"from":"7"} GET /plain?id=9007199254740993&name=a+%22b%22   ]`
		if got := fmt.Sprint(bodies); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		time.Sleep(time.Minute)
	})
}

// Some venues want the body signed together with a number that is in it: both are of one attempt.
func TestABodyAndItsSignatureAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := []byte("any bytes \x00\xff")
		seen := map[string]bool{}
		n := site(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			inner := sha256.Sum256([]byte(form.Get("nonce") + string(body)))
			mac := hmac.New(sha512.New, key)
			mac.Write(append([]byte(r.URL.Path), inner[:]...))
			if r.Header.Get("Api-Sign") != base64.StdEncoding.EncodeToString(mac.Sum(nil)) || seen[form.Get("nonce")] {
				t.Errorf("%s is signed with %s", body, r.Header.Get("Api-Sign"))
			}
			seen[form.Get("nonce")] = true
			_, _ = io.WriteString(w, `{"error":[],"result":{"token":"abc"}}`)
		})
		l := lookup("token", "result.token")
		l.Headers = source.Headers{
			"Api-Sign":     setting.NewSecret(`{{base64(hmac_sha512(base64_decode(key), bytes("/open", sha256(bytes(nonce, body)))))}}`),
			"Content-Type": setting.NewSecret("application/x-www-form-urlencoded"),
		}
		if err := l.Body.UnmarshalText([]byte("{{body}}")); err != nil {
			t.Fatal(err)
		}
		b := source.Before{Lookup: []source.Lookup{l}, Variables: map[string]expression.Template{
			"key": text(t, base64.StdEncoding.EncodeToString(key)), "nonce": text(t, "{{unix_ms()}}"), "body": text(t, "nonce={{nonce}}&x=y"),
		}}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		p := b.Start(n.DialContext)
		for range 2 {
			if vars, err := p.Variables(t.Context(), ""); err != nil || vars["token"] != "abc" {
				t.Errorf("got %v, %v", vars, err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
	})
}

func TestWhatALookupRefusesIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
		kind   source.EndKind
		reason string
		after  time.Duration
	}{
		"it says so":           {answer: `{"ok":false,"error":"invalid_auth"}`, kind: source.EndFatal, reason: "lookup[0]: invalid_auth"},
		"it wants us later":    {answer: `{"ok":false,"error":"ratelimited"}`, kind: source.EndDial, reason: "lookup[0]: ratelimited", after: 7 * time.Second},
		"a status":             {answer: "go away", status: 403, kind: source.EndHTTP, reason: "lookup[0]: go away", after: 7 * time.Second},
		"something is missing": {answer: `{"ok":true}`, kind: source.EndProtocol, reason: "lookup[0]: the answer has no url"},
		"it is too large":      {answer: `{"ok":true,"url":"` + strings.Repeat("x", 1<<20) + `"}`, kind: source.EndProtocol, reason: "lookup[0]: the answer has more than 1MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := site(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "7")
					if c.status > 0 {
						w.WriteHeader(c.status)
					}
					_, _ = io.WriteString(w, c.answer)
				})
				l := lookup("url", "url")
				l.Fail, l.Again, l.Why = expression.MustParseCondition("ok == false"), expression.MustParseCondition(`error == "ratelimited"`), expression.MustParse("error")
				_, err := (&source.Before{Lookup: []source.Lookup{l}}).Start(n.DialContext).Variables(t.Context(), "")
				var end *source.EndError
				if !errors.As(err, &end) || end.Kind != c.kind || end.Reason != c.reason || end.RetryAfter != c.after || end.Refused() != (c.kind == source.EndFatal || c.status == 403) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestALookupIsKeptUntilItsTimeOrARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		n := site(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			_, _ = fmt.Fprintf(w, `{"n":%d}`, asked)
		})
		l := lookup("n", "n")
		l.URL, l.Keep = text(t, "http://api/?from={{from}}"), 10*time.Minute
		p := (&source.Before{Lookup: []source.Lookup{l}, Variables: map[string]expression.Template{"from": text(t, "{{cursor}}")}}).Start(n.DialContext)
		see := func(after string, want int) map[string]any {
			t.Helper()
			vars, err := p.Variables(t.Context(), leat.Cursor(after))
			if err != nil || vars["n"] != want {
				t.Errorf("got %v, %v; want %d", vars, err, want)
			}
			return vars
		}
		see("", 1)
		see("", 1)
		see("x", 2)
		see("x", 2)
		time.Sleep(10*time.Minute + time.Second)
		see("x", 3)
		vars := see("x", 3)
		var got []any
		err := p.Try(t.Context(), vars, func() error {
			got = append(got, vars["n"])
			return &source.EndError{Kind: source.EndHTTP, Code: 403}
		})
		if fmt.Sprint(got) != "[3 4]" || err == nil {
			t.Errorf("tried with %v, %v", got, err)
		}
		fresh := see("x", 5) // what was found out just now was refused, too
		got = nil
		_ = p.Try(t.Context(), fresh, func() error {
			got = append(got, fresh["n"])
			return &source.EndError{Kind: source.EndHTTP, Code: 401}
		})
		if fmt.Sprint(got) != "[5]" {
			t.Errorf("tried with %v", got)
		}
		see("x", 6)
		for _, other := range []error{&source.EndError{Kind: source.EndHTTP, Code: 500}, errors.New("no"), nil} {
			_ = p.Try(t.Context(), see("x", 6), func() error { return other })
		}
		time.Sleep(time.Minute)
	})
}

// tokenServer is an OAuth 2.0 server whose tokens live for ten minutes, and a feed that wants them.
type tokenServer struct {
	mu      sync.Mutex
	issued  int
	forms   []string
	valid   string
	until   time.Time
	refused int
	bad     string // what it says instead
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		_ = r.ParseForm()
		id, secret, _ := r.BasicAuth()
		s.forms = append(s.forms, id+":"+secret+" "+r.PostForm.Encode())
		if s.bad != "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, s.bad)
			return
		}
		s.issued++
		s.valid, s.until = fmt.Sprintf("token-%d", s.issued), time.Now().Add(10*time.Minute)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.valid, "token_type": "Bearer", "expires_in": 600})
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+s.valid || !time.Now().Before(s.until) {
		s.refused++
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "I do not know "+r.Header.Get("Authorization"))
		return
	}
	_, _ = io.WriteString(w, "[]")
}

func oauth2(auth string) source.Before {
	return source.Before{Credentials: &source.Credentials{OAuth2: &source.OAuth2{
		TokenURL: expression.MustParseTemplate("http://api/token"), ClientID: "me:x", ClientSecret: setting.NewSecret("hunter2 &"), Scopes: []string{"a", "b"},
		Audience: "feed", Auth: auth,
	}}}
}

func TestATokenIsReplacedBeforeItExpiresAndWhenItIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenServer{}
		n := site(t, s.ServeHTTP)
		r := &source.Request{
			URL: expression.MustParseTemplate("http://api/feed"), Headers: source.Headers{"Authorization": setting.NewSecret("Bearer {{token}}")}, Before: oauth2("basic"),
			Timeout: 10 * time.Second,
		}
		if err := errors.Join(r.Check(), r.Before.Check()); err != nil {
			t.Fatal(err)
		}
		c := source.NewClient(r, n.DialContext)
		vars, err := c.Variables(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		ask := func() error {
			a, err := c.Do(t.Context(), vars, nil)
			if err == nil {
				_, _ = io.ReadAll(a.Body)
				a.Close()
			}
			return err
		}
		for range 60 { // an hour
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if s.refused != 0 || s.issued != 7 || s.forms[0] != "me%3Ax:hunter2+%26 audience=feed&grant_type=client_credentials&scope=a+b" {
			t.Errorf("%d were refused, %d issued, asked for with %s", s.refused, s.issued, s.forms[0])
		}
		s.valid = "revoked"
		if err := ask(); err != nil || s.refused != 1 || s.issued != 8 {
			t.Errorf("a token that was revoked: %v, %d refused, %d issued", err, s.refused, s.issued)
		}
		s.bad, s.valid = `{"error":"invalid_client","error_description":"no hunter2 &"}`, "revoked"
		err = ask()
		var end *source.EndError
		if !errors.As(err, &end) || !end.Refused() || end.Reason != "oauth2: invalid_client: no (secret)" {
			t.Errorf("a client that is refused: %v", err)
		}
		c.CloseIdle()
		time.Sleep(time.Minute)
	})
}

// A look-up that refuses a token of an earlier attempt is made again with a new one, and a provider that repeats a key in its refusal does not make it known.
func TestALookupMayRefuseAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenServer{}
		n := site(t, s.ServeHTTP)
		b := oauth2("basic")
		l := lookup("all", "msg")
		l.URL = text(t, "http://api/feed")
		l.Headers = source.Headers{"Authorization": setting.NewSecret("Bearer {{token}}")}
		b.Lookup = []source.Lookup{l}
		p := b.Start(n.DialContext)
		for i := range 3 {
			if _, err := p.Variables(t.Context(), ""); err != nil || s.refused != i || s.issued != i+1 {
				t.Errorf("%d refused, %d issued, %v", s.refused, s.issued, err)
			}
			s.valid = "revoked"
		}
		l.Headers = source.Headers{"Authorization": setting.NewSecret("Bearer hunter2hunter2")}
		_, err := (&source.Before{Lookup: []source.Lookup{l}}).Start(n.DialContext).Variables(t.Context(), "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Reason != "lookup[0]: I do not know Bearer (secret)" {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestWhatIsRefusedWithAFreshTokenIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenServer{}
		n := site(t, s.ServeHTTP)
		p := pointer(oauth2("body"))
		vars, err := p.Start(n.DialContext).Variables(t.Context(), "")
		if err != nil || vars["token"] != "token-1" || s.forms[0] != ": audience=feed&client_id=me%3Ax&client_secret=hunter2+%26&grant_type=client_credentials&scope=a+b" {
			t.Errorf("got %v, %v, %v", vars, err, s.forms)
		}
		prepare := p.Start(n.DialContext)
		vars, _ = prepare.Variables(t.Context(), "")
		tries := 0
		err = prepare.Try(t.Context(), vars, func() error {
			tries++
			return &source.EndError{Kind: source.EndHTTP, Code: 401, Reason: "what is " + vars["token"].(string) + "?"}
		})
		var end *source.EndError
		if tries != 1 || !errors.As(err, &end) || end.Reason != "what is (secret)?" {
			t.Errorf("%d tries, %v", tries, err)
		}
		time.Sleep(time.Minute)
	})
}

func TestConnectionsShareOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenServer{}
		n := site(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			s.ServeHTTP(w, r)
		})
		p := pointer(oauth2("basic")).Start(n.DialContext)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if vars, err := p.Variables(t.Context(), ""); err != nil || vars["token"] != "token-1" {
					t.Errorf("got %v, %v", vars, err)
				}
			})
		}
		all.Wait()
		if s.issued != 1 {
			t.Errorf("%d tokens were issued", s.issued)
		}
		time.Sleep(time.Minute)
	})
}

func TestTokensFromAFileAndFromACommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	p := (&source.Before{Credentials: &source.Credentials{File: file}}).Start(nil)
	if _, err := p.Variables(t.Context(), ""); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte("\n "+token+" \n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if vars, err := p.Variables(t.Context(), ""); err != nil || vars["token"] != token {
			t.Errorf("got %v, %v", vars, err)
		}
	}
	for name, c := range map[string]struct{ script, want string }{
		"a token":          {"printf ' hunter2 \\n'; echo noise >&2", ""},
		"nothing":          {"echo; echo noise >&2", "has nothing"},
		"a failure":        {"echo hunter2; echo locked >&2; exit 3", "the command failed: locked"},
		"too much":         {"head -c 70000 /dev/zero | tr '\\0' x", "more than 64KiB"},
		"too slow":         {"exec sleep 60", "took longer than 200ms"},
		"a child for ever": {"(sleep 60) & echo hunter2", "command failed"},
	} {
		credentials := &source.Credentials{Command: []string{"sh", "-c", c.script}}
		if strings.Contains(c.script, "sleep") {
			credentials.Timeout = 200 * time.Millisecond
		}
		vars, err := (&source.Before{Credentials: credentials}).Start(nil).Variables(t.Context(), "")
		switch {
		case c.want == "" && (err != nil || vars["token"] != "hunter2"):
			t.Errorf("%s: got %v, %v", name, vars, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// keeper is a Tape that is told secrets.
type keeper struct {
	mu      sync.Mutex
	secrets []string
	entries atomic.Int64
}

func (k *keeper) Record(source.TapeEntry) { k.entries.Add(1) }

func (k *keeper) KeepSecret(secret string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secrets = append(k.secrets, secret)
}

func TestARecordingIsToldTheSecretsThatAreFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := site(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":"ticket-1","b":"open"}`) })
		l := lookup("session_token", "a", "name", "b")
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("from-the-file"), 0o600); err != nil {
			t.Fatal(err)
		}
		b := source.Before{Lookup: []source.Lookup{l}, Credentials: &source.Credentials{File: file}}
		k := &keeper{}
		if _, err := b.Start(n.DialContext).Variables(source.WithTape(t.Context(), k), ""); err != nil {
			t.Fatal(err)
		}
		told := strings.Join(k.secrets, " ")
		if !strings.Contains(told, "ticket-1") || !strings.Contains(told, "from-the-file") || strings.Contains(told, "open") {
			t.Errorf("told %s", told)
		}
		time.Sleep(time.Minute)
	})
}

func pointer(b source.Before) *source.Before { return &b }
