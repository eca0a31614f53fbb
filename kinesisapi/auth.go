package kinesisapi

import (
	"errors"
	"net/http"

	"github.com/leatstream/leat/kinesisapi/sigv4"
)

// authorize sets region and account from the signature of the request, which it verifies if the server has keys, once.
func (c *call) authorize() error {
	if c.account != "" {
		return nil
	}
	identity, err := c.identity()
	if err != nil {
		refused := (*sigv4.Error)(nil)
		if !errors.As(err, &refused) {
			return internal(err.Error())
		}
		return &apiError{Type: refused.Code, Message: refused.Message, code: http.StatusBadRequest}
	}
	c.region, c.account = identity.Region, identity.Account
	if c.region == "" {
		c.region = c.s.cfg.Region
	}
	if c.account == "" {
		c.account = c.s.cfg.Account
	}
	return nil
}

func (c *call) identity() (sigv4.Identity, error) {
	if c.s.cfg.Keys == nil {
		return sigv4.Scope(c.request)
	}
	return c.s.cfg.Keys.Verify(c.request, c.body)
}
