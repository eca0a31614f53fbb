package expression_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/expression"
)

func expanded(t *testing.T, text string, vars map[string]any) string {
	t.Helper()
	template, err := expression.ParseTemplate(text)
	if err != nil {
		t.Fatal(text, err)
	}
	out, err := template.Expand(vars, nil)
	if err != nil {
		t.Fatal(text, err)
	}
	return out
}

func TestFunctionsForSignatures(t *testing.T) {
	sum := sha256.Sum256([]byte("abc"))
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte("abc"))
	vars := map[string]any{"key": "key", "text": "abc", "n": 7, "sha256": "a member"}
	for text, want := range map[string]string{
		"{{hex(sha256(text))}}":                                hex.EncodeToString(sum[:]),
		"{{sha256(text)}}":                                     hex.EncodeToString(sum[:]),
		"{{sha256}}":                                           "a member",
		"{{base64(hmac_sha256(key, text))}}":                   base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		"{{hex(hmac_sha256(base64_decode('a2V5'), text))}}":    hex.EncodeToString(mac.Sum(nil)),
		"{{base64url(bytes('\xff', '\xfe'))}}":                 "77-977-9",
		"{{hex(bytes('a', n, sha256(text)))}}":                 "6137" + hex.EncodeToString(sum[:]),
		"{{len(hex(hmac_sha512(key, text)))}}":                 "128",
		"{{len(hex(sha512(text)))}}":                           "128",
		`{{toJSON({"a": {"b": 1}})}}`:                          "{\n  \"a\": {\n    \"b\": 1\n  }\n}",
		"{{base64_decode('aGk_') == base64_decode('aGk/')}}-x": "true-x",
	} {
		if got := expanded(t, text, vars); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestTimesAndChanceAreTakenAtEachUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		template := expression.MustParseTemplate("{{now()}} {{unix()}} {{unix_ms()}}")
		for _, want := range []string{"2000-01-01T00:00:00.000Z 946684800 946684800000", "2000-01-01T00:00:01.500Z 946684801 946684801500"} {
			if got, err := template.Expand(nil, nil); got != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
			time.Sleep(1500 * time.Millisecond)
		}
	})
	one, two := expanded(t, "{{uuid()}} {{random_hex(16)}}", nil), expanded(t, "{{uuid()}} {{random_hex(16)}}", nil)
	if one == two || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} [0-9a-f]{32}$`).MatchString(one) {
		t.Errorf("got %q and %q", one, two)
	}
}

// What looks into messages must say the same of a message when it comes again.
func TestExpressionsOverMessagesHaveNoClockAndNoDice(t *testing.T) {
	for _, text := range []string{"now()", "unix()", "unix_ms() + 1", "uuid()", "random_hex(8)", `jwt("HS256", "k", {})`} {
		if _, err := expression.Parse(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	v := expression.MustParse("sha256(id)")
	m := expression.NewMessage([]byte(`{"id": "abc"}`))
	sum := sha256.Sum256([]byte("abc"))
	if got, ok := v.Text(&m); !ok || got != hex.EncodeToString(sum[:]) {
		t.Errorf("got %q, %v", got, ok)
	}
}

func TestFunctionsSayWhyTheyHaveNoValueAndRepeatNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		`{{jwt("ES256", "hunter2", {})}}`:    "the key is no PEM",
		`{{jwt("RS256", "hunter2", {})}}`:    "expected HS256, ES256 or EdDSA",
		`{{jwt("HS256", "", {})}}`:           "the key is empty",
		`{{jwt("HS256", "hunter2", 1)}}`:     "expected claims",
		`{{jwt("HS256", "hunter2", {}, 1)}}`: "expected a header",
		`{{jwt("HS256", "hunter2")}}`:        "number of arguments",
		`{{base64_decode("hunter2!")}}`:      "no base64",
		`{{random_hex(1000)}}`:               "from 1 to 64",
		`{{hmac_sha256(nobody, "x")}}`:       "does not exist",
	} {
		template, err := expression.ParseTemplate("abc " + text)
		if err == nil {
			_, err = template.Expand(map[string]any{}, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "column 7") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// parts returns the header and the claims of a token, what was signed, and the signature.
func parts(t *testing.T, token string) (header, claims map[string]any, signed string, signature []byte) {
	t.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		t.Fatalf("got %q", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(p[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(p[2])
	if err != nil {
		t.Fatal(err)
	}
	return header, claims, p[0] + "." + p[1], signature
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestTokensOfES256AreVerifiedWithThePublicKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	first := pemOf(t, "EC PRIVATE KEY", sec1, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	second := pemOf(t, "PRIVATE KEY", pkcs8, err)
	for _, text := range []string{first, second, strings.ReplaceAll(first, "\n", `\n`), "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + first} {
		token := expanded(t, `{{jwt("ES256", key, {"sub": name, "exp": unix() + 120}, {"kid": name, "nonce": random_hex(16)})}}`, map[string]any{"key": text, "name": "organizations/x"})
		header, claims, signed, signature := parts(t, token)
		sum := sha256.Sum256([]byte(signed))
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		if len(signature) != 64 || !ecdsa.Verify(&key.PublicKey, sum[:], r, s) {
			t.Error("the signature does not hold")
		}
		if header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] != "organizations/x" || len(header["nonce"].(string)) != 32 {
			t.Errorf("the header is %v", header)
		}
		if exp, _ := claims["exp"].(float64); claims["sub"] != "organizations/x" || exp < float64(time.Now().Unix()) {
			t.Errorf("the claims are %v", claims)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(other)
	template := expression.MustParseTemplate(`{{jwt("ES256", key, {})}}`)
	if _, err := template.Expand(map[string]any{"key": pemOf(t, "EC PRIVATE KEY", der, err)}, nil); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Errorf("a key of another curve: %v", err)
	}
}

func TestTokensOfOtherAlgorithms(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	for _, key := range []string{pemOf(t, "PRIVATE KEY", der, err), base64.StdEncoding.EncodeToString(private), base64.StdEncoding.EncodeToString(private.Seed())} {
		_, _, signed, signature := parts(t, expanded(t, `{{jwt("EdDSA", key, {"a": 1})}}`, map[string]any{"key": key}))
		if !ed25519.Verify(public, []byte(signed), signature) {
			t.Error("the signature of EdDSA does not hold")
		}
	}
	_, claims, signed, signature := parts(t, expanded(t, `{{jwt("HS256", "key", {"a": {"b": 1}})}}`, nil))
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(signed))
	if !hmac.Equal(signature, mac.Sum(nil)) || claims["a"] == nil {
		t.Error("the signature of HS256 does not hold")
	}
}

func TestAddressesMayBeginWithOne(t *testing.T) {
	vars := map[string]any{"url": "wss://a.example/link?ticket=x%20y", "host": "[::1]:8443", "cursor": "a/b?c&d", "evil": "x@evil.example/"}
	for text, want := range map[string]string{
		"{{url}}&v=1":                      "wss://a.example/link?ticket=x%20y&v=1",
		"wss://{{host}}/a?c={{cursor}}":    "wss://[::1]:8443/a?c=a%2Fb%3Fc%26d",
		"wss://a.example/{{cursor}}":       "wss://a.example/a%2Fb%3Fc%26d",
		"wss://{{evil}}.example/":          "wss://x%40evil.example%2F.example/",
		"{{scheme ?? 'ws'}}://a.example/x": "ws://a.example/x",
	} {
		template := expression.MustParseTemplate(text)
		if got, err := template.ExpandAddress(vars); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string][]string{
		"wss://a.example/{{b}}": nil, "wss://a.example{{b}}/{{c}}": {"b"}, "{{a}}/x/{{b}}": {"a", "b"}, "{{a}}://{{b}}/{{c}}": {"a", "b"},
		"wss://{{a ? b.c : d[0]}}?{{e}}": {"a", "b", "d"}, "{{let x = a; x + hex(b) + $env['c']}}": {"a", "b", "c"}, "{{count}}{{len(hex)}}": {"count", "hex"},
	} {
		template := expression.MustParseTemplate(text)
		if got := template.HostNames(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestValuesInAMappingStayInsideOfTheirTexts(t *testing.T) {
	template, err := expression.JSONTemplate(map[string]any{
		"token": "{{jwt(\"HS256\", key, {\"a\": {\"b\": 1}}) | len() > 10 ? value : ''}}", "list": []any{"{{value}}-<x>", 1, true, nil}, "{{name}}": 2.5,
	})
	if err != nil {
		t.Fatal(err)
	}
	value := "a \"b\"\n\\ <é>"
	text, err := template.Expand(map[string]any{"key": "k", "value": value, "name": "n\"n"}, nil)
	var got map[string]any
	if err == nil {
		err = json.Unmarshal([]byte(text), &got)
	}
	if err != nil || got["token"] != value || got["list"].([]any)[0] != value+"-<x>" || got["n\"n"] != 2.5 {
		t.Errorf("got %s, %v", text, err)
	}
	if _, err := expression.JSONTemplate([]any{"{{"}); err == nil {
		t.Error("an open template is taken")
	}
}

// Whatever is inserted behind a host changes neither the host nor what stands behind it, and whatever is inserted into a text of JSON stays there.
func FuzzInsertedValuesStayInTheirPlace(f *testing.F) {
	address := expression.MustParseTemplate("https://user@a.example:8443/{{x}}/b?c={{y}}&d=e")
	for _, seed := range []string{"", "a/b?c&d#e", "@evil.example/", "\"}\n\x00", "é\xff%2f..", "\\u0022,\"d\":1"} {
		f.Add(seed, "x")
	}
	structure, err := expression.JSONTemplate(map[string]any{"a": "1{{x}}2", "b": []any{"{{y}}"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		vars := map[string]any{"x": x, "y": y}
		text, err := address.ExpandAddress(vars)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(text)
		if err != nil || u.Host != "a.example:8443" || u.Query().Get("c") != y || u.Query().Get("d") != "e" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/b") {
			t.Errorf("%q became %q, %v", text, u, err)
		}
		text, err = structure.Expand(vars, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			A string
			B []string
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.A != "1"+strings.ToValidUTF8(x, "\ufffd")+"2" && utf8.ValidString(x) || got.B[0] != y && utf8.ValidString(y) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	})
}
