package federation

import (
	"context"
	"fmt"
	"regexp"
	"unicode"
	"unicode/utf8"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// DefaultRelayStatePrefix is that of service providers which are made without one ([saml] relay_state_prefix).
const DefaultRelayStatePrefix = "ss:mem:"

// Lengths in characters.
const (
	maxID       = 64
	maxRemoteID = 255
	maxURL      = 225
	maxPrefix   = 256
	// maxRemoteIDs is how many an identity provider can have.
	maxRemoteIDs = 256
)

// Manager is the rules about these objects, and who logs in by them.
type Manager struct {
	Store  Store
	Tokens Revoker
	// RemoteIDAttribute is the name of the attribute that says which identity provider asserts, for a protocol; "" for none.
	RemoteIDAttribute func(protocolID string) string
}

// IdentityProvider is the one with that id.
func (m *Manager) IdentityProvider(ctx context.Context, id string) (IdentityProvider, error) {
	return m.Store.IdentityProvider(ctx, id)
}

// IdentityProviders are those that fit the filters, ordered by id.
func (m *Manager) IdentityProviders(ctx context.Context, where filter.List) ([]IdentityProvider, error) {
	return m.Store.IdentityProviders(ctx, where)
}

// CreateIdentityProvider stores a new one under its id.
func (m *Manager) CreateIdentityProvider(ctx context.Context, p IdentityProvider) (IdentityProvider, error) {
	if err := checkID(p.ID); err != nil {
		return p, err
	}
	if err := checkRemoteIDs(p.RemoteIDs); err != nil {
		return p, err
	}
	return p, m.Store.AddIdentityProvider(ctx, p)
}

// UpdateIdentityProvider changes one by what change does to it. Disabling it ends the tokens that stand on its word.
func (m *Manager) UpdateIdentityProvider(ctx context.Context, id string, change func(p *IdentityProvider)) (IdentityProvider, error) {
	var p IdentityProvider
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.IdentityProvider(ctx, id); err != nil {
			return err
		}
		change(&p)
		if err := checkRemoteIDs(p.RemoteIDs); err != nil {
			return err
		}
		if err := m.Store.PutIdentityProvider(ctx, p); err != nil || p.Enabled {
			return err
		}
		return m.Tokens.RevokeIdentityProvider(ctx, id)
	})
	return p, err
}

// DeleteIdentityProvider removes one with its protocols and ends the tokens that stand on its word.
func (m *Manager) DeleteIdentityProvider(ctx context.Context, id string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveIdentityProvider(ctx, id); err != nil {
			return err
		}
		return m.Tokens.RevokeIdentityProvider(ctx, id)
	})
}

// Protocol is that of an identity provider.
func (m *Manager) Protocol(ctx context.Context, identityProviderID, id string) (Protocol, error) {
	return m.Store.Protocol(ctx, identityProviderID, id)
}

// Protocols are those of an identity provider, which must be there, that fit the filters, ordered by id.
func (m *Manager) Protocols(ctx context.Context, identityProviderID string, where filter.List) ([]Protocol, error) {
	if _, err := m.Store.IdentityProvider(ctx, identityProviderID); err != nil {
		return nil, err
	}
	return m.Store.Protocols(ctx, identityProviderID, where)
}

// CreateProtocol stores a new one.
func (m *Manager) CreateProtocol(ctx context.Context, p Protocol) (Protocol, error) {
	if err := checkID(p.ID); err != nil {
		return p, err
	}
	return p, m.Store.Write(ctx, func(ctx context.Context) error {
		if _, err := m.Store.IdentityProvider(ctx, p.IdentityProviderID); err != nil {
			return err
		}
		if err := m.checkMapping(ctx, p.MappingID); err != nil {
			return err
		}
		return m.Store.AddProtocol(ctx, p)
	})
}

// UpdateProtocol gives one another mapping.
func (m *Manager) UpdateProtocol(ctx context.Context, identityProviderID, id string, mappingID *string) (Protocol, error) {
	var p Protocol
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.Protocol(ctx, identityProviderID, id); err != nil || mappingID == nil {
			return err
		}
		p.MappingID = *mappingID
		if err := m.checkMapping(ctx, p.MappingID); err != nil {
			return err
		}
		return m.Store.PutProtocol(ctx, p)
	})
	return p, err
}

// checkMapping says whether there is a mapping that somebody wants to use.
func (m *Manager) checkMapping(ctx context.Context, id string) error {
	_, err := m.Store.Mapping(ctx, id)
	if fault.IsNotFound(err) {
		return fault.BadField("mapping_id", id)
	}
	return err
}

