package validate

import (
	"testing"

	"authproxy/certs/certstest"
	"authproxy/validate/bind"
)

// TestBindOnEveryRequest: a bound token in the cache is still only for whom it is bound to.
func TestBindOnEveryRequest(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator()
	text := f.pki(body("a", `,"bind":{"kerberos":"alice"}`))
	alice := bind.Peer{RemoteUser: "alice", AuthType: "Negotiate"}
	wantRequest(t, v, Request{Token: text, Peer: alice}, "")
	want(t, v, text, Bind)
	wantRequest(t, v, Request{Token: text, Peer: bind.Peer{RemoteUser: "bob", AuthType: "Negotiate"}}, Bind)
	wantRequest(t, v, Request{Token: text, Peer: alice}, "")
	if s := v.Stats(); s.Misses != 1 {
		t.Errorf("%d misses: the later ones were not cache hits", s.Misses)
	}
}

// TestIdentifiedOnlyWhereItMatters: finding out who sends a request costs time and opens parsers, so it is left until a token
// holds but for its binding.
func TestIdentifiedOnlyWhereItMatters(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	certificate := []byte("certificate")
	kerberos := f.pki(body("a", `,"bind":{"kerberos":"alice"}`))
	x509 := f.pki(body("b", `,"oauth2_credential":{"x5t#S256":"`+bind.Thumbprint(certificate)+`"}`))
	f.lists.set(entry("x", "revoked"))
	for name, tt := range map[string]struct {
		text string
		mode bind.Mode
		skip bool
		want Reason
		asks int
	}{
		"bound to kerberos":            {kerberos, bind.Permissive, false, "", 1},
		"bound to x509":                {x509, bind.Strict, false, "", 1},
		"not bound":                    {f.pki(body("c", "")), bind.Permissive, false, "", 0},
		"not bound, though it must be": {f.pki(body("d", "")), bind.Required, false, Bind, 0},
		"bound, revoked":               {f.pki(body("revoked", `,"bind":{"kerberos":"alice"}`)), bind.Permissive, false, Revoked, 0},
		"no token":                     {"junk", bind.Permissive, false, Malformed, 0},
		"mode disabled":                {kerberos, bind.Disabled, false, "", 0},
		"bound to another":             {f.pki(body("e", `,"bind":{"kerberos":"bob"}`)), bind.Permissive, false, Bind, 1},
		"bound to another, skipped":    {f.pki(body("e", `,"bind":{"kerberos":"bob"}`)), bind.Permissive, true, "", 0},
		"revoked, skipped":             {f.pki(body("revoked", `,"bind":{"kerberos":"alice"}`)), bind.Permissive, true, Revoked, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			v := f.validator(func(o *Options) { o.Bind = tt.mode })
			wantRequest(t, v, Request{Token: tt.text, InsecureSkipBind: tt.skip, Identify: func() bind.Peer {
				asked++
				return bind.Peer{RemoteUser: "alice", AuthType: "Negotiate", Certificate: certificate}
			}}, tt.want)
			if asked != tt.asks {
				t.Errorf("asked %d times, want %d", asked, tt.asks)
			}
		})
	}
}

// TestBindOfTheRequest: routes that share a Validator, and its cache, may have modes of their own.
func TestBindOfTheRequest(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator(func(o *Options) { o.Bind = bind.Disabled })
	bound, free := f.pki(body("a", `,"bind":{"kerberos":"alice"}`)), f.pki(body("b", ""))
	for range 2 {
		want(t, v, bound, "")
		wantRequest(t, v, Request{Token: bound, Bind: &bind.Permissive}, Bind)
		wantRequest(t, v, Request{Token: free, Bind: &bind.Permissive}, "")
		wantRequest(t, v, Request{Token: free, Bind: &bind.Required}, Bind)
		wantRequest(t, v, Request{Token: bound, Bind: &bind.Required, Peer: bind.Peer{RemoteUser: "alice", AuthType: "Negotiate"}}, "")
	}
}
