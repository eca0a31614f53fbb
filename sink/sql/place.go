package sql

import "github.com/leatstream/leat/internal/setting"

// Place implements setting.Placer. Any number of consumers may share a file, and a table.
func (c *Config) Place() setting.Place {
	return setting.Place{Field: "path", Path: c.Path}
}
