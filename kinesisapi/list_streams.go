package kinesisapi

import "strings"

// ListStreams
//
// AWS lists the streams of the account and region in order of name, at most 100 to a page, behind ExclusiveStartStreamName or NextToken.
//
// Leat does the same. Streams that were made without the API are listed too.

func (c *call) listStreams() (value, error) {
	after := c.in.str("ExclusiveStartStreamName")
	if token := c.in.str("NextToken"); token != "" {
		payload, err := c.openList(token, "streams")
		if err != nil {
			return value{}, err
		}
		after = payload
	}
	seen, err := c.s.fresh(c.ctx())
	if err != nil {
		return value{}, err
	}
	limit := min(c.in.intOr("Limit", 100), 100)
	names, summaries := []value{}, []value{}
	more, last := false, ""
	for _, full := range seen.names {
		name, ours := c.ours(full)
		if !ours || name <= after {
			continue
		}
		if more = len(names) == limit; more {
			break
		}
		names, last = append(names, textOf(name)), name
		summaries = append(summaries, c.summary(name, seen.streams[full]))
	}
	out := object(field{"StreamNames", listOf(names)}, field{"HasMoreStreams", boolOf(more)}, field{"StreamSummaries", listOf(summaries)})
	if more {
		out = out.with("NextToken", textOf(c.sealList("streams", last)))
	}
	return out, nil
}

// ours returns the name of a stream if it is one of the caller's.
func (c *call) ours(full string) (name string, ours bool) {
	name, ours = strings.CutPrefix(full, c.s.space(c.region, c.account))
	return name, ours && !strings.Contains(name, "/")
}

func (c *call) summary(name string, v *streamView) value {
	return object(
		field{"StreamName", textOf(name)},
		field{"StreamARN", textOf(c.arn(name))},
		field{"StreamStatus", textOf(v.meta.status(c.now))},
		field{"StreamModeDetails", object(field{"StreamMode", textOf(v.meta.mode())})},
		field{"StreamCreationTimestamp", timeOf(v.created())},
	)
}
