package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/setting"
)

// A key without a secret lets everyone in who knows its id, as may happen with an empty variable of the environment.
func TestKeysProtect(t *testing.T) {
	secret := setting.NewSecret("secret")
	for _, c := range []struct {
		name string
		keys []config.APIKey
		good bool
	}{
		{"two keys", []config.APIKey{{AccessKey: "a", SecretKey: secret}, {AccessKey: "b", SecretKey: secret}}, true},
		{"no secret", []config.APIKey{{AccessKey: "a"}}, false},
		{"no id", []config.APIKey{{SecretKey: secret}}, false},
		{"one id twice", []config.APIKey{{AccessKey: "a", SecretKey: secret}, {AccessKey: "a", SecretKey: secret, Account: "111111111111"}}, false},
	} {
		k := &config.KinesisAPI{Keys: c.keys}
		setting.Default(k)
		if err := k.Check(); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// pair writes a certificate and its key, and returns their files.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestCertificatesAreRead(t *testing.T) {
	certificate, key := pair(t)
	_, other := pair(t)
	for _, c := range []struct{ certificate, key, want string }{
		{certificate, key, ""},
		{certificate, other, "config.refused 2:"},
		{certificate, certificate, "config.refused 2:"},
		{key, key, "config.refused 2:"},
		{certificate, key + ".none", "config.unreadable_file 2:"},
		{certificate, filepath.Dir(key), "config.unreadable_file 2:"},
	} {
		_, d := load(fmt.Sprintf("kinesis_api:\n  tls: {certificate: %s, key: %s}\n", c.certificate, c.key))
		got := ""
		for i := range d {
			got += fmt.Sprintf("%s %d:%d\n", d[i].Code, d[i].Position.Line, d[i].Position.Column)
		}
		if !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") || strings.Count(got, "\n") > 1 {
			t.Errorf("%s, %s: got %q, want %q", c.certificate, c.key, got, c.want)
		}
	}
}
