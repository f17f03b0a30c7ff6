// Package identity is the users, their passwords and their groups ([identity] of keystone.conf).
package identity

import (
	"context"

	"authproxy/keystone/server/filter"
)

// User is who can log in.
type User struct {
	ID       string
	DomainID string
	Name     string // unique in its domain, 255 characters at most
	Enabled  bool
	// DefaultProjectID is the scope of a log-in that asks for none; it may name a project that is gone.
	DefaultProjectID string
	// PasswordHash is what Hasher.Hash made, "" for a user that has no password and so cannot log in by one.
	PasswordHash string
	// Extra is the attributes that clients added; the server only keeps them.
	Extra map[string]any
}

// Store keeps the users and groups. Its errors are fault.NotFound and fault.Conflict of the kinds "user" and "group", and
// fault.NotFound of kind "domain".
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error
	User(ctx context.Context, id string) (User, error)
	UserByName(ctx context.Context, domainID, name string) (User, error)
	// Users filters on domain_id, name and enabled and orders by name.
	Users(ctx context.Context, where filter.List) ([]User, error)
	AddUser(ctx context.Context, u User) error
	PutUser(ctx context.Context, u User) error
	FailureStore
	// RemoveUser takes the user's grants and memberships along.
	RemoveUser(ctx context.Context, id string) error

	Group(ctx context.Context, id string) (Group, error)
	// Groups filters on domain_id and name and orders by name.
	Groups(ctx context.Context, where filter.List) ([]Group, error)
	AddGroup(ctx context.Context, g Group) error
	PutGroup(ctx context.Context, g Group) error
	// RemoveGroup takes the group's grants and memberships along.
	RemoveGroup(ctx context.Context, id string) error
	// AddMember does nothing where the user is in the group already.
	AddMember(ctx context.Context, groupID, userID string) error
	IsMember(ctx context.Context, groupID, userID string) (bool, error)
	// RemoveMember returns fault.NotFound of kind "user" where the user is not in the group.
	RemoveMember(ctx context.Context, groupID, userID string) error
	// Members and GroupsOfUser filter and order as Users and Groups do.
	Members(ctx context.Context, groupID string, where filter.List) ([]User, error)
	GroupsOfUser(ctx context.Context, userID string, where filter.List) ([]Group, error)
}
