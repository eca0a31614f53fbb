package source

import (
	"context"
	"time"
)

// LeastRate is how many events a source brings at least.
type LeastRate struct {
	// So many events, each counted once, however many connections bring it. Default: any number will do.
	Events int64 `yaml:"events" min:"1"`

	// Within this time.
	Per time.Duration `yaml:"per" default:"1m" min:"1s" max:"7d"`
}

// rateParts is into how many parts LeastRate.Per is divided: the rate is judged at the end of each, over the last ones that make up Per.
const rateParts = 12

// watchRate tells when the source brings less than the settings say, and when that is over, until ctx ends. It judges from the first whole time on.
func (m *Manager) watchRate(ctx context.Context) {
	least := m.Settings.LeastRate
	beat := time.NewTicker(least.Per / rateParts)
	defer beat.Stop()
	var before [rateParts]int64 // what had come at the ends of the last parts, as a ring
	for n := 1; ; n++ {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		now, came := time.Now(), m.brought-before[n%rateParts]
		before[n%rateParts] = m.brought
		switch slow := came < least.Events; {
		case n < rateParts || slow == !m.status.SlowSince.IsZero():
		case slow:
			m.status.SlowSince = now
			m.log.Warn("the source brings less than least_rate", "events", came, "per", least.Per, "least", least.Events)
		default:
			m.log.Info("the source brings as much as least_rate again", "events", came, "per", least.Per, "after", now.Sub(m.status.SlowSince).Round(time.Second))
			m.status.SlowSince = time.Time{}
		}
		m.mu.Unlock()
	}
}
