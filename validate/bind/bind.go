// Package bind decides whether a bound token may be used by whoever presents it (Keystone's token binding).
//
// A bound token names the external authentication it was issued under, such as {"kerberos": "alice"}; it counts only together
// with that authentication.
package bind

import (
	"errors"
	"fmt"
	"strings"
)

// ErrBind says that a token's binding does not allow its use.
var ErrBind = errors.New("token binding not satisfied")

// Peer is the external authentication of a request, as a web server's REMOTE_USER and AUTH_TYPE tell it. The zero Peer
// has none. Whoever fills it must have it from its own check, never from the request's headers.
type Peer struct {
	RemoteUser string
	AuthType   string
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

// kerberos is the one mechanism that Keystone binds tokens to.
const kerberos = "kerberos"

// ParseMode reads enforce_token_bind: disabled, permissive, strict, required, or the name of the mechanism that every token
// must be bound to. "" means permissive.
func ParseMode(text string) (Mode, error) {
	switch name := strings.ToLower(strings.TrimSpace(text)); name {
	case "":
		return Permissive, nil
	case "disabled", "permissive", "strict", "required", kerberos:
		return Mode{name}, nil
	case "named":
		return Mode{}, errors.New(`enforce_token_bind = named: write the name of the mechanism itself, such as kerberos; there is no mechanism called "named"`)
	default:
		return Mode{}, fmt.Errorf("enforce_token_bind = %s: want disabled, permissive, strict, required, or the name of a mechanism that can be checked here: kerberos", text)
	}
}

func (m Mode) String() string {
	if m.name == "" {
		return Permissive.name
	}
	return m.name
}

// Check says whether a token with this bind may be used by peer; errors wrap ErrBind. The identities of a bind are compared
// exactly, with case, as Keystone compares them.
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
	named := mode != Permissive.name && mode != Strict.name && mode != Required.name
	if _, ok := bind[mode]; named && !ok {
		return fmt.Errorf("%w: the token is not bound to %s", ErrBind, mode)
	}
	for mechanism, identity := range bind {
		switch {
		case mechanism == kerberos:
			if !strings.EqualFold(peer.AuthType, "negotiate") {
				return fmt.Errorf("%w: the token is bound to kerberos, and the request is not authenticated by it", ErrBind)
			}
			if identity == "" || peer.RemoteUser != identity {
				return fmt.Errorf("%w: the token is bound to another kerberos identity", ErrBind)
			}
		case mode == Permissive.name:
		default:
			return fmt.Errorf("%w: the token is bound to %q, which cannot be checked here", ErrBind, mechanism)
		}
	}
	return nil
}
