package config

import "errors"

// Check implements setting.Checker: what the fields of every source and those of its adapter say together.
func (s *Source) Check() error {
	return errors.Join(s.Settings.CheckCursor(s.Adapter), s.Settings.CheckHosts(s.Adapter))
}
