package sql

import (
	"context"
	"errors"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

const groupColumns = `SELECT id, domain_id, name, description, extra FROM user_groups`

var groupFilters = map[string]string{"domain_id": "domain_id", "name": "name"}

func scanGroup(row scanner) (g identity.Group, err error) {
	return g, row.Scan(&g.ID, &g.DomainID, &g.Name, &g.Description, (*attributes)(&g.Extra))
}

func (s *Store) Group(ctx context.Context, id string) (identity.Group, error) {
	return one(ctx, s, "group", id, scanGroup, groupColumns+` WHERE id = ?`, id)
}

func (s *Store) Groups(ctx context.Context, where filter.List) ([]identity.Group, error) {
	return listed(ctx, s, scanGroup, groupColumns, where, groupFilters, "name, id", "")
}

func (s *Store) AddGroup(ctx context.Context, g identity.Group) error {
	err := s.execOne(ctx, "group", g.ID, `INSERT INTO user_groups (id, domain_id, name, description, extra) VALUES (?, ?, ?, ?, ?)`,
		g.ID, g.DomainID, g.Name, g.Description, encode(g.Extra))
	return missingDomain(err, g.DomainID)
}

func (s *Store) PutGroup(ctx context.Context, g identity.Group) error {
	return s.execOne(ctx, "group", g.ID, `UPDATE user_groups SET name = ?, description = ?, extra = ? WHERE id = ?`,
		g.Name, g.Description, encode(g.Extra), g.ID)
}

func (s *Store) RemoveGroup(ctx context.Context, id string) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if err := s.execOne(ctx, "group", id, `DELETE FROM user_groups WHERE id = ?`, id); err != nil {
			return err
		}
		_, err := s.exec(ctx, `DELETE FROM assignments WHERE group_id = ?`, id)
		return err
	})
}

func (s *Store) AddMember(ctx context.Context, groupID, userID string) error {
	_, err := s.exec(ctx, `INSERT INTO memberships (group_id, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, groupID, userID)
	if !errors.Is(err, errForeignKey) {
		return err
	}
	if _, err := s.Group(ctx, groupID); err != nil {
		return err
	}
	return fault.NotFound{Kind: "user", ID: userID}
}

func (s *Store) IsMember(ctx context.Context, groupID, userID string) (bool, error) {
	found, err := all(ctx, s, scanInt, `SELECT 1 FROM memberships WHERE group_id = ? AND user_id = ?`, groupID, userID)
	return len(found) > 0, err
}

func (s *Store) RemoveMember(ctx context.Context, groupID, userID string) error {
	return s.execOne(ctx, "user", userID, `DELETE FROM memberships WHERE group_id = ? AND user_id = ?`, groupID, userID)
}

func (s *Store) Members(ctx context.Context, groupID string, where filter.List) ([]identity.User, error) {
	return listed(ctx, s, scanUser, userColumns, where, userFilters, "name, id",
		`id IN (SELECT user_id FROM memberships WHERE group_id = ?)`, groupID)
}

func (s *Store) GroupsOfUser(ctx context.Context, userID string, where filter.List) ([]identity.Group, error) {
	return listed(ctx, s, scanGroup, groupColumns, where, groupFilters, "name, id",
		`id IN (SELECT group_id FROM memberships WHERE user_id = ?)`, userID)
}

func (s *Store) OutsideMembers(ctx context.Context, domainID string) ([]string, error) {
	return all(ctx, s, scanText, `SELECT DISTINCT m.user_id FROM memberships m
		JOIN user_groups g ON g.id = m.group_id JOIN users u ON u.id = m.user_id
		WHERE g.domain_id = ? AND u.domain_id <> ? ORDER BY m.user_id`, domainID, domainID)
}