// DeleteProtocol removes one and ends the tokens that came by it.
func (m *Manager) DeleteProtocol(ctx context.Context, identityProviderID, id string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveProtocol(ctx, identityProviderID, id); err != nil {
			return err
		}
		return m.Tokens.RevokeProtocol(ctx, identityProviderID, id)
	})
}

// Mapping is the one with that id.
func (m *Manager) Mapping(ctx context.Context, id string) (Mapping, error) {
	return m.Store.Mapping(ctx, id)
}

// Mappings are those that fit the filters, ordered by id.
func (m *Manager) Mappings(ctx context.Context, where filter.List) ([]Mapping, error) {
	return m.Store.Mappings(ctx, where)
}

// CreateMapping stores a new one under its id.
func (m *Manager) CreateMapping(ctx context.Context, v Mapping) (Mapping, error) {
	if err := checkID(v.ID); err != nil {
		return v, err
	}
	if _, err := v.Parse(); err != nil {
		return v, err
	}
	return v, m.Store.AddMapping(ctx, v)
}

// UpdateMapping gives one other rules.
func (m *Manager) UpdateMapping(ctx context.Context, id string, rules []any) (Mapping, error) {
	v := Mapping{ID: id, Rules: rules}
	if _, err := v.Parse(); err != nil {
		return v, err
	}
	return v, m.Store.PutMapping(ctx, v)
}

// DeleteMapping removes one. By a protocol that still names it nobody can log in.
func (m *Manager) DeleteMapping(ctx context.Context, id string) error {
	return m.Store.RemoveMapping(ctx, id)
}

// ServiceProvider is the one with that id.
func (m *Manager) ServiceProvider(ctx context.Context, id string) (ServiceProvider, error) {
	return m.Store.ServiceProvider(ctx, id)
}

// ServiceProviders are those that fit the filters, ordered by id.
func (m *Manager) ServiceProviders(ctx context.Context, where filter.List) ([]ServiceProvider, error) {
	return m.Store.ServiceProviders(ctx, where)
}

// EnabledServiceProviders are those that tokens name.
func (m *Manager) EnabledServiceProviders(ctx context.Context) ([]ServiceProvider, error) {
	return m.Store.ServiceProviders(ctx, filter.List{{Attribute: "enabled", Value: "true"}})
}

// CreateServiceProvider stores a new one under its id.
func (m *Manager) CreateServiceProvider(ctx context.Context, p ServiceProvider) (ServiceProvider, error) {
	if err := checkID(p.ID); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, err
	}
	return p, m.Store.AddServiceProvider(ctx, p)
}

// UpdateServiceProvider changes one by what change does to it.
func (m *Manager) UpdateServiceProvider(ctx context.Context, id string, change func(p *ServiceProvider)) (ServiceProvider, error) {
	var p ServiceProvider
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.ServiceProvider(ctx, id); err != nil {
			return err
		}
		change(&p)
		if err := p.check(); err != nil {
			return err
		}
		return m.Store.PutServiceProvider(ctx, p)
	})
	return p, err
}

// DeleteServiceProvider removes one.
func (m *Manager) DeleteServiceProvider(ctx context.Context, id string) error {
	return m.Store.RemoveServiceProvider(ctx, id)
}

var urls = regexp.MustCompile(`^[a-zA-Z0-9+.-]+:.+$`)

func (p *ServiceProvider) check() error {
	for _, u := range []struct{ name, value string }{{"auth_url", p.AuthURL}, {"sp_url", p.SPURL}} {
		if !urls.MatchString(u.value) || !printable(u.value, maxURL) {
			return fault.BadField(u.name, u.value)
		}
	}
	if p.RelayStatePrefix != nil && utf8.RuneCountInString(*p.RelayStatePrefix) > maxPrefix {
		return fault.BadField("relay_state_prefix", *p.RelayStatePrefix)
	}
	return nil
}

// checkID says whether an id that a client chose can be one.
func checkID(id string) error {
	if !printable(id, maxID) {
		return fault.BadField("id", fmt.Sprintf("%q", id))
	}
	return nil
}

func checkRemoteIDs(ids []string) error {
	if len(ids) > maxRemoteIDs {
		return fault.Invalid{Message: fmt.Sprintf("An identity provider can have %d remote_ids.", maxRemoteIDs)}
	}
	for _, id := range ids {
		if !printable(id, maxRemoteID) {
			return fault.BadField("remote_ids", fmt.Sprintf("%q", id))
		}
	}
	return nil
}

// printable says whether text has 1 to most characters, none of which moves a cursor.
func printable(text string, most int) bool {
	if text == "" || !utf8.ValidString(text) || utf8.RuneCountInString(text) > most {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
