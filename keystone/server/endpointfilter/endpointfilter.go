// Package endpointfilter is which endpoints a project gets to see in its catalog ([endpoint_filter] of keystone.conf,
// OS-EP-FILTER of the Identity API).
package endpointfilter

import (
	"context"
	"slices"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

const maxName = 255

// Keys are the attributes of endpoints that the filters of a group may name.
var Keys = []string{"interface", "region_id", "service_id"}

// Group is the endpoints that have certain attributes.
type Group struct {
	ID          string
	Name        string
	Description *string
	Filters     map[string]string // by Keys; all have to fit
	Extra       map[string]any
}

func (g *Group) fits(e catalog.Endpoint) bool {
	of := map[string]string{"interface": e.Interface, "region_id": e.RegionID, "service_id": e.ServiceID}
	for key, value := range g.Filters {
		if of[key] != value {
			return false
		}
	}
	return true
}

// Store keeps groups, and what is associated with projects. Its errors are fault.NotFound of the kinds "endpoint group",
// "project", "endpoint", and "project endpoint" and "project endpoint group" for associations that are not there, and
// fault.Conflict of kind "endpoint group". An association goes with either side.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	EndpointGroup(ctx context.Context, id string) (Group, error)
	// EndpointGroups orders by name.
	EndpointGroups(ctx context.Context) ([]Group, error)
	AddEndpointGroup(ctx context.Context, g Group) error
	PutEndpointGroup(ctx context.Context, g Group) error
	RemoveEndpointGroup(ctx context.Context, id string) error

	// AddProjectEndpoint and AddProjectGroup do nothing where the association is there already.
	AddProjectEndpoint(ctx context.Context, projectID, endpointID string) error
	RemoveProjectEndpoint(ctx context.Context, projectID, endpointID string) error
	AddProjectGroup(ctx context.Context, projectID, groupID string) error
	RemoveProjectGroup(ctx context.Context, projectID, groupID string) error
	// The ids of what is associated, in order.
	EndpointsOfProject(ctx context.Context, projectID string) ([]string, error)
	ProjectsOfEndpoint(ctx context.Context, endpointID string) ([]string, error)
	GroupsOfProject(ctx context.Context, projectID string) ([]string, error)
	ProjectsOfGroup(ctx context.Context, groupID string) ([]string, error)
}

// Endpoints finds what can be associated.
type Endpoints interface {
	Endpoint(ctx context.Context, endpointID string) (catalog.Endpoint, error)
	Endpoints(ctx context.Context, where filter.List) ([]catalog.Endpoint, error)
}

// Projects finds what endpoints are associated with.
type Projects interface {
	Project(ctx context.Context, projectID string) (assignment.Project, error)
}

// Manager is the rules about endpoint filters.
type Manager struct {
	Store     Store
	Endpoints Endpoints
	Projects  Projects
}

// Update is a change of a group; what is nil stays as it is.
type Update struct {
	Name        *string
	Description *string
	Filters     map[string]string
	Extra       map[string]any
}

// Group is the group with that id.
func (m *Manager) Group(ctx context.Context, groupID string) (Group, error) {
	return m.Store.EndpointGroup(ctx, groupID)
}

// Groups are all, ordered by name.
func (m *Manager) Groups(ctx context.Context) ([]Group, error) { return m.Store.EndpointGroups(ctx) }

// CreateGroup stores a new group under an id of its own.
func (m *Manager) CreateGroup(ctx context.Context, g Group) (Group, error) {
	if err := check(g); err != nil {
		return Group{}, err
	}
	g.ID = id.New()
	return g, m.Store.AddEndpointGroup(ctx, g)
}

// UpdateGroup changes a group.
func (m *Manager) UpdateGroup(ctx context.Context, groupID string, change Update) (Group, error) {
	var g Group
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if g, err = m.Store.EndpointGroup(ctx, groupID); err != nil {
			return err
		}
		patch.Set(&g.Name, change.Name)
		if change.Description != nil {
			g.Description = change.Description
		}
		if change.Filters != nil {
			g.Filters = change.Filters
		}
		g.Extra = patch.Merge(g.Extra, change.Extra)
		if err := check(g); err != nil {
			return err
		}
		return m.Store.PutEndpointGroup(ctx, g)
	})
	return g, err
}

func check(g Group) error {
	if g.Name == "" || len([]rune(g.Name)) > maxName {
		return fault.BadField("name", g.Name)
	}
	for key := range g.Filters {
		if !slices.Contains(Keys, key) {
			return fault.Missing("one of interface, region_id and service_id", "filters")
		}
	}
	if len(g.Filters) == 0 {
		return fault.Missing("one of interface, region_id and service_id", "filters")
	}
	return nil
}

// DeleteGroup removes a group with its associations.
func (m *Manager) DeleteGroup(ctx context.Context, groupID string) error {
	return m.Store.RemoveEndpointGroup(ctx, groupID)
}

// AddEndpoint associates an endpoint with a project.
func (m *Manager) AddEndpoint(ctx context.Context, projectID, endpointID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkEndpoint(ctx, projectID, endpointID); err != nil {
			return err
		}
		return m.Store.AddProjectEndpoint(ctx, projectID, endpointID)
	})
}

// HasEndpoint returns nil where an endpoint is associated with a project, else fault.NotFound.
func (m *Manager) HasEndpoint(ctx context.Context, projectID, endpointID string) error {
	if err := m.checkEndpoint(ctx, projectID, endpointID); err != nil {
		return err
	}
	ids, err := m.Store.EndpointsOfProject(ctx, projectID)
	if err == nil && !slices.Contains(ids, endpointID) {
		err = fault.NotFound{Kind: "project endpoint", ID: endpointID}
	}
	return err
}

// RemoveEndpoint ends the association of an endpoint with a project.
func (m *Manager) RemoveEndpoint(ctx context.Context, projectID, endpointID string) error {
	return m.Store.RemoveProjectEndpoint(ctx, projectID, endpointID)
}

func (m *Manager) checkEndpoint(ctx context.Context, projectID, endpointID string) error {
	if _, err := m.Projects.Project(ctx, projectID); err != nil {
		return err
	}
	_, err := m.Endpoints.Endpoint(ctx, endpointID)
	return err
}

// AddGroup associates a group with a project.
func (m *Manager) AddGroup(ctx context.Context, projectID, groupID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkGroup(ctx, projectID, groupID); err != nil {
			return err
		}
		return m.Store.AddProjectGroup(ctx, projectID, groupID)
	})
}

// HasGroup returns nil where a group is associated with a project, else fault.NotFound.
func (m *Manager) HasGroup(ctx context.Context, projectID, groupID string) error {
	if err := m.checkGroup(ctx, projectID, groupID); err != nil {
		return err
	}
	ids, err := m.Store.GroupsOfProject(ctx, projectID)
	if err == nil && !slices.Contains(ids, groupID) {
		err = fault.NotFound{Kind: "project endpoint group", ID: groupID}
	}
	return err
}

// RemoveGroup ends the association of a group with a project.
func (m *Manager) RemoveGroup(ctx context.Context, projectID, groupID string) error {
	return m.Store.RemoveProjectGroup(ctx, projectID, groupID)
}

func (m *Manager) checkGroup(ctx context.Context, projectID, groupID string) error {
	if _, err := m.Projects.Project(ctx, projectID); err != nil {
		return err
	}
	_, err := m.Store.EndpointGroup(ctx, groupID)
	return err
}
