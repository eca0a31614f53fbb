package stream

import (
	"fmt"
	"strings"
)

// CheckQualified is CheckName for names that may stand in a name space: NAME, or REGION/ACCOUNT/NAME as the Kinesis API keeps
// the streams of other regions and accounts than its own. Engines take both forms and attach no meaning to the parts.
func CheckQualified(name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 1 && len(parts) != 3 {
		return fmt.Errorf("%w: stream name %q must be NAME or REGION/ACCOUNT/NAME", ErrInvalid, name)
	}
	for _, part := range parts {
		if err := CheckName(part); err != nil {
			return err
		}
	}
	return nil
}

// CheckName returns an error that wraps ErrInvalid unless name can be the name of a stream:
// 1 to 128 of the characters a-z, A-Z, 0-9, "_", "-" and "." (the rule of CreateStream in the Kinesis API),
// other than "." and "..".
func CheckName(name string) error {
	if len(name) == 0 || len(name) > 128 || name == "." || name == ".." {
		return fmt.Errorf("%w: stream name %q must have 1 to 128 characters", ErrInvalid, name)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return fmt.Errorf("%w: stream name %q contains %q; allowed are letters, digits and the signs . _ -", ErrInvalid, name, c)
		}
	}
	return nil
}
