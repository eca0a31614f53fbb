package kinesisapi

import (
	"strings"
)

// isAccount reports whether s is the number of an account.
func isAccount(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

// space returns what the names of the streams of a region and account begin with in the engine.
func (s *Server) space(region, account string) string {
	if region == s.cfg.Region && account == s.cfg.Account {
		return ""
	}
	return region + "/" + account + "/"
}

// full returns the engine's name of a stream of the caller.
func (c *call) full(name string) string { return c.s.space(c.region, c.account) + name }

// place splits the engine's name of a stream.
func (s *Server) place(full string) (region, account, name string) {
	parts := strings.Split(full, "/")
	if len(parts) != 3 {
		return s.cfg.Region, s.cfg.Account, full
	}
	return parts[0], parts[1], parts[2]
}

// arn returns the ARN of a stream of the caller.
func (c *call) arn(name string) string {
	return "arn:aws:kinesis:" + c.region + ":" + c.account + ":stream/" + name
}

// parseARN takes the region, the account and the rest out of an ARN that matches a pattern of the model.
func parseARN(arn string) (region, account, resource string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[3] == "" || !isAccount(parts[4]) {
		return "", "", "", false
	}
	return parts[3], parts[4], parts[5], true
}

// target sets the stream that the request names by StreamName, StreamARN or both.
func (c *call) target() error {
	name, arn := c.in.str("StreamName"), c.in.str("StreamARN")
	if arn == "" {
		if name == "" {
			return invalid("Either StreamName or StreamARN should be provided.")
		}
		c.name = name
		return nil
	}
	if err := c.byARN(arn); err != nil {
		return err
	}
	if name != "" && name != c.name {
		return invalid("StreamName %s and StreamARN %s name different streams.", name, arn)
	}
	return nil
}

// byARN sets the stream, and with it region and account, from the ARN of a stream or of something of it.
func (c *call) byARN(arn string) error {
	region, account, resource, ok := parseARN(arn)
	name, found := strings.CutPrefix(resource, "stream/")
	if !ok || !found {
		return invalid("ARN %s is not one of a stream.", arn)
	}
	if c.s.cfg.Keys != nil && account != c.account {
		return failure("AccessDeniedException", "Account %s may not use resource %s.", c.account, arn)
	}
	name, _, _ = strings.Cut(name, "/")
	c.region, c.account, c.name = region, account, name
	return nil
}
