package stream

import "fmt"

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
