package setting

import "regexp"

var tellingName = regexp.MustCompile(`(?i)token|secret|passw|signature|credential|(api|access|private|auth|account|subscription)[_.-]?key|authoriz|authent` +
	`|(^|[^a-z])(key|auth|sig|pass|pwd|jwt|hmac)([^a-z]|$)`)

// Telling reports whether the name of a parameter or a member says that its value is a secret.
func Telling(name string) bool { return tellingName.MatchString(name) }
