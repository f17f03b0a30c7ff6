package identity

import (
	"context"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

const maxGroupName = 64

// Group is a set of users, who all have the roles that it is granted.
type Group struct {
	ID          string
	DomainID    string
	Name        string // unique in its domain, 64 characters at most
	Description string
	Extra       map[string]any
}

// GroupUpdate is a change of a group; what is nil stays as it is.
type GroupUpdate struct {
	Name        *string
	Description *string
	Extra       map[string]any // merged into what is there; a nil value stays as null
}

// Group is the group with that id.
func (m *Manager) Group(ctx context.Context, groupID string) (Group, error) {
	return m.Store.Group(ctx, groupID)
}

// Groups are those that fit the filters, ordered by name.
func (m *Manager) Groups(ctx context.Context, where filter.List) ([]Group, error) {
	return m.Store.Groups(ctx, where)
}

// CreateGroup stores a new group under an id of its own.
func (m *Manager) CreateGroup(ctx context.Context, g Group) (Group, error) {
	if err := checkName(g.Name, maxGroupName); err != nil {
		return Group{}, err
	}
	g.ID = id.New()
	return g, m.Store.AddGroup(ctx, g)
}

// UpdateGroup changes a group.
func (m *Manager) UpdateGroup(ctx context.Context, groupID string, change GroupUpdate) (Group, error) {
	if change.Name != nil {
		if err := checkName(*change.Name, maxGroupName); err != nil {
			return Group{}, err
		}
	}
	var g Group
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if g, err = m.Store.Group(ctx, groupID); err != nil {
			return err
		}
		patch.Set(&g.Name, change.Name)
		patch.Set(&g.Description, change.Description)
		g.Extra = patch.Merge(g.Extra, change.Extra)
		return m.Store.PutGroup(ctx, g)
	})
	return g, err
}

// DeleteGroup removes a group with all grants to it and ends the tokens of its members.
func (m *Manager) DeleteGroup(ctx context.Context, groupID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		members, err := m.Store.Members(ctx, groupID, nil)
		if err != nil {
			return err
		}
		if err := m.Store.RemoveGroup(ctx, groupID); err != nil {
			return err
		}
		for _, u := range members {
			if err := m.Tokens.RevokeUser(ctx, u.ID); err != nil {
				return err
			}
		}
		return m.Tokens.RevokeGroup(ctx, groupID)
	})
}

// AddMember puts a user into a group; doing it again changes nothing.
func (m *Manager) AddMember(ctx context.Context, groupID, userID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkMember(ctx, groupID, userID); err != nil {
			return err
		}
		return m.Store.AddMember(ctx, groupID, userID)
	})
}

// CheckMember returns nil where the user is in the group, else fault.NotFound.
func (m *Manager) CheckMember(ctx context.Context, groupID, userID string) error {
	if err := m.checkMember(ctx, groupID, userID); err != nil {
		return err
	}
	member, err := m.Store.IsMember(ctx, groupID, userID)
	if err == nil && !member {
		err = fault.NotFound{Kind: "user", ID: userID}
	}
	return err
}

// RemoveMember takes a user out of a group and ends the user's tokens: all, as Keystone does, since the group's roles may stand
// behind any of them.
func (m *Manager) RemoveMember(ctx context.Context, groupID, userID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkMember(ctx, groupID, userID); err != nil {
			return err
		}
		if err := m.Store.RemoveMember(ctx, groupID, userID); err != nil {
			return err
		}
		return m.Tokens.RevokeUser(ctx, userID)
	})
}

// Members are the users in a group that fit the filters, ordered by name.
func (m *Manager) Members(ctx context.Context, groupID string, where filter.List) ([]User, error) {
	if _, err := m.Store.Group(ctx, groupID); err != nil {
		return nil, err
	}
	return m.Store.Members(ctx, groupID, where)
}

// GroupsOfUser are the groups that a user is in and that fit the filters, ordered by name.
func (m *Manager) GroupsOfUser(ctx context.Context, userID string, where filter.List) ([]Group, error) {
	if _, err := m.Store.User(ctx, userID); err != nil {
		return nil, err
	}
	return m.Store.GroupsOfUser(ctx, userID, where)
}

func (m *Manager) checkMember(ctx context.Context, groupID, userID string) error {
	if _, err := m.Store.Group(ctx, groupID); err != nil {
		return err
	}
	_, err := m.Store.User(ctx, userID)
	return err
}
