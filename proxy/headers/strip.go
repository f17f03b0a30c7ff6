package headers

import "net/http"

// families are the names that only the proxy may set, folded, each standing for every name that begins with it.
// Every name of the table falls under one of them. The families are wider than the table, so that a header which a
// later middleware or service gives a meaning to is not open to clients in the meantime.
var families = []string{
	"x-identity-",
	"x-service-", // but for X-Service-Token itself
	"x-user",
	"x-tenant",
	"x-project",
	"x-domain",
	"x-role",
	"x-is-admin",
	"x-authproxy-",
	"openstack-system-scope", // auth_token's own list forgets it
	"keystone-",              // keystone.token_info and its like, the WSGI environment's names
}

// tokens are the headers a client does send; reserved in any but the canonical spelling, which net/http gives to every
// name that differs in case only.
var tokens = []struct{ canonical, folded string }{
	{AuthToken, "x-auth-token"},
	{ServiceToken, "x-service-token"},
	{StorageToken, "x-storage-token"},
}

// Reserved says whether a header must not be passed on from a client: whether an upstream could take it for one of the table, or for
// a token header of which it is only a look-alike. also names further headers that must not, in any spelling.
//
// Names are compared as CGI and WSGI servers compare them: without regard to case, and with every character that is
// neither a letter nor a digit read as "-" (most fold "_", some fold all of them).
func Reserved(name string, also ...string) bool {
	if reserved(name) {
		return true
	}
	for _, a := range also {
		if len(a) == len(name) && hasFoldedPrefix(name, a) {
			return true
		}
	}
	return false
}

// IsToken says whether a header is one that carries a token, in its one spelling.
func IsToken(name string) bool {
	return name == AuthToken || name == ServiceToken || name == StorageToken
}

func reserved(name string) bool {
	if name == "" {
		return true
	}
	switch fold[name[0]] {
	case 'x', 'o', 'k': // the first letters of families and tokens: most names end here
	default:
		return false
	}
	for _, t := range tokens {
		if len(name) == len(t.folded) && hasFoldedPrefix(name, t.folded) {
			return name != t.canonical
		}
	}
	for _, f := range families {
		if hasFoldedPrefix(name, f) {
			return true
		}
	}
	return false
}

// hasFoldedPrefix says whether name begins with prefix, both folded.
func hasFoldedPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if fold[name[i]] != fold[prefix[i]] {
			return false
		}
	}
	return true
}

// IsForwarding says whether a name is, or would at an upstream be taken for, Forwarded (RFC 7239) or an X-Forwarded-
// header, and whether it is in the spelling that Go gives the real ones.
func IsForwarding(name string) (forwarding, canonical bool) {
	const family, standard = "x-forwarded-", "forwarded"
	switch {
	case len(name) == len(standard) && hasFoldedPrefix(name, standard):
		return true, name == "Forwarded"
	case hasFoldedPrefix(name, family):
		return true, name == http.CanonicalHeaderKey(name) && dashesOnly(name)
	}
	return false, false
}

func dashesOnly(name string) bool {
	for i := range len(name) {
		if fold[name[i]] == '-' && name[i] != '-' {
			return false
		}
	}
	return true
}

var fold = func() (t [256]byte) {
	for i := range t {
		c := byte(i)
		switch {
		case 'A' <= c && c <= 'Z':
			t[i] = c - 'A' + 'a'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			t[i] = c
		default:
			t[i] = '-'
		}
	}
	return t
}()
