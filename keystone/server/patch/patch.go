// Package patch applies partial updates: what is nil or absent stays as it is.
package patch

import "maps"

// Set stores *value where there is one.
func Set[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}

// Merge returns into with the attributes of from added or replaced. It changes neither.
func Merge(into, from map[string]any) map[string]any {
	merged := make(map[string]any, len(into)+len(from))
	maps.Copy(merged, into)
	maps.Copy(merged, from)
	return merged
}
