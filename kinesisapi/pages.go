package kinesisapi

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/leatstream/leat/kinesisapi/iterator"
)

// sealList returns a NextToken for a kind of list. It holds the region and the account whose streams are listed.
func (c *call) sealList(kind string, payload string) string {
	return c.s.sealer.Load().SealList([]byte(kind+"\n"+c.region+"\n"+c.account+"\n"+payload), c.now)
}

// openList returns the payload of a NextToken that was made for the kind of list, and goes to the place that it holds.
func (c *call) openList(token, kind string) (string, error) {
	sealed, err := c.s.sealer.Load().OpenList(token, c.now)
	if expired := (*iterator.ExpiredError)(nil); errors.As(err, &expired) {
		return "", failure("ExpiredNextTokenException", "NextToken expired. The token was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.",
			javaTime(expired.Issued), javaTime(expired.Now), iterator.Life.Milliseconds())
	}
	parts := strings.SplitN(string(sealed), "\n", 4)
	if err != nil || len(parts) != 4 || parts[0] != kind || c.s.cfg.Keys != nil && parts[2] != c.account {
		return "", invalid("Invalid NextToken.")
	}
	c.region, c.account = parts[1], parts[2]
	return parts[3], nil
}

// javaTime prints a time as the texts of AWS do.
func javaTime(t time.Time) string { return t.UTC().Format("Mon Jan 02 15:04:05 MST 2006") }

func hoursOf(n int) time.Duration { return time.Duration(n) * time.Hour }

func encodeListing(l *listing) string {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and numbers can be marshalled
	}
	return string(text)
}

func decodeListing(payload string, l *listing) error {
	if err := json.Unmarshal([]byte(payload), l); err != nil {
		return invalid("Invalid NextToken.")
	}
	return nil
}
