package session_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leatstream/leat/source/session"
)

func TestSecretsAreHiddenInEveryForm(t *testing.T) {
	const secret = `p/ss "w0rd"+&<ü`
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := session.NewHider([]string{"Bearer abcdef123456", secret, "X {{cursor}} tail99"}, nil)
	for name, c := range map[string]struct{ in, want string }{
		"as it is":       {"a " + secret + " b", "a (secret) b"},
		"in a query":     {"wss://h/?x=" + url.QueryEscape(secret) + "&y=1", "wss://h/?x=(secret)&y=1"},
		"in a path":      {"wss://h/" + url.PathEscape(secret), "wss://h/(secret)"},
		"lower case":     {strings.ToLower(url.QueryEscape(secret)), "(secret)"},
		"in JSON":        {`{"x":` + string(quoted) + `}`, `{"x":"(secret)"}`},
		"word":           {`{"x":"abcdef123456"}`, `{"x":"(secret)"}`},
		"header":         {"Bearer abcdef123456", "(secret)"},
		"template":       {"X 17 tail99", "X 17 (secret)"},
		"hexadecimal":    {"616263646566313233343536", "(secret)"},
		"scheme alone":   {"Bearer of news", "Bearer of news"},
		"basic":          {"Basic " + base64.StdEncoding.EncodeToString([]byte("me:abcdef123456")), "Basic (secret)"},
		"user":           {"https://me:pw@h/x", "https://(secret)@h/x"},
		"user alone":     {"https://me@h/x", "https://(secret)@h/x"},
		"parameter":      {`{"url":"wss://h/?ticket=1&access_token=zz&b=2"}`, `{"url":"wss://h/?ticket=1&access_token=(secret)&b=2"}`},
		"escaped &":      {`{"url":"wss://h/?a=1\u0026apikey=zz"}`, `{"url":"wss://h/?a=1\u0026apikey=(secret)"}`},
		"form":           {"client_secret=zz&grant=1", "client_secret=(secret)&grant=1"},
		"member":         {`{"token": "zz", "n": 1}`, `{"token": "(secret)", "n": 1}`},
		"number":         {`{"api_key":12,"ok":true}`, `{"api_key":"(secret)","ok":true}`},
		"below":          {`{"auth":{"u":"bob","p":["x",1,null]},"v":[{"sig":"s"}]}`, `{"auth":{"u":"(secret)","p":["(secret)","(secret)",null]},"v":[{"sig":"(secret)"}]}`},
		"JSON in JSON":   {`{"payload":"{\"token\":\"zz\"}"}`, `{"payload":"{\"token\":\"(secret)\"}"}`},
		"escaped name":   {`{"to\u006ben":"zz"}`, `{"to\u006ben":"(secret)"}`},
		"two values":     {`{"token":"zz"}` + "\n" + `{"token":"yy"}`, `{"token":"(secret)"}` + "\n" + `{"token":"(secret)"}`},
		"broken":         {`{"token":"zz`, `{"token":"(secret)"`},
		"nothing":        {`{"monkey":"zz","keyed":1,"pubkey":"k"}`, `{"monkey":"zz","keyed":1,"pubkey":"k"}`},
		"blanks stay":    {" { \"a\" : [ 1 , 2 ] , \"token\" : 3 } ", " { \"a\" : [ 1 , 2 ] , \"token\" : \"(secret)\" } "},
		"empty":          {`{"token":{}, "key":[]}`, `{"token":{}, "key":[]}`},
		"empty document": {"", ""},
	} {
		if got := h.Text(c.in); got != c.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", name, c.in, got, c.want)
		}
	}
}

func TestWhatIsKeptIsNotHidden(t *testing.T) {
	h := session.NewHider(nil, []string{"sig"})
	if got := h.Text(`{"sig":"s","token":"t"}`); got != `{"sig":"s","token":"(secret)"}` {
		t.Error(got)
	}
}

func TestTheUserOfBasicAuthenticationIsHiddenEverywhere(t *testing.T) {
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:wonderland"))
	h := session.NewHider([]string{header}, nil)
	if got := h.Text("login alice with wonderland"); got != "login (secret) with (secret)" {
		t.Error(got)
	}
}

func TestCompressedMessagesAreLookedInto(t *testing.T) {
	h := session.NewHider([]string{"hunter22"}, nil)
	zip := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.Bytes()
	}
	if clean := zip("nothing to see"); !bytes.Equal(h.Hide(clean), clean) {
		t.Error("a message without a secret is changed")
	}
	z, err := gzip.NewReader(bytes.NewReader(h.Hide(zip("say hunter22"))))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != "say (secret)" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestNoSecretSurvivesBase64(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9!-]{6,20}`).Draw(rt, "secret")
		h := session.NewHider([]string{secret}, nil)
		plain := rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "before")
		plain = append(append(plain, secret...), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "after")...)
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if got := h.Text("x " + encoding.EncodeToString(plain) + " y"); got != "x (secret) y" {
				rt.Errorf("got %q", got)
			}
		}
	})
}

// Whatever a message is, hiding keeps JSON valid, and hiding again changes nothing.
func FuzzHide(f *testing.F) {
	f.Add(`{"token":{"a":[1,"b"]},"x":"{\"key\":\"v\"}"}`)
	f.Add(`[{"sig":"s"},"hunter22",1e9]`)
	f.Add(`https://u:p@h/?token=x&y`)
	f.Fuzz(func(t *testing.T, text string) {
		h := session.NewHider([]string{"hunter22"}, nil)
		got := h.Text(text)
		if strings.Contains(got, "hunter22") {
			t.Errorf("%q: %q", text, got)
		}
		if json.Valid([]byte(text)) && !json.Valid([]byte(got)) {
			t.Errorf("%q is JSON, %q is not", text, got)
		}
	})
}
