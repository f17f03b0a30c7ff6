package endpointfilter

import (
	"context"
	"slices"

	"authproxy/keystone"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
)

// OfProject are the endpoints that are associated with a project, directly or by a group, ordered as the catalog orders them.
func (m *Manager) OfProject(ctx context.Context, projectID string) ([]catalog.Endpoint, error) {
	if _, err := m.Projects.Project(ctx, projectID); err != nil {
		return nil, err
	}
	list, _, err := m.ofProject(ctx, projectID)
	return list, err
}

// ofProject also says whether anything is associated with the project.
func (m *Manager) ofProject(ctx context.Context, projectID string) (list []catalog.Endpoint, any bool, err error) {
	direct, err := m.Store.EndpointsOfProject(ctx, projectID)
	if err != nil {
		return nil, false, err
	}
	groups, err := m.groupsOfProject(ctx, projectID)
	if err != nil || len(direct)+len(groups) == 0 {
		return []catalog.Endpoint{}, false, err
	}
	all, err := m.Endpoints.Endpoints(ctx, nil)
	return slices.DeleteFunc(all, func(e catalog.Endpoint) bool {
		return !slices.Contains(direct, e.ID) && !slices.ContainsFunc(groups, func(g Group) bool { return g.fits(e) })
	}), true, err
}

// GroupsOfProject are the groups that are associated with a project, ordered by id.
func (m *Manager) GroupsOfProject(ctx context.Context, projectID string) ([]Group, error) {
	if _, err := m.Projects.Project(ctx, projectID); err != nil {
		return nil, err
	}
	return m.groupsOfProject(ctx, projectID)
}

func (m *Manager) groupsOfProject(ctx context.Context, projectID string) ([]Group, error) {
	ids, err := m.Store.GroupsOfProject(ctx, projectID)
	if err != nil {
		return nil, err
	}
	return each(ctx, ids, m.Store.EndpointGroup)
}

// ProjectsOfEndpoint are the projects that an endpoint is associated with, directly or by a group, ordered by id.
func (m *Manager) ProjectsOfEndpoint(ctx context.Context, endpointID string) ([]assignment.Project, error) {
	e, err := m.Endpoints.Endpoint(ctx, endpointID)
	if err != nil {
		return nil, err
	}
	ids, err := m.Store.ProjectsOfEndpoint(ctx, endpointID)
	if err != nil {
		return nil, err
	}
	groups, err := m.Store.EndpointGroups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if !g.fits(e) {
			continue
		}
		more, err := m.Store.ProjectsOfGroup(ctx, g.ID)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	slices.Sort(ids)
	return each(ctx, slices.Compact(ids), m.Projects.Project)
}

// ProjectsOfGroup are the projects that a group is associated with, ordered by id.
func (m *Manager) ProjectsOfGroup(ctx context.Context, groupID string) ([]assignment.Project, error) {
	if _, err := m.Store.EndpointGroup(ctx, groupID); err != nil {
		return nil, err
	}
	ids, err := m.Store.ProjectsOfGroup(ctx, groupID)
	if err != nil {
		return nil, err
	}
	return each(ctx, ids, m.Projects.Project)
}

// OfGroup are the endpoints in a group, ordered as the catalog orders them.
func (m *Manager) OfGroup(ctx context.Context, groupID string) ([]catalog.Endpoint, error) {
	g, err := m.Store.EndpointGroup(ctx, groupID)
	if err != nil {
		return nil, err
	}
	all, err := m.Endpoints.Endpoints(ctx, nil)
	return slices.DeleteFunc(all, func(e catalog.Endpoint) bool { return !g.fits(e) }), err
}

// each reads objects by their ids. One that was removed meanwhile is left out.
func each[T any](ctx context.Context, ids []string, get func(context.Context, string) (T, error)) ([]T, error) {
	list := make([]T, 0, len(ids))
	for _, one := range ids {
		v, err := get(ctx, one)
		switch {
		case err == nil:
			list = append(list, v)
		case !fault.IsNotFound(err):
			return nil, err
		}
	}
	return list, nil
}

// Builder makes the catalogs of tokens.
type Builder interface {
	Build(ctx context.Context, variables map[string]string) (keystone.Catalog, error)
}

// Filtered makes catalogs of the endpoints alone that are associated with the project of the token ("project_id" among the
// variables).
type Filtered struct {
	Builder
	Filter *Manager
	// AllIfNone gives projects that nothing is associated with all endpoints, instead of none.
	AllIfNone bool
}

// Build makes the catalog of a project, and the whole one where there is no project.
func (f *Filtered) Build(ctx context.Context, variables map[string]string) (keystone.Catalog, error) {
	whole, err := f.Builder.Build(ctx, variables)
	projectID := variables["project_id"]
	if err != nil || projectID == "" {
		return whole, err
	}
	shown, any, err := f.Filter.ofProject(ctx, projectID)
	if err != nil || !any && f.AllIfNone {
		return whole, err
	}
	kept := keystone.Catalog{}
	for _, service := range whole {
		service.Endpoints = slices.DeleteFunc(slices.Clone(service.Endpoints), func(e keystone.Endpoint) bool {
			return !slices.ContainsFunc(shown, func(s catalog.Endpoint) bool { return s.ID == e.ID })
		})
		if len(service.Endpoints) > 0 {
			kept = append(kept, service)
		}
	}
	return kept, nil
}
