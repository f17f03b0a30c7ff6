package federation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation/mapping"
)

const (
	maxUserName = 255
	// maxGroups bounds what a token says: each is some 50 bytes of it.
	maxGroups = 256
	// remoteUser is the attribute that names users whom the rules do not name.
	remoteUser = "REMOTE_USER"
)

// Revoker ends tokens when what they stand on changes. It is called inside the transaction of that change.
type Revoker interface {
	RevokeIdentityProvider(ctx context.Context, identityProviderID string) error
	RevokeProtocol(ctx context.Context, identityProviderID, protocolID string) error
}

// Login is what an identity provider says of a user, as the names and texts of attributes.
type Login struct {
	IdentityProviderID string
	ProtocolID         string
	Attributes         map[string]string
}

// Mapped is whom that comes to.
type Mapped struct {
	// LocalUser is a user that is stored here; nil for one that is known by the identity provider alone, who has UserID, UserName
	// and groups.
	LocalUser        *mapping.User
	UserID, UserName string
	GroupIDs         []string
	GroupNames       []mapping.Group
}

// Login maps a user. Every refusal is fault.Unauthorized.
func (m *Manager) Login(ctx context.Context, l Login) (Mapped, error) {
	if err := m.Usable(ctx, l.IdentityProviderID, l.ProtocolID); err != nil {
		return Mapped{}, err
	}
	assertion, err := mapping.NewAssertion(l.Attributes)
	if err != nil {
		return Mapped{}, refused("%v", err)
	}
	if err := m.checkRemoteID(ctx, l, assertion); err != nil {
		return Mapped{}, err
	}
	mapped, err := m.apply(ctx, l, assertion)
	if err != nil {
		return Mapped{}, err
	}
	u := mapped.User
	if u.Type == mapping.Local {
		return Mapped{LocalUser: &u}, nil
	}
	unique := u.ID
	if unique == "" {
		unique = u.Name
	}
	if said := assertion[remoteUser]; unique == "" && len(said) == 1 {
		unique = said[0]
	}
	name := u.Name
	if name == "" {
		name = unique
	}
	groups := len(mapped.GroupIDs) + len(mapped.GroupNames)
	switch {
	case mapped.Applied == 0:
		return Mapped{}, refused("no rule of the mapping applies")
	case !printable(unique, maxUserName) || !printable(name, maxUserName):
		return Mapped{}, refused("the mapping gives a user no id or name of 1 to %d printable characters", maxUserName)
	case groups == 0 || groups > maxGroups:
		return Mapped{}, refused("the mapping puts the user into %d groups, not into 1 to %d", groups, maxGroups)
	}
	return Mapped{UserID: UserID(l.IdentityProviderID, l.ProtocolID, unique), UserName: name, GroupIDs: mapped.GroupIDs, GroupNames: mapped.GroupNames}, nil
}

// UserID is the id here of who is known by an identity provider alone. Two of these cannot make the same, nor that of a stored user.
func UserID(identityProviderID, protocolID, unique string) string {
	text, err := json.Marshal([]string{"OS-FEDERATION", identityProviderID, protocolID, unique})
	if err != nil { // texts always can be
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Usable says whether an identity provider is there and enabled, and has the protocol; else it is fault.Unauthorized.
func (m *Manager) Usable(ctx context.Context, identityProviderID, protocolID string) error {
	p, err := m.Store.IdentityProvider(ctx, identityProviderID)
	if err == nil && !p.Enabled {
		return refused("identity provider %q is disabled", identityProviderID)
	}
	if err == nil {
		_, err = m.Store.Protocol(ctx, identityProviderID, protocolID)
	}
	return missing(err)
}

// checkRemoteID demands that the identity provider which asserts is the one that it is taken for: a front end may take the word
// of several.
func (m *Manager) checkRemoteID(ctx context.Context, l Login, assertion mapping.Assertion) error {
	p, err := m.Store.IdentityProvider(ctx, l.IdentityProviderID)
	if err != nil {
		return missing(err)
	}
	attribute := m.RemoteIDAttribute(l.ProtocolID)
	said := assertion[mapping.Fold(attribute)]
	if attribute == "" || len(said) != 1 {
		return refused("the attribute %q does not say who asserts", attribute)
	}
	for _, id := range p.RemoteIDs {
		if id == said[0] {
			return nil
		}
	}
	return refused("%q asserts, which is not among the remote_ids of identity provider %q", said[0], p.ID)
}

func (m *Manager) apply(ctx context.Context, l Login, assertion mapping.Assertion) (mapping.Properties, error) {
	protocol, err := m.Store.Protocol(ctx, l.IdentityProviderID, l.ProtocolID)
	if err != nil {
		return mapping.Properties{}, missing(err)
	}
	stored, err := m.Store.Mapping(ctx, protocol.MappingID)
	if err != nil {
		return mapping.Properties{}, missing(err)
	}
	rules, err := stored.Parse()
	if err != nil {
		return mapping.Properties{}, refused("mapping %q: %v", stored.ID, err)
	}
	mapped, err := rules.Apply(assertion, nil)
	if err != nil {
		return mapping.Properties{}, refused("mapping %q: %v", stored.ID, err)
	}
	return mapped, nil
}

func refused(format string, args ...any) error {
	return fault.Unauthorized{Why: fmt.Sprintf(format, args...)}
}

// missing makes what is not there a refusal.
func missing(err error) error {
	if fault.IsNotFound(err) {
		return refused("%v", err)
	}
	return err
}
