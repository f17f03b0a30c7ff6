// Package policies keeps policy files for other services, and which endpoints they are for ([policy] and [endpoint_policy] of
// keystone.conf). What this server itself allows is the business of package policy.
package policies

import (
	"context"
	"fmt"
	"slices"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

const maxType = 255

// Policy is a text that a service understands.
type Policy struct {
	ID    string
	Type  string // a media type, such as "application/json"
	Blob  string
	Extra map[string]any
}

// Place is what a policy counts for: an endpoint, a service, or a service in a region and those below it.
type Place struct {
	EndpointID string
	ServiceID  string
	RegionID   string
}

// Association puts a policy in a place.
type Association struct {
	PolicyID string
	Place
}

// Store keeps policies and their associations. Its errors are fault.NotFound of the kinds "policy" and "policy association", and
// fault.Conflict of the same kinds. An association goes with whatever it names.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Policy(ctx context.Context, id string) (Policy, error)
	// Policies filters on type and orders by id.
	Policies(ctx context.Context, where filter.List) ([]Policy, error)
	AddPolicy(ctx context.Context, p Policy) error
	PutPolicy(ctx context.Context, p Policy) error
	RemovePolicy(ctx context.Context, id string) error

	// SetAssociation puts a policy in a place, instead of the one that was there.
	SetAssociation(ctx context.Context, a Association) error
	// PolicyAt is the id of the policy in a place; fault.NotFound where there is none.
	PolicyAt(ctx context.Context, p Place) (string, error)
	RemoveAssociation(ctx context.Context, a Association) error
	// Places are those of a policy, in no order.
	Places(ctx context.Context, policyID string) ([]Place, error)
}

// Catalog is where policies can be put.
type Catalog interface {
	Region(ctx context.Context, regionID string) (catalog.Region, error)
	Service(ctx context.Context, serviceID string) (catalog.Service, error)
	Endpoint(ctx context.Context, endpointID string) (catalog.Endpoint, error)
	Endpoints(ctx context.Context, where filter.List) ([]catalog.Endpoint, error)
}

// Manager is the rules about policies.
type Manager struct {
	Store   Store
	Catalog Catalog
}

// Update is a change of a policy; what is nil stays as it is.
type Update struct {
	Type  *string
	Blob  *string
	Extra map[string]any
}

// Policy is the policy with that id.
func (m *Manager) Policy(ctx context.Context, policyID string) (Policy, error) {
	return m.Store.Policy(ctx, policyID)
}

// Policies are those that fit the filters, ordered by id.
func (m *Manager) Policies(ctx context.Context, where filter.List) ([]Policy, error) {
	return m.Store.Policies(ctx, where)
}

// Create stores a new policy under an id of its own.
func (m *Manager) Create(ctx context.Context, p Policy) (Policy, error) {
	if err := checkType(p.Type); err != nil {
		return Policy{}, err
	}
	p.ID = id.New()
	return p, m.Store.AddPolicy(ctx, p)
}

// Update changes a policy.
func (m *Manager) Update(ctx context.Context, policyID string, change Update) (Policy, error) {
	var p Policy
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.Policy(ctx, policyID); err != nil {
			return err
		}
		patch.Set(&p.Type, change.Type)
		patch.Set(&p.Blob, change.Blob)
		p.Extra = patch.Merge(p.Extra, change.Extra)
		if err := checkType(p.Type); err != nil {
			return err
		}
		return m.Store.PutPolicy(ctx, p)
	})
	return p, err
}

func checkType(kind string) error {
	if kind == "" || len([]rune(kind)) > maxType {
		return fault.BadField("type", kind)
	}
	return nil
}

// Delete removes a policy with its associations.
func (m *Manager) Delete(ctx context.Context, policyID string) error {
	return m.Store.RemovePolicy(ctx, policyID)
}

// Associate puts a policy in a place, instead of the one that was there.
func (m *Manager) Associate(ctx context.Context, a Association) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.check(ctx, a); err != nil {
			return err
		}
		return m.Store.SetAssociation(ctx, a)
	})
}

