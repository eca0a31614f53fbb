// Package errclass marks errors as ones of a class, by which whoever gets them decides, and leaves their texts as they are.
package errclass

// Mark returns an error that is err, with its text, and class, for errors.Is. Mark of nil is nil.
func Mark(err, class error) error {
	if err == nil {
		return nil
	}
	return &marked{err, class}
}

type marked struct{ err, class error }

func (m *marked) Error() string   { return m.err.Error() }
func (m *marked) Unwrap() []error { return []error{m.err, m.class} }
