package config

// Check implements setting.Checker: what the fields of every source and those of its adapter say together.
func (s *Source) Check() error { return s.Settings.CheckCursor(s.Adapter) }
