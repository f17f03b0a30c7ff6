package headers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestNames: whoever overwrites or removes Names lets nothing through that Set writes, and nothing that Strip removes for the table.
func TestNames(t *testing.T) {
	names := Names()
	for _, r := range table {
		for _, name := range []string{r.user, r.service} {
			if name != "" && !slices.Contains(names, name) {
				t.Errorf("%s is missing", name)
			}
		}
	}
	for i, name := range names {
		if name != http.CanonicalHeaderKey(name) || !Reserved(name) || slices.Contains(names[:i], name) {
			t.Errorf("%q", name)
		}
	}
}

func TestLookAlike(t *testing.T) {
	for _, name := range append(Names(), AuthToken, ServiceToken, StorageToken, "X-User-Agent", "X-Projects", "Openstack-Api-Version", "Accept", "") {
		if LookAlike(name) {
			t.Errorf("%q is taken for another name", name)
		}
	}
	for _, name := range append(Names(), AuthToken, ServiceToken, StorageToken) {
		for _, other := range []string{strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1), strings.ToLower(name)} {
			if !LookAlike(other) {
				t.Errorf("%q is not taken for %s", other, name)
			}
		}
	}
}
