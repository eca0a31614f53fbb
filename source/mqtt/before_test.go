package mqtt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/mqtt"
)

// Brokers of clouds want a user that is signed for each connection.
func TestTheUserIsFoundOutAtEveryAttempt(t *testing.T) {
	c := config("5")
	c.URL, c.ClientID, c.Username, c.Password = "mqtts://{{host}}", "leat-{{name}}", "{{name}}?t={{unix() > 0}}", setting.NewSecret("{{hex(hmac_sha256(key, name))}}")
	c.Before = source.Before{
		Hosts: []string{"a.example", "b.example:8884"}, SharedCursor: true,
		Variables: map[string]expression.Template{"key": expression.MustParseTemplate("hunter2"), "name": expression.MustParseTemplate("me")},
	}
	if err := errors.Join(c.Check(), c.Before.Check()); err != nil {
		t.Fatal(err)
	}
	vars, err := c.Before.Start(nil).Variables(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := mqtt.Expanded(&c, vars)
	if err != nil || got.URL != "mqtts://a.example" || got.ClientID != "leat-me" || got.Username != "me?t=true" || len(got.Password.Reveal()) != 64 {
		t.Errorf("got %+v, %v", got, err)
	}
	if host, encrypted, err := mqtt.Address(got); host != "a.example:8883" || !encrypted || err != nil {
		t.Errorf("got %s, %v, %v", host, encrypted, err)
	}
	for field, change := range map[string]func(*mqtt.Config){
		"hosts":    func(c *mqtt.Config) { c.Before.SharedCursor = false },
		"password": func(c *mqtt.Config) { c.Password = setting.NewSecret("hunter2{{") },
		"username": func(c *mqtt.Config) { c.Username = "hunter2{{" },
		"url":      func(c *mqtt.Config) { c.Username = "{{nothing}}" },
	} {
		bad := c
		change(&bad)
		if err := bad.Check(); err == nil || !strings.HasPrefix(err.Error(), field+":") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}
