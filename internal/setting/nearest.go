package setting

import "slices"

// Nearest returns the candidate that word was probably meant to be, and false if none is near. Near
// is an optimal string alignment distance of at most a third of the word's length, or of 1.
func Nearest(word string, candidates []string) (string, bool) {
	limit := max(1, len([]rune(word))/3)
	best := ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance([]rune(word), []rune(c), limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best, best != ""
}

// distance returns how many insertions, deletions, substitutions and swaps of neighbours make
// b of a, no place being edited twice; at most limit+1.
func distance(a, b []rune, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
