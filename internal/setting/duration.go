package setting

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration in the notation of Go with d (24 h) and w (7 d) beside it, such
// as 500ms, 1h30m, 7d or 1d12h, or the word off. A bare number is an error that names
// the likely unit; so is a negative duration.
func ParseDuration(text string) (time.Duration, error) {
	if text == "off" {
		return Off, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return 0, fmt.Errorf("a duration needs a unit: write %ss or %sms", text, text)
	}
	bad := fmt.Errorf("expected a duration such as 500ms, 30s, 12h or 7d, got %q", text)
	var total time.Duration
	rest := text
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n < 0 || n*float64(unit.size) > float64(1<<62) {
			return 0, bad
		}
		total += time.Duration(n * float64(unit.size))
		rest = after
	}
	if rest == "" && total > 0 {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || total+d < 0 {
		return 0, bad
	}
	return total + d, nil
}

// FormatDuration returns d in the shortest notation that ParseDuration reads.
func FormatDuration(d time.Duration) string {
	if d == Off {
		return "off"
	}
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
