package setting_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/setting"
)

func TestDurationsTakeDaysAndWeeks(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour,
		"1d12h": 36 * time.Hour, "2w": 336 * time.Hour, "1w1d": 192 * time.Hour, "0.5d": 12 * time.Hour,
		"0": 0, "0s": 0, "off": setting.Off,
	} {
		got, err := setting.ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
		if again, err := setting.ParseDuration(setting.FormatDuration(want)); err != nil || again != want {
			t.Errorf("%v is formatted as %s, which reads as %v, %v", want, setting.FormatDuration(want), again, err)
		}
	}
}

func TestDurationsRefuseWhatIsUnclear(t *testing.T) {
	for text, want := range map[string]string{
		"30": "30s", "-1s": "expected a duration", "": "expected", "1x": "expected", "d": "expected",
		"1e400d": "expected", "-2d": "expected", "99999999w": "expected", "1d-1h": "expected",
	} {
		if _, err := setting.ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]setting.Size{
		"16MiB": 16 << 20, "10MB": 10e6, "512KiB": 512 << 10, "123": 123, "1.5GiB": 3 << 29, "0": 0, "7 B": 7, "2TB": 2e12,
	} {
		var s setting.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: got %d, %v; want %d", text, s, err, want)
		}
	}
	for text, want := range map[string]string{"16M": "16MiB (powers of 1024) or 16MB", "x": "expected", "-1": "expected", "1e3": "expected", "": "expected", "99999999TiB": "expected"} {
		var s setting.Size
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %d, %v; want an error with %q", text, s, err, want)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	s := struct{ Key setting.Secret }{setting.NewSecret("hunter2")}
	js, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(js) + fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s.Key, s.Key, s.Key, s.Key)
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the secret is shown: %s", shown)
	}
	if s.Key.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestDefaultFillsOnlyWhatIsNotSet(t *testing.T) {
	type inner struct {
		Size setting.Size `default:"16MiB"`
	}
	cfg := struct {
		Ping  time.Duration `default:"15s"`
		Off   time.Duration `default:"1s"`
		Count int           `default:"3"`
		Name  string        `default:"x"`
		inner
		Inner inner
	}{Off: setting.Off, Name: "mine"}
	setting.Default(&cfg)
	if cfg.Ping != 15*time.Second || cfg.Off != setting.Off || cfg.Count != 3 || cfg.Name != "mine" || cfg.Inner.Size != 16<<20 {
		t.Errorf("got %+v", cfg)
	}
}
