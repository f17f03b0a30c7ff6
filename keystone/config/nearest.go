package config

import "strings"

// nearest is the first of the names with the smallest edit distance to s, or "" where all are too far to be meant: more than a
// third of s, and never more than four edits.
func nearest(s string, names []string) string {
	best, limit := "", min(4, max(1, len(s)/3))+1
	for _, name := range names {
		if d := distance(strings.ToLower(s), name); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// didYouMean is a clause for the end of a message, "" where no name is near.
func didYouMean(s string, names []string) string {
	if n := nearest(s, names); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

// distance counts the edits from a to b: insert, delete, replace, or swap two neighbours (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
