package bind

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrRealm says that a principal's realm does not allow to tell who is meant.
var ErrRealm = errors.New("principal cannot be mapped")

// Realms says what becomes of the realm in the name of a Kerberos principal, so that it reads as Keystone wrote it into the
// bind. The nil Realms leaves names as they are.
type Realms map[string]string // realm → what stands in its place, "" for nothing: alice@EXAMPLE.ORG → alice

// ParseRealms reads the items of a realm map: REALM=NEW makes alice@REALM alice@NEW, REALM= makes it alice. It refuses maps
// by which two people would get one name.
func ParseRealms(items []string) (Realms, error) {
	if len(items) == 0 {
		return nil, nil
	}
	realms := Realms{}
	for _, item := range items {
		realm, in, ok := strings.Cut(item, "=")
		switch _, twice := realms[realm]; {
		case !ok || realm == "":
			return nil, fmt.Errorf("%q: write REALM= to take the realm off, or REALM=NEW to write another in its place", item)
		case strings.ContainsAny(realm+in, "@/\\ \t="):
			return nil, fmt.Errorf("%q: a realm has no blank and none of @ / \\ =", item)
		case twice:
			return nil, fmt.Errorf("the realm %s is mapped twice", realm)
		}
		realms[realm] = in
	}
	from := map[string]string{}
	for _, realm := range slices.Sorted(maps.Keys(realms)) {
		if other, taken := from[realms[realm]]; taken {
			return nil, fmt.Errorf("the realms %s and %s are mapped to one: whoever is alice in either would be the same alice", other, realm)
		}
		from[realms[realm]] = realm
	}
	return realms, nil
}

// Map gives the name of a principal ("alice@EXAMPLE.ORG") with its realm mapped. A realm that is not in the map stays, unless
// it is what another one is mapped to; errors wrap ErrRealm. A name without a realm is taken as it is: whoever gave it has
// mapped it already.
func (m Realms) Map(principal string) (string, error) {
	if len(m) == 0 {
		return principal, nil
	}
	name, realm, ok := strings.Cut(principal, "@")
	if !ok {
		return principal, nil
	}
	if strings.Contains(realm, "@") || strings.Contains(name, `\`) {
		// With the last realm gone, what is left would read as somebody else's principal.
		return "", fmt.Errorf("%w: there is an @ in its name", ErrRealm)
	}
	in, mapped := m[realm]
	switch {
	case mapped && in == "":
		return name, nil
	case mapped:
		return name + "@" + in, nil
	}
	for from, to := range m {
		if to == realm {
			return "", fmt.Errorf("%w: realm %s is what %s is mapped to", ErrRealm, realm, from)
		}
	}
	return principal, nil
}
