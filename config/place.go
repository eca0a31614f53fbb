package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/leatstream/leat/internal/setting"
)

// target is a place that a destination writes to, and where the file says so.
type target struct {
	declared
	consumer string // as messages call it
	alone    bool
}

// target notes where a destination keeps its files, if it says so and the value can be used.
func (d *decoder) target(s *scope, adapter any) {
	p, ok := adapter.(setting.Placer)
	if !ok || s.node == nil {
		return
	}
	place := p.Place()
	n := valueAt(s.node, place.Field)
	if n == nil || place.Path == "" || d.failed(resolve(n)) {
		return
	}
	d.targets = append(d.targets, target{
		declared: declared{name: absolute(place.Path), file: d.file, at: d.span(n), given: true},
		consumer: s.up.label, alone: place.Alone,
	})
}

// places checks that no destination writes where another or the engine does.
func (l *loader) places() {
	owners := map[string]target{}
	for _, t := range l.targets {
		if !l.lost && below(t.name, absolute(l.config.Data)) {
			l.report(t.file, report{
				code: codeInsideData, at: t.at, message: fmt.Sprintf("%s writes into the data directory %s", t.consumer, quote(l.config.Data)),
				hint: "choose a place outside of it",
			})
		}
		if !t.alone {
			continue
		}
		owner, taken := owners[t.name]
		if !taken {
			owners[t.name] = t
			continue
		}
		l.report(t.file, report{
			code: codeSharedPlace, at: t.at, message: fmt.Sprintf("%s writes to the directory of %s", t.consumer, owner.consumer),
			hint: "give each a directory of its own", related: []Related{owner.related("the first is at")},
		})
	}
}

// below reports whether a path is a directory or lies in it.
func below(path, directory string) bool {
	rest, err := filepath.Rel(directory, path)
	return err == nil && rest != ".." && !strings.HasPrefix(rest, ".."+string(filepath.Separator))
}

// absolute returns a path that can be compared with others. Links are not followed.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return filepath.Clean(path)
}
