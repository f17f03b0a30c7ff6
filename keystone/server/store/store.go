// Package store says what a database of the identity backend must offer: the stores of all subsystems together.
package store

import (
	"context"
	"io"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/oauth1"
	"authproxy/keystone/server/policies"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/server/trust"
)

// Store is a database for every subsystem. storetest holds the tests that each implementation passes.
//
// A method that gets the context of a Write works inside that transaction, whichever subsystem it belongs to: so a user is
// disabled and the user's tokens are revoked together or not at all. Such a context belongs to one goroutine.
// A method that changes something outside a Write is a transaction of its own. When it returns nil, the change is on disk.
//
// Records are copies: changing what was given to a method or returned by it changes nothing in the store.
type Store interface {
	identity.Store
	assignment.Store
	catalog.Store
	tokens.Store
	trust.Store
	credential.Store
	policies.Store
	endpointfilter.Store
	oauth1.Store
	federation.Store
	domainconfig.Store
	// Ping says whether the database answers.
	Ping(ctx context.Context) error
	io.Closer
}
