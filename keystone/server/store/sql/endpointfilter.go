package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/fault"
)

const endpointGroupColumns = `SELECT id, name, description, filters, extra FROM endpoint_groups`

func scanEndpointGroup(row scanner) (g endpointfilter.Group, err error) {
	var description sql.NullString
	var filters string
	if err = row.Scan(&g.ID, &g.Name, &description, &filters, (*attributes)(&g.Extra)); err != nil {
		return g, err
	}
	if description.Valid {
		g.Description = &description.String
	}
	if err = json.Unmarshal([]byte(filters), &g.Filters); err != nil {
		err = fmt.Errorf("filters of endpoint group %s: %w", g.ID, err)
	}
	return g, err
}

// filtersJSON is the value for the column of a group's filters.
func filtersJSON(filters map[string]string) string {
	asJSON := make(map[string]any, len(filters))
	for key, value := range filters {
		asJSON[key] = value
	}
	return encode(asJSON)
}

// nullableText is the value for a column in which nil is NULL.
func nullableText(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func (s *Store) EndpointGroup(ctx context.Context, id string) (endpointfilter.Group, error) {
	return one(ctx, s, "endpoint group", id, scanEndpointGroup, endpointGroupColumns+` WHERE id = ?`, id)
}

func (s *Store) EndpointGroups(ctx context.Context) ([]endpointfilter.Group, error) {
	return all(ctx, s, scanEndpointGroup, endpointGroupColumns+` ORDER BY name, id`)
}

func (s *Store) AddEndpointGroup(ctx context.Context, g endpointfilter.Group) error {
	return s.execOne(ctx, "endpoint group", g.ID, `INSERT INTO endpoint_groups (id, name, description, filters, extra) VALUES (?, ?, ?, ?, ?)`,
		g.ID, g.Name, nullableText(g.Description), filtersJSON(g.Filters), encode(g.Extra))
}

func (s *Store) PutEndpointGroup(ctx context.Context, g endpointfilter.Group) error {
	return s.execOne(ctx, "endpoint group", g.ID, `UPDATE endpoint_groups SET name = ?, description = ?, filters = ?, extra = ? WHERE id = ?`,
		g.Name, nullableText(g.Description), filtersJSON(g.Filters), encode(g.Extra), g.ID)
}

func (s *Store) RemoveEndpointGroup(ctx context.Context, id string) error {
	return s.execOne(ctx, "endpoint group", id, `DELETE FROM endpoint_groups WHERE id = ?`, id)
}

func (s *Store) AddProjectEndpoint(ctx context.Context, projectID, endpointID string) error {
	_, err := s.exec(ctx, `INSERT INTO project_endpoints (project_id, endpoint_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, projectID, endpointID)
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "endpoint", ID: endpointID}
	}
	return err
}

func (s *Store) RemoveProjectEndpoint(ctx context.Context, projectID, endpointID string) error {
	return s.execOne(ctx, "project endpoint", endpointID, `DELETE FROM project_endpoints WHERE project_id = ? AND endpoint_id = ?`, projectID, endpointID)
}

func (s *Store) AddProjectGroup(ctx context.Context, projectID, groupID string) error {
	_, err := s.exec(ctx, `INSERT INTO project_endpoint_groups (project_id, endpoint_group_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, projectID, groupID)
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "endpoint group", ID: groupID}
	}
	return err
}

func (s *Store) RemoveProjectGroup(ctx context.Context, projectID, groupID string) error {
	return s.execOne(ctx, "project endpoint group", groupID,
		`DELETE FROM project_endpoint_groups WHERE project_id = ? AND endpoint_group_id = ?`, projectID, groupID)
}

func (s *Store) EndpointsOfProject(ctx context.Context, projectID string) ([]string, error) {
	return all(ctx, s, scanText, `SELECT endpoint_id FROM project_endpoints WHERE project_id = ? ORDER BY endpoint_id`, projectID)
}

func (s *Store) ProjectsOfEndpoint(ctx context.Context, endpointID string) ([]string, error) {
	return all(ctx, s, scanText, `SELECT project_id FROM project_endpoints WHERE endpoint_id = ? ORDER BY project_id`, endpointID)
}

func (s *Store) GroupsOfProject(ctx context.Context, projectID string) ([]string, error) {
	return all(ctx, s, scanText, `SELECT endpoint_group_id FROM project_endpoint_groups WHERE project_id = ? ORDER BY endpoint_group_id`, projectID)
}

func (s *Store) ProjectsOfGroup(ctx context.Context, groupID string) ([]string, error) {
	return all(ctx, s, scanText, `SELECT project_id FROM project_endpoint_groups WHERE endpoint_group_id = ? ORDER BY project_id`, groupID)
}
