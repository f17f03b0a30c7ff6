package assignment

import (
	"context"
	"fmt"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

// ProjectUpdate is a change of a project; what is nil stays as it is.
type ProjectUpdate struct {
	Name        *string
	Description *string
	Enabled     *bool
	Extra       map[string]any
}

// Project is the project with that id.
func (m *Manager) Project(ctx context.Context, projectID string) (Project, error) {
	return m.Store.Project(ctx, projectID)
}

// ProjectByName is the project of that name in a domain.
func (m *Manager) ProjectByName(ctx context.Context, domainID, name string) (Project, error) {
	return m.Store.ProjectByName(ctx, domainID, name)
}

// Projects are those that fit the filters, ordered by name.
func (m *Manager) Projects(ctx context.Context, where filter.List) ([]Project, error) {
	return m.Store.Projects(ctx, where)
}

// ProjectsBelow are the projects below one at any depth, ordered by name.
func (m *Manager) ProjectsBelow(ctx context.Context, projectID string) ([]Project, error) {
	return m.Store.ProjectsBelow(ctx, projectID)
}

// ProjectsAbove are the projects above one, its parent first.
func (m *Manager) ProjectsAbove(ctx context.Context, projectID string) ([]Project, error) {
	return m.Store.ProjectsAbove(ctx, projectID)
}

// CreateProject stores a new project under an id of its own.
func (m *Manager) CreateProject(ctx context.Context, p Project) (Project, error) {
	if err := checkName(p.Name, maxName); err != nil {
		return Project{}, err
	}
	p.ID = id.New()
	return p, m.Store.Write(ctx, func(ctx context.Context) error {
		if p.ParentID != "" {
			if err := m.checkPlace(ctx, p); err != nil {
				return err
			}
		}
		return m.Store.AddProject(ctx, p)
	})
}

// checkPlace says whether a new project may be below its parent.
func (m *Manager) checkPlace(ctx context.Context, p Project) error {
	parent, err := m.Store.Project(ctx, p.ParentID)
	if err != nil {
		return err
	}
	over, err := m.Store.ProjectsAbove(ctx, p.ParentID)
	if err != nil {
		return err
	}
	over = append([]Project{parent}, over...)
	for _, o := range over {
		switch {
		case o.DomainID != p.DomainID:
			return fault.Forbidden{Action: "cannot create a project within a different domain than its parents."}
		case !o.Enabled:
			return fault.Forbidden{Action: fmt.Sprintf("create a project below project %s, which is disabled", o.ID)}
		}
	}
	if m.MaxDepth > 0 && len(over) >= m.MaxDepth {
		return fault.Forbidden{Action: fmt.Sprintf("create a project below project %s, which is at the lowest of %d levels", p.ParentID, m.MaxDepth)}
	}
	return nil
}

// UpdateProject changes a project. Disabling it ends the tokens scoped to it. What is below an enabled project may be disabled,
// never the other way round.
func (m *Manager) UpdateProject(ctx context.Context, projectID string, change ProjectUpdate) (Project, error) {
	if change.Name != nil {
		if err := checkName(*change.Name, maxName); err != nil {
			return Project{}, err
		}
	}
	var p Project
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.Project(ctx, projectID); err != nil {
			return err
		}
		if change.Enabled != nil && *change.Enabled != p.Enabled {
			if err := m.checkEnabled(ctx, projectID, *change.Enabled); err != nil {
				return err
			}
		}
		patch.Set(&p.Name, change.Name)
		patch.Set(&p.Description, change.Description)
		patch.Set(&p.Enabled, change.Enabled)
		p.Extra = patch.Merge(p.Extra, change.Extra)
		if err = m.Store.PutProject(ctx, p); err != nil || p.Enabled {
			return err
		}
		return m.Tokens.RevokeProject(ctx, projectID)
	})
	return p, err
}

// checkEnabled says whether a project may be enabled or disabled beside those above and below it.
func (m *Manager) checkEnabled(ctx context.Context, projectID string, enabled bool) error {
	list, action := m.Store.ProjectsBelow, fmt.Sprintf("cannot disable project %s since its subtree contains enabled projects", projectID)
	if enabled {
		list, action = m.Store.ProjectsAbove, fmt.Sprintf("enable project %s while one above it is disabled", projectID)
	}
	others, err := list(ctx, projectID)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Enabled != enabled {
			return fault.Forbidden{Action: action}
		}
	}
	return nil
}

// DeleteProject removes a project with the grants on it and ends the tokens scoped to it. Projects below it keep it.
func (m *Manager) DeleteProject(ctx context.Context, projectID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		children, err := m.Store.Projects(ctx, filter.List{{Attribute: "parent_id", Value: projectID}, filter.AtMost(1)})
		if err != nil {
			return err
		}
		if len(children) > 0 {
			return fault.Forbidden{Action: fmt.Sprintf("cannot delete the project %s since it is not a leaf in the hierarchy.", projectID)}
		}
		if err := m.Store.RemoveProject(ctx, projectID); err != nil {
			return err
		}
		return m.Tokens.RevokeProject(ctx, projectID)
	})
}
