// Package mqtt connects to brokers that speak MQTT 5 or 3.1.1, and subscribes to topics. What a broker keeps for us is acknowledged once
// it is durable.
package mqtt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one broker. A source of this type has one connection: two with the same client_id throw each other out.
type Config struct {
	// The address of the broker: mqtt://host:1883, or with TLS mqtts://host:8883. Those are the default ports.
	// Like client_id, username and password it may contain {{…}}, the variables of Before, evaluated again at every attempt.
	URL string `yaml:"url,required"`

	// The version of the protocol.
	Version string `yaml:"version" default:"5" enum:"5,3.1.1"`

	// The name under which the broker knows us, and keeps for us what we miss. It is unique at the broker.
	ClientID string `yaml:"client_id,required"`

	// The name of the user. Default: none.
	Username string `yaml:"username"`

	// The password of the user.
	Password setting.Secret `yaml:"password"`

	// What to subscribe to.
	Topics []Topic `yaml:"topics,required"`

	// Whether to begin anew at each connection. Default: the broker keeps what comes while we are away, of topics with qos 1, and what was
	// sent and is not durable yet. It comes again then; event_id drops what is stored already.
	CleanStart bool `yaml:"clean_start"`

	// For how long the broker keeps it, at most. With version 3.1.1 the broker decides.
	SessionExpiry time.Duration `yaml:"session_expiry" default:"1d" min:"1s" max:"49000d"`

	// What to do with retained messages, those that the broker sends at the beginning though they are older. "new": they are events where the
	// broker did not know us before. "all": at each connection. "none": never.
	Retained string `yaml:"retained" default:"new" enum:"new,all,none"`

	// How many messages the broker may send ahead of what is durable. Brokers have a limit of their own, often 20; with few, each
	// commit holds few. With version 3.1.1 only theirs counts.
	ReceiveMaximum int `yaml:"receive_maximum" default:"1000" min:"1" max:"65535"`

	// Whether a record is {"topic": …, "data": …}, where data is the JSON of the message, or a text if it is none. Default: it is the message alone.
	Envelope bool `yaml:"envelope"`

	// The partition key, as for every source, but by default it is the topic.
	PartitionKey expression.Value `yaml:"partition_key"`

	// The largest message. A larger one is left out and becomes a gap record; the connection goes on.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// How long connecting, the TLS handshake and each answer of the broker to it may take.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// How often a ping is sent. The broker takes us for gone after one and a half times that.
	KeepAlive time.Duration `yaml:"keep_alive" default:"15s" min:"1s" max:"18h"`

	// How long to wait for the answer to a ping before the connection counts as dead, if nothing else arrives meanwhile.
	PongWait time.Duration `yaml:"pong_wait" default:"10s" min:"100ms"`

	// What the source finds out before it connects.
	Before source.Before `yaml:",inline"`

	// What happens to a message before it is an event.
	Intake source.Intake `yaml:",inline"`
}

// Topic is what to subscribe to.
type Topic struct {
	// The topic: levels apart by /, where + stands for one and # at the end for all below. $share/GROUP/TOPIC shares it with others.
	Topic string `yaml:"topic,required"`

	// How messages come. 1: at least once, and the broker keeps them while we are away. 0: at most once. Default: 1.
	QoS *int `yaml:"qos" min:"0" max:"1"`
}

// qos returns what is asked for.
func (t *Topic) qos() byte {
	if t.QoS != nil && *t.QoS == 0 {
		return 0
	}
	return 1
}

// Prepares implements source.Preparer.
func (c *Config) Prepares() *source.Before { return &c.Before }

// TakesIn implements source.Taker.
func (c *Config) TakesIn() *source.Intake { return &c.Intake }

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error {
	wrong := c.checkTemplates()
	if len(c.Before.Hosts) > 1 && c.Returns() && !c.Before.SharedCursor {
		wrong = append(wrong, &setting.FieldError{
			Field: "hosts", Err: errors.New("what one broker keeps for us another one may not have"), Hint: "add shared_cursor: true where the hosts are one cluster, or clean_start: true",
		})
	}
	if c.Username == "" && !c.Password.IsZero() && c.Version == "3.1.1" {
		wrong = append(wrong, setting.FieldErrorf("password", "needs a username with version 3.1.1"))
	}
	if len(c.Topics) == 0 {
		wrong = append(wrong, setting.FieldErrorf("topics", "expected at least one"))
	}
	for i, t := range c.Topics {
		if err := checkTopic(t.Topic); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: fmt.Sprintf("topics[%d].topic", i), Err: err})
		}
	}
	for i := range c.Intake.Classify {
		if is := c.Intake.Classify[i].Is; is == "progress" || is == "caught_up" {
			wrong = append(wrong, setting.FieldErrorf(fmt.Sprintf("classify[%d].is", i), "is about positions, which a broker knows by itself: %s", is))
		}
	}
	return errors.Join(wrong...)
}

func checkTopic(topic string) error {
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		switch {
		case level != "#" && strings.Contains(level, "#"), level == "#" && i < len(levels)-1:
			return errors.New("# stands alone, as the last level")
		case level != "+" && strings.Contains(level, "+"):
			return errors.New("+ stands alone, as a level")
		}
	}
	if topic == "" || len(topic) > 65535 || strings.ContainsRune(topic, 0) {
		return errors.New("expected a topic such as sensors/+/temperature")
	}
	return nil
}

// templates returns the texts that are templates, by their fields.
func (c *Config) templates() map[string]*string {
	return map[string]*string{"url": &c.URL, "client_id": &c.ClientID, "username": &c.Username}
}

// checkTemplates returns what is wrong with the texts that are templates, and with the address if it is none.
func (c *Config) checkTemplates() (wrong []error) {
	names, err := namesIn(c.Password.Reveal())
	if err != nil {
		wrong = append(wrong, &setting.FieldError{Field: "password", Err: err})
	}
	for field, text := range c.templates() {
		used, err := namesIn(*text)
		if field == "url" && err == nil && len(used) == 0 {
			_, _, err = c.address()
		}
		if names = append(names, used...); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: field, Err: err})
		}
	}
	return append(wrong, c.Before.CheckUse("url", names), c.Before.CheckNames("url", names))
}

// namesIn returns the variables that a template names.
func namesIn(text string) ([]string, error) {
	t, err := expression.ParseTemplate(text)
	return t.Names(), err
}

// expanded returns the settings with the variables inserted.
func (c *Config) expanded(vars map[string]any) (*Config, error) {
	out := *c
	for field, text := range out.templates() {
		t, err := expression.ParseTemplate(*text)
		if err == nil && field == "url" {
			*text, err = t.ExpandAddress(vars)
		} else if err == nil {
			*text, err = t.Expand(vars, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
	}
	t, err := expression.ParseTemplate(c.Password.Reveal())
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	password, err := t.Expand(vars, nil)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	out.Password = setting.NewSecret(password)
	return &out, nil
}

// address returns where the broker is.
func (c *Config) address() (host string, encrypted bool, err error) {
	u, err := url.Parse(c.URL)
	bad := errors.New("expected an address such as mqtt://host:1883 or mqtts://host:8883, without a path")
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, bad
	}
	if u.User != nil {
		return "", false, errors.New("the user stands in username and password")
	}
	port := map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme]
	switch {
	case port == "":
		return "", false, bad
	case u.Port() != "":
		return u.Host, u.Scheme == "mqtts", nil
	}
	return u.Host + ":" + port, u.Scheme == "mqtts", nil
}

// Returns implements source.Returner.
func (c *Config) Returns() bool { return !c.CleanStart }
