// Package bind decides whether a bound token may be used by whoever presents it (Keystone's token binding).
//
// A bound token names the external authentication it was issued under, such as {"kerberos": "alice"} or {"x509":
// "<thumbprint>"}; it counts only together with that authentication.
package bind

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrBind says that a token's binding does not allow its use.
	ErrBind = errors.New("token binding not satisfied")
	// ErrKerberos is the ErrBind of a token that is bound to a Kerberos identity which the request does not have: to
	// authenticate by Negotiate (RFC 4559) can help.
	ErrKerberos = fmt.Errorf("%w: kerberos", ErrBind)
)

// Peer is the external authentication of a request. The zero Peer has none. Whoever fills it must have it from its own
// check, never from headers that a client can set.
type Peer struct {
	// RemoteUser and AuthType are as a web server's REMOTE_USER and AUTH_TYPE tell them: ("alice@EXAMPLE.ORG", "Negotiate").
	RemoteUser string
	AuthType   string
	// RemoteDomain is the name of the user's domain (REMOTE_DOMAIN), "" where it is not said.
	RemoteDomain string
	// Certificate is the client certificate of the connection, as DER; nil for none. The client has shown that it holds the
	// key.
	Certificate []byte
}

// Mode is a value of enforce_token_bind.
type Mode struct{ name string }

// The modes that are not the name of a mechanism.
var (
	// Disabled checks nothing.
	Disabled = Mode{"disabled"}
	// Permissive checks the mechanisms that are known here and passes over the others. It is the default.
	Permissive = Mode{"permissive"}
	// Strict refuses tokens bound to a mechanism that is not known here.
	Strict = Mode{"strict"}
	// Required is Strict, and refuses tokens that are not bound at all.
	Required = Mode{"required"}
)

// The mechanisms that can be checked here. Keystone itself binds tokens to kerberos; x509 is what certificate-bound tokens
// (RFC 8705, Keystone's OAuth 2.0 with mutual TLS) are bound to.
const (
	Kerberos = "kerberos"
	X509     = "x509"
)

var (
	modes      = []string{"disabled", "permissive", "strict", "required"}
	mechanisms = []string{Kerberos, X509}
)

// ParseMode reads enforce_token_bind: disabled, permissive, strict, required, or the name of the mechanism that every token
// must be bound to. "" means permissive.
func ParseMode(text string) (Mode, error) {
	name := strings.ToLower(strings.TrimSpace(text))
	switch {
	case name == "":
		return Permissive, nil
	case slices.Contains(modes, name), slices.Contains(mechanisms, name):
		return Mode{name}, nil
	case name == "named":
		return Mode{}, errors.New(`enforce_token_bind = named: write the name of the mechanism itself, such as kerberos; there is no mechanism called "named"`)
	}
	return Mode{}, fmt.Errorf("enforce_token_bind = %s: want %s, or the name of a mechanism that can be checked here: %s",
		text, strings.Join(modes, ", "), strings.Join(mechanisms, ", "))
}

func (m Mode) String() string {
	if m.name == "" {
		return Permissive.name
	}
	return m.name
}

// Mechanism is the mechanism that every token must be bound to, "" where the mode names none.
func (m Mode) Mechanism() string {
	if slices.Contains(mechanisms, m.name) {
		return m.name
	}
	return ""
}

// Check says whether a token with this bind may be used by peer; errors wrap ErrBind. Every mechanism of the bind that is
// known here must hold, in every mode but Disabled. Identities are compared exactly, with case, as Keystone compares them.
func (m Mode) Check(bind map[string]string, peer Peer) error {
	mode := m.String()
	if mode == Disabled.name {
		return nil
	}
	if len(bind) == 0 {
		if mode == Permissive.name || mode == Strict.name {
			return nil
		}
		return fmt.Errorf("%w: the token is not bound, and the mode is %s", ErrBind, mode)
	}
	if named := m.Mechanism(); named != "" {
		if _, ok := bind[named]; !ok {
			return fmt.Errorf("%w: the token is not bound to %s", ErrBind, named)
		}
	}
	for mechanism, identity := range bind {
		var err error
		switch {
		case mechanism == Kerberos:
			err = peer.kerberos(identity)
		case mechanism == X509:
			err = peer.x509(identity)
		case mode != Permissive.name:
			err = fmt.Errorf("%w: the token is bound to %q, which cannot be checked here", ErrBind, mechanism)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p Peer) kerberos(identity string) error {
	switch {
	case !strings.EqualFold(p.AuthType, "negotiate"):
		return fmt.Errorf("%w: the token is bound to it, and the request is not authenticated by it", ErrKerberos)
	case identity == "" || p.RemoteUser != identity:
		return fmt.Errorf("%w: the token is bound to another identity", ErrKerberos)
	}
	return nil
}
