// Package producer takes events to a stream: it gathers what arrives into commits, keeps the
// order of every key, and repeats only what was refused.
package producer

import (
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// Settings say how much is gathered into one commit. Events that arrive while a commit is under
// way are gathered in any case, so that the defaults suit slow and fast sources alike.
type Settings struct {
	// At most so many events in one commit.
	Records int `yaml:"records" default:"10000" min:"1" max:"100000"`

	// At most so many bytes in one commit: keys, event_ids and payloads, and 48 bytes for each event. A larger event goes alone.
	Bytes setting.Size `yaml:"bytes" default:"4MiB" min:"1KiB" max:"8MiB"`

	// How long to wait for more events before a commit that is not full. It delays every event by as much; 0s is right
	// unless the disk is worn by many small commits.
	Wait time.Duration `yaml:"wait" default:"0s" max:"60s"`
}
