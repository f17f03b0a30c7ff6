// Package tokens issues, validates, revokes and lists tokens ([token] and [signing] of keystone.conf).
package tokens

import (
	"context"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/token"
)

// Record is what is kept of a token. Its text is not.
type Record struct {
	// ID is the hash of the text by [token] hash_algorithm, in hex; it is what a revocation list names. For a PKI or PKIZ token
	// that is not revoked it is a secret as good as the text, since Keystone's clients use it in the place of the text.
	ID string
	// Form is PKI, PKIZ or UUID.
	Form token.Form
	// AuditID is the token's own, ChainID that of the first token in its chain (its own where it is the first).
	AuditID string
	ChainID string

	UserID       string
	UserDomainID string
	// At most one of ProjectID and DomainID is set. ProjectDomainID is the domain that owns the project.
	ProjectID       string
	ProjectDomainID string
	DomainID        string
	// TrustID is set for a token that came by a trust, the other two for one that came by an access token of OAuth.
	TrustID       string
	ConsumerID    string
	AccessTokenID string
	// IdentityProviderID and ProtocolID are set where an identity provider said who the user is.
	IdentityProviderID string
	ProtocolID         string

	// Times are whole microseconds.
	IssuedAt  time.Time
	ExpiresAt time.Time
	// RevokedAt is zero for a token that was not revoked.
	RevokedAt time.Time
	// Body is the JSON that the token stands for, as the API v3 has it: {"token": {…}}. What a token of the API v2.0 carries is
	// made from it.
	Body []byte
}

// Tokens names tokens by what they stand on; those of one Tokens are the ones that fit all fields that are set. At least one
// must be.
type Tokens struct {
	ID        string
	UserID    string // the token's user, or one of its parties
	ProjectID string
	DomainID  string // scoped to this domain
	// InDomain is a domain that owns the user, a party or the project, or is the scope; not both UserID and InDomain.
	InDomain string
	// MemberOf is a group that the user is in.
	MemberOf string
	// ProjectDomainID is the domain that owns the project, Below one of the projects above it.
	ProjectDomainID string
	Below           string

	TrustID       string
	ConsumerID    string
	AccessTokenID string

	IdentityProviderID string
	ProtocolID         string
	// GroupID is one of the groups that an identity provider said the user is in, GroupDomainID the domain of one.
	GroupID       string
	GroupDomainID string
}

// Group is a group that a token stands on because an identity provider said so. DomainID is the one that the group belongs to.
type Group struct {
	ID       string
	DomainID string
}

// Party is a user that a token stands on beside its own: its trustee, or a trustor. DomainID is the one that the user belongs to.
type Party struct {
	UserID   string
	DomainID string
}

// Store keeps the records. Its errors are fault.NotFound and fault.Conflict of kind "token".
type Store interface {
	// Write runs f in a transaction. Where another one got in the way, it calls f again, from the beginning: so f sets what is
	// outside of it and never adds to it.
	Write(ctx context.Context, f func(ctx context.Context) error) error
	// AfterCommit calls f when the transaction that ctx belongs to is on disk, never where it is rolled back, and at once
	// where there is none. f must not take long.
	AfterCommit(ctx context.Context, f func())
	// AddToken stores the record of a token that is not revoked.
	AddToken(ctx context.Context, r Record) error
	// AddParties stores the parties of a token, each once. They go with its record.
	AddParties(ctx context.Context, tokenID string, parties []Party) error
	// AddTokenGroups stores the groups of a token, each once. They go with its record.
	AddTokenGroups(ctx context.Context, tokenID string, groups []Group) error
	Token(ctx context.Context, id string) (Record, error)
	// RevokeTokens marks those that are not revoked yet and expire after alive, and returns how many it marked. If any, the
	// revocation list takes one step; all that one transaction marks is in one step.
	RevokeTokens(ctx context.Context, which Tokens, at, alive time.Time) (int, error)
	// TokenScopes are the users and scopes of the tokens that RevokeTokens would mark.
	TokenScopes(ctx context.Context, which Tokens, alive time.Time) ([]assignment.Scope, error)
	// TokenAuditIDs are the audit ids of the tokens that RevokeTokens would mark. The user in which and its domain are the tokens' own.
	TokenAuditIDs(ctx context.Context, which Tokens, alive time.Time) ([]string, error)
	// RevokedTokens are the revoked tokens of these steps that expire after alive, ordered by step and id.
	RevokedTokens(ctx context.Context, steps Steps, alive time.Time) ([]keystone.RevokedToken, error)
	// ListState is what the revocation list is at.
	ListState(ctx context.Context) (ListState, error)
	// RenewList puts a state with the same sequence in the place of the one that was seen, and says false where that is not
	// the one in force any more.
	RenewList(ctx context.Context, seen, next ListState) (bool, error)
	// AdvanceList brings the list to a step beyond past, at which all revoked tokens are listed anew, and gives the state that it
	// is at then. Where it is there already it changes nothing and says false.
	AdvanceList(ctx context.Context, past int64, at time.Time) (state ListState, moved bool, err error)
	// AddEvent keeps an event.
	AddEvent(ctx context.Context, e Event) error
	// Events are those after a time that concern a token which expires after alive, ordered by time.
	Events(ctx context.Context, since, alive time.Time) ([]Event, error)
	// RemoveEvents deletes at most limit events that only concern tokens which expire at or before a time.
	RemoveEvents(ctx context.Context, expired time.Time, limit int) (int, error)
	// RemoveTokens deletes at most limit records that expire at or before a time and returns how many it deleted.
	RemoveTokens(ctx context.Context, expired time.Time, limit int) (int, error)
}