// CheckAssociation returns nil where the policy is in that place, else fault.NotFound.
func (m *Manager) CheckAssociation(ctx context.Context, a Association) error {
	if err := m.check(ctx, a); err != nil {
		return err
	}
	found, err := m.Store.PolicyAt(ctx, a.Place)
	if err == nil && found != a.PolicyID {
		err = fault.NotFound{Kind: "policy association", ID: a.PolicyID}
	}
	return err
}

// Dissociate takes a policy out of a place.
func (m *Manager) Dissociate(ctx context.Context, a Association) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.check(ctx, a); err != nil {
			return err
		}
		return m.Store.RemoveAssociation(ctx, a)
	})
}

// check demands that all that an association names is there.
func (m *Manager) check(ctx context.Context, a Association) error {
	if _, err := m.Store.Policy(ctx, a.PolicyID); err != nil {
		return err
	}
	if a.EndpointID != "" {
		_, err := m.Catalog.Endpoint(ctx, a.EndpointID)
		return err
	}
	if _, err := m.Catalog.Service(ctx, a.ServiceID); err != nil || a.RegionID == "" {
		return err
	}
	_, err := m.Catalog.Region(ctx, a.RegionID)
	return err
}

// ForEndpoint is the policy that counts for an endpoint: its own, else that of its service in its region or in the nearest
// region above it that has one, else that of its service.
func (m *Manager) ForEndpoint(ctx context.Context, endpointID string) (Policy, error) {
	e, err := m.Catalog.Endpoint(ctx, endpointID)
	if err != nil {
		return Policy{}, err
	}
	places := []Place{{EndpointID: e.ID}}
	regions, err := m.upwards(ctx, e.RegionID)
	if err != nil {
		return Policy{}, err
	}
	for _, regionID := range regions {
		places = append(places, Place{ServiceID: e.ServiceID, RegionID: regionID})
	}
	for _, p := range append(places, Place{ServiceID: e.ServiceID}) {
		policyID, err := m.Store.PolicyAt(ctx, p)
		if err == nil {
			return m.Store.Policy(ctx, policyID)
		}
		if !fault.IsNotFound(err) {
			return Policy{}, err
		}
	}
	return Policy{}, NoPolicy(endpointID)
}

// NoPolicy is the error for an endpoint that no policy counts for.
func NoPolicy(endpointID string) error {
	return fault.NotFound{Kind: "policy", ID: fmt.Sprintf("no policy is associated with endpoint %s", endpointID)}
}

// upwards is a region and those above it; none for "".
func (m *Manager) upwards(ctx context.Context, regionID string) ([]string, error) {
	var list []string
	for regionID != "" && !slices.Contains(list, regionID) {
		r, err := m.Catalog.Region(ctx, regionID)
		if err != nil {
			return nil, err
		}
		list = append(list, regionID)
		regionID = r.ParentID
	}
	return list, nil
}

// Endpoints are those in the places of a policy, ordered as the catalog orders them. For some of them another policy, in a
// place that is nearer to them, may count.
func (m *Manager) Endpoints(ctx context.Context, policyID string) ([]catalog.Endpoint, error) {
	if _, err := m.Store.Policy(ctx, policyID); err != nil {
		return nil, err
	}
	places, err := m.Store.Places(ctx, policyID)
	if err != nil {
		return nil, err
	}
	all, err := m.Catalog.Endpoints(ctx, nil)
	if err != nil {
		return nil, err
	}
	above := map[string][]string{}
	kept := []catalog.Endpoint{}
	for _, e := range all {
		if _, known := above[e.RegionID]; !known {
			if above[e.RegionID], err = m.upwards(ctx, e.RegionID); err != nil {
				return nil, err
			}
		}
		if slices.ContainsFunc(places, func(p Place) bool {
			return p.EndpointID == e.ID || p.ServiceID == e.ServiceID && (p.RegionID == "" || slices.Contains(above[e.RegionID], p.RegionID))
		}) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
