package kinesisapi

import (
	"strconv"
	"strings"
)

// ListStreamConsumers
//
// AWS lists the consumers of a stream, at most MaxResults or 100 of them, and a NextToken if there are more, which is good for 300
// seconds. StreamCreationTimestamp says which of several streams of one name is meant.
//
// Leat does the same, in order of name. A token of a stream that was deleted and made again is refused.
//
// Limits: pages of 100. Differences: the order is not documented by AWS.

const consumersPage = 100

func (c *call) listStreamConsumers() (value, error) {
	if err := c.byARN(c.in.str("StreamARN")); err != nil {
		return value{}, err
	}
	v, err := c.streamNow()
	if err != nil {
		return value{}, err
	}
	if c.in.has("StreamCreationTimestamp") && c.in.millis("StreamCreationTimestamp")/1000 != v.created()/1000 {
		return value{}, c.noStream()
	}
	after := ""
	if token := c.in.str("NextToken"); token != "" {
		if after, err = c.openConsumersToken(token, v); err != nil {
			return value{}, err
		}
	}
	list := v.meta.consumersOf(c.now)
	for len(list) > 0 && list[0].Name <= after {
		list = list[1:]
	}
	page := list[:min(len(list), consumersPage, c.in.intOr("MaxResults", consumersPage))]
	items := make([]value, len(page))
	for i := range page {
		items[i] = c.consumerValue(&page[i])
	}
	out := object(field{"Consumers", listOf(items)})
	if len(page) < len(list) {
		out = out.with("NextToken", textOf(c.sealList("consumers", consumersToken(v, page[len(page)-1].Name))))
	}
	return out, nil
}

// openConsumersToken returns the name behind which the list goes on. The token must be one of the same stream.
func (c *call) openConsumersToken(token string, v *streamView) (string, error) {
	payload, err := c.openList(token, "consumers")
	if err != nil {
		return "", err
	}
	after, ours := strings.CutPrefix(payload, consumersToken(v, ""))
	if !ours {
		return "", invalid("Invalid NextToken.")
	}
	return after, nil
}

func consumersToken(v *streamView, after string) string {
	return v.full + "\n" + strconv.FormatInt(v.created(), 10) + "\n" + after
}
