package headers

import (
	"fmt"
	"net/http"
	"slices"
)

// ParseName reads the name of a header in which a trusted front end says something, and gives it in canonical form. Names that mean
// something else already are refused.
func ParseName(text string) (string, error) {
	name := http.CanonicalHeaderKey(text)
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c != '-' || i == 0) {
			return "", fmt.Errorf("%q: write a header's name of letters, digits and dashes; others are taken for another name by some servers", text)
		}
	}
	taken := []string{"Authorization", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", AuthToken, ServiceToken, StorageToken}
	if forwarding, _ := IsForwarding(name); forwarding || name == "" || slices.Contains(taken, name) {
		return "", fmt.Errorf("%q: this header has a meaning of its own", text)
	}
	return name, nil
}
