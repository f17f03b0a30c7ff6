// Package oauth1 is programs that users let act for them, by OAuth 1.0 (RFC 5849; [oauth1] of keystone.conf, OS-OAUTH1 of the
// Identity API).
package oauth1

import (
	"context"
	"time"

	"authproxy/keystone/server/assignment"
)

// Consumer is a program. Its secret and those of tokens are needed in the clear to check signatures; they are never logged.
type Consumer struct {
	ID          string
	Description *string
	Secret      string
	Extra       map[string]any
}

// RequestToken is a program's wish to act on a project, which a user may grant.
type RequestToken struct {
	ID         string
	Secret     string
	ConsumerID string
	ProjectID  string
	// ExpiresAt is zero for one without an end, else in whole microseconds.
	ExpiresAt time.Time

	// UserID is who granted it, Verifier what they tell the program so, and RoleIDs (in order) what it gets; "" and empty before.
	UserID   string
	Verifier string
	RoleIDs  []string
}

// AccessToken lets a program act for a user on a project.
type AccessToken struct {
	ID         string
	Secret     string
	ConsumerID string
	ProjectID  string
	UserID     string
	RoleIDs    []string // in order
	// ExpiresAt is zero for one without an end, else in whole microseconds.
	ExpiresAt time.Time
}

// Nonce marks one signed request.
type Nonce struct {
	ConsumerID string
	Token      string // "" where the request names none
	Nonce      string
	SaidAt     int64 // the request's own time, in seconds since 1970
}

// Store keeps consumers and tokens. Its errors are fault.NotFound and fault.Conflict of the kinds "consumer", "request token" and
// "access token"; where the project of a token is missing, that is fault.NotFound of kind "consumer" too. Tokens go with their
// consumer, their project and their user.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Consumer(ctx context.Context, id string) (Consumer, error)
	// Consumers orders by id.
	Consumers(ctx context.Context) ([]Consumer, error)
	AddConsumer(ctx context.Context, c Consumer) error
	PutConsumer(ctx context.Context, c Consumer) error
	RemoveConsumer(ctx context.Context, id string) error

	RequestToken(ctx context.Context, id string) (RequestToken, error)
	AddRequestToken(ctx context.Context, t RequestToken) error
	PutRequestToken(ctx context.Context, t RequestToken) error
	RemoveRequestToken(ctx context.Context, id string) error

	AccessToken(ctx context.Context, id string) (AccessToken, error)
	// AccessTokens are those of a user, ordered by id.
	AccessTokens(ctx context.Context, userID string) ([]AccessToken, error)
	AddAccessToken(ctx context.Context, t AccessToken) error
	RemoveAccessToken(ctx context.Context, id string) error

	// AddNonce says false where that one is there already.
	AddNonce(ctx context.Context, n Nonce) (bool, error)
	// RemoveNonces deletes those of before a time, in seconds since 1970.
	RemoveNonces(ctx context.Context, before int64) error
	// RemoveOAuth1Tokens deletes request and access tokens that ended at or before a time.
	RemoveOAuth1Tokens(ctx context.Context, expired time.Time) error
}

// Assignment finds what a user can grant.
type Assignment interface {
	Project(ctx context.Context, projectID string) (assignment.Project, error)
	GrantedRoles(ctx context.Context, s assignment.Scope) ([]assignment.Role, error)
}

// Revoker ends tokens of the Identity API when what they stand on changes. It is called inside the transaction of that change.
type Revoker interface {
	RevokeConsumer(ctx context.Context, consumerID string) error
	RevokeAccessToken(ctx context.Context, accessTokenID string) error
}
