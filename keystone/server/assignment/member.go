package assignment

import (
	"context"
	"slices"

	"authproxy/keystone/server/fault"
)

// MemberRole is the role that the API v2.0 gives a user on the tenant that is the user's own ([DEFAULT] member_role_id and
// member_role_name).
type MemberRole struct{ ID, Name string }

// DefaultMemberRole is Keystone's.
var DefaultMemberRole = MemberRole{ID: "9fe2ff9ee4384b1894a90878d3e92bab", Name: "_member_"}

// AddMember gives a user the member role on a project. The role is made where there is none.
func (m *Manager) AddMember(ctx context.Context, role MemberRole, userID, projectID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		_, err := m.Store.Role(ctx, role.ID)
		if fault.IsNotFound(err) {
			err = m.Store.AddRole(ctx, Role{ID: role.ID, Name: role.Name})
		}
		if err != nil {
			return err
		}
		return m.Grant(ctx, Grant{UserID: userID, ProjectID: projectID, RoleID: role.ID})
	})
}

// UsersOfProject are the ids of the users that have a role on a project themselves.
func (m *Manager) UsersOfProject(ctx context.Context, projectID string) ([]string, error) {
	here := false
	grants, err := m.Store.Grants(ctx, Query{ProjectID: projectID, Inherited: &here})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, g := range grants {
		if g.UserID != "" {
			ids = append(ids, g.UserID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// RemoveMember takes the member role away, if the user has it.
func (m *Manager) RemoveMember(ctx context.Context, role MemberRole, userID, projectID string) error {
	err := m.Ungrant(ctx, Grant{UserID: userID, ProjectID: projectID, RoleID: role.ID})
	if fault.IsNotFound(err) {
		return nil
	}
	return err
}
