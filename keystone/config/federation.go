package config

import (
	"fmt"
	"slices"
	"strings"
)

// FederatedMethods are the methods to log in, of those in AuthMethods, by which an identity provider says who somebody is. All but
// the last are the protocol of that name alone.
var FederatedMethods = [...]string{"saml2", "oidc", "openid", "mapped"}

// Federation is the [federation] section, and [saml2] and the like.
type Federation struct {
	// AssertionPrefix is what the names of headers begin with in which trusted peers say what an identity provider asserts.
	AssertionPrefix string
	remoteID        [len(FederatedMethods) + 1]string // by protocol; the last is that of [federation]
}

// RemoteIDAttribute is the name of the attribute that says which identity provider asserts, for a protocol; "" for none.
func (f *Federation) RemoteIDAttribute(protocol string) string {
	if i := slices.Index(FederatedMethods[:], protocol); i >= 0 && f.remoteID[i] != "" {
		return f.remoteID[i]
	}
	return f.remoteID[len(FederatedMethods)]
}

func federationFields() []field[Keystone] {
	fields := []field[Keystone]{
		{Option{Section: "federation", Name: "assertion_prefix", rule: checkAssertionPrefix,
			Help: "what names of headers begin with in which [auth] trusted_peers say what an identity provider asserts of a user"},
			func(k *Keystone) any { return &k.Federation.AssertionPrefix }},
		{Option: Option{Section: "federation", Name: "federated_domain_name", rule: checkFederatedDomain, Help: "domain of users without one, which is always Federated"}},
	}
	for i, section := range append(FederatedMethods[:], "federation") {
		fields = append(fields, field[Keystone]{Option{Section: section, Name: "remote_id_attribute",
			Help: "attribute that says which identity provider asserts, which has to have its value among its remote_ids"},
			func(k *Keystone) any { return &k.Federation.remoteID[i] }})
	}
	for _, name := range FederatedMethods {
		fields = append(fields, field[Keystone]{Option: Option{Section: "auth", Name: name, Help: "class of the method " + name,
			rule: checkClass("keystone.auth.plugins.mapped.Mapped", "keystone.auth.plugins.saml2.Saml2", "mapped", name)}})
	}
	return fields
}

func checkFederatedDomain(text string) error {
	if text != "Federated" {
		return fmt.Errorf("%q: it is always Federated; take the line out", clip(text))
	}
	return nil
}

// headerName is how a header, or the variable of CGI that stands for it, is compared.
func headerName(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(text), "-", "_"), "HTTP_")
}

func checkAssertionPrefix(text string) error {
	const least = 4
	name := headerName(text)
	if len(name) < least || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return fmt.Errorf("%q: write at least %d letters of the headers that the front end overwrites on every request, for example OIDC_CLAIM_", clip(text), least)
	}
	return nil
}

// checkFederation demands what no login by an identity provider is safe without.
func (k *Keystone) checkFederation(l *loader) {
	f := &k.Federation
	fail := func(format string, args ...any) { l.fail(l.where("methods"), "[auth] methods", format, args...) }
	for _, name := range FederatedMethods {
		if !slices.Contains(k.AuthMethods, name) {
			continue
		}
		attribute := f.RemoteIDAttribute(name)
		if name == "mapped" { // is for protocols of any name
			attribute = f.remoteID[len(FederatedMethods)]
		}
		switch {
		case len(k.Senders.TrustedPeers)+len(k.Senders.TrustedPeerNames) == 0:
			l.warn(l.where("methods"), "[auth] methods", "%s lets nobody in, since nobody is trusted to say what identity providers assert; set trusted_peers", name)
		case f.AssertionPrefix == "":
			fail("%s needs [federation] assertion_prefix: what the headers begin with that the front end overwrites, for example OIDC_CLAIM_", name)
			return
		case attribute == "":
			fail("%s needs [federation] remote_id_attribute: the attribute that says which identity provider asserts, for example OIDC_CLAIM_iss", name)
			return
		case !strings.HasPrefix(headerName(attribute), headerName(f.AssertionPrefix)):
			fail("%s: remote_id_attribute %s does not begin with [federation] assertion_prefix %s, so it is never there", name, clip(attribute), clip(f.AssertionPrefix))
			return
		}
	}
}
