package source

import (
	"slices"
	"time"

	"github.com/leatstream/leat/stream"
)

// mostUnsure is how many stretches of time are remembered that the numbers may still show to be complete.
const mostUnsure = 16

// disproved reports whether the numbers show already that nothing is missing of a time without a connection, so that it is no gap. Where they may
// still show it, the gap is remembered. The caller holds mu.
func (m *Manager) disproved(g *Gap) bool {
	if m.counts == nil || g.How != GapNoConnection {
		return false // what a provider sends again in place of what it was asked for proves nothing
	}
	if m.counts.proves(g.From, g.To) {
		m.log.Info("no gap: nothing covered what the provider sends, and the numbers go on", "from", g.From, "to", g.To, "reason", g.Reason)
		return true
	}
	if m.unsure = append(m.unsure, *g); len(m.unsure) > mostUnsure {
		m.unsure = m.unsure[1:]
	}
	return false
}

// withdraw takes back gaps in time of which the numbers show meanwhile that nothing is missing. The caller holds mu.
func (m *Manager) withdraw(puts []stream.Put, now time.Time) []stream.Put {
	m.unsure = slices.DeleteFunc(m.unsure, func(g Gap) bool {
		if !m.counts.proves(g.From, g.To) {
			return false
		}
		m.repairs.withdraw(&g)
		m.log.Info("no gap: the numbers go on behind it, so that nothing is missing", "from", g.From, "to", g.To)
		g.RepairedAt, g.Reason = now, "the numbers go on behind it: nothing is missing"
		puts = m.gap(puts, g)
		return true
	})
	return puts
}
