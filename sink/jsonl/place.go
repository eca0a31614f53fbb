package jsonl

import "github.com/leatstream/leat/internal/setting"

// Place implements setting.Placer. Two consumers in one directory would overwrite, and remove, each other's files.
func (c *Config) Place() setting.Place {
	return setting.Place{Field: "path", Path: c.Path, Alone: true}
}
