package config_test

import (
	"testing"

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
