package tokens

import (
	"context"

	"authproxy/keystone/server/federation"
)

// Federation is what issuing needs to know of OS-FEDERATION.
type Federation interface {
	// EnabledServiceProviders are those that tokens name.
	EnabledServiceProviders(ctx context.Context) ([]federation.ServiceProvider, error)
}

// serviceProviders is what tokens say of the clouds that take this one's word for who users are.
func (m *Manager) serviceProviders(ctx context.Context) ([]serviceProvider, error) {
	found, err := m.Federation.EnabledServiceProviders(ctx)
	var list []serviceProvider
	for _, p := range found {
		list = append(list, serviceProvider{ID: p.ID, AuthURL: p.AuthURL, SPURL: p.SPURL})
	}
	return list, err
}
