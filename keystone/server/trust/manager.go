package trust

import (
	"context"
	"fmt"
	"slices"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/id"
)

// Manager is the rules about trusts.
type Manager struct {
	Store      Store
	Users      Users
	Assignment Assignment
	Tokens     Revoker
	Now        func() time.Time
	// AllowRedelegation lets trusts be passed on, MaxRedelegationCount times at most ([trust] allow_redelegation and
	// max_redelegation_count).
	AllowRedelegation    bool
	MaxRedelegationCount int
}

// RoleRef names a role by ID, or by Name.
type RoleRef struct{ ID, Name string }

// Wish is a trust that somebody asks for.
type Wish struct {
	// Trust has no ID yet; its RoleIDs, RedelegationCount and RedelegatedTrustID do not count.
	Trust
	Roles             []RoleRef
	AllowRedelegation bool
	RedelegationCount *int // nil for as many as there can be
}

// Trust is one that can be used: not expired, not used up.
func (m *Manager) Trust(ctx context.Context, trustID string) (Trust, error) {
	t, err := m.Store.Trust(ctx, trustID)
	if err == nil && (!m.alive(t) || t.UsedUp()) {
		err = fault.NotFound{Kind: "trust", ID: trustID}
	}
	return t, err
}

// Stored is a trust, whether it can be used or not.
func (m *Manager) Stored(ctx context.Context, trustID string) (Trust, error) {
	return m.Store.Trust(ctx, trustID)
}

// Trusts are the usable ones of a trustor, or of a trustee, or of both, ordered by id; "" is anybody.
func (m *Manager) Trusts(ctx context.Context, trustorUserID, trusteeUserID string) ([]Trust, error) {
	list, err := m.Store.Trusts(ctx, trustorUserID, trusteeUserID)
	return slices.DeleteFunc(list, func(t Trust) bool { return !m.alive(t) || t.UsedUp() }), err
}

// Chain is a trust that has not expired, followed by those that it passes on, up to the one whose trustor has the roles. The
// first may be used up.
func (m *Manager) Chain(ctx context.Context, trustID string) ([]Trust, error) {
	var chain []Trust
	for next := trustID; next != ""; {
		t, err := m.Store.Trust(ctx, next)
		if err == nil && !m.alive(t) {
			err = fault.NotFound{Kind: "trust", ID: next}
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, t)
		next = t.RedelegatedTrustID
	}
	return chain, nil
}

// Use takes one of the uses of a trust; where none is left it returns fault.Forbidden.
func (m *Manager) Use(ctx context.Context, trustID string) error {
	left, err := m.Store.UseTrust(ctx, trustID)
	if err == nil && !left {
		err = NoUses(trustID)
	}
	return err
}

// NoUses is the error for a trust that is used up.
func NoUses(trustID string) error {
	return fault.Forbidden{Message: "No remaining uses for trust: " + trustID}
}

func (m *Manager) alive(t Trust) bool { return t.ExpiresAt.IsZero() || m.Now().Before(t.ExpiresAt) }

// Create stores a trust under an id of its own. through is the trust that the trustor's own token came by, "" where it did not
// come by one: the new trust passes that one on.
func (m *Manager) Create(ctx context.Context, w Wish, through string) (Trust, error) {
	t := w.Trust
	t.ID, t.RedelegationCount, t.RedelegatedTrustID = id.New(), 0, through
	t.ExpiresAt = t.ExpiresAt.Truncate(time.Microsecond)
	switch {
	case t.ProjectID != "" && len(w.Roles) == 0:
		return Trust{}, fault.Forbidden{Message: "At least one role should be specified."}
	case t.RemainingUses != nil && *t.RemainingUses <= 0:
		return Trust{}, fault.Invalid{Message: "remaining_uses must be a positive integer or null."}
	case !m.alive(t):
		return Trust{}, fault.Invalid{Message: "The 'expires_at' must not be before now. The server could not comply with the " +
			"request since it is either malformed or otherwise incorrect. The client is assumed to be in error."}
	}
	err := m.Store.Write(ctx, func(ctx context.Context) error {
		if _, err := m.Users.User(ctx, t.TrusteeUserID); err != nil {
			return err
		}
		if t.ProjectID != "" {
			if _, err := m.Assignment.Project(ctx, t.ProjectID); err != nil {
				return err
			}
		}
		var err error
		if t.RoleIDs, err = m.roleIDs(ctx, w.Roles); err != nil {
			return err
		}
		var chain []Trust
		if through != "" {
			if chain, err = m.Chain(ctx, through); err != nil {
				return err
			}
		}
		if err := m.limit(&t, w, chain); err != nil {
			return err
		}
		if err := m.checkRoles(ctx, t, chain); err != nil {
			return err
		}
		return m.Store.AddTrust(ctx, t)
	})
	return t, err
}

// limit decides how often a new trust can be passed on, and holds it to those that it passes on.
func (m *Manager) limit(t *Trust, w Wish, chain []Trust) error {
	forbidden := func(format string, args ...any) error { return fault.Forbidden{Message: fmt.Sprintf(format, args...)} }
	passable := w.AllowRedelegation && (w.RedelegationCount == nil || *w.RedelegationCount != 0)
	most := m.MaxRedelegationCount
	if len(chain) > 0 {
		from := chain[0]
		most = min(most, from.RedelegationCount-1)
		for _, above := range chain {
			if !m.AllowRedelegation || above.RedelegationCount <= 0 || above.RedelegationCount > m.MaxRedelegationCount {
				return forbidden("Remaining redelegation depth of %d out of allowed range of [0..%d]", above.RedelegationCount, m.MaxRedelegationCount)
			}
			if !above.ExpiresAt.IsZero() {
				if t.ExpiresAt.IsZero() {
					t.ExpiresAt = above.ExpiresAt
				} else if t.ExpiresAt.After(above.ExpiresAt) {
					return forbidden("Requested expiration time is more than redelegated trust can provide")
				}
			}
			if slices.ContainsFunc(t.RoleIDs, func(roleID string) bool { return !slices.Contains(above.RoleIDs, roleID) }) {
				return forbidden("Some of requested roles are not in redelegated trust")
			}
		}
		switch {
		case t.RemainingUses != nil:
			return forbidden("Field \"remaining_uses\" is set to %d while it must not be set in order to redelegate a trust", *t.RemainingUses)
		case t.ProjectID != from.ProjectID:
			return forbidden("A redelegated trust is for the project of the trust that it passes on")
		case t.Impersonation && !from.Impersonation:
			return forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation.")
		case passable && w.RedelegationCount != nil && *w.RedelegationCount != from.RedelegationCount-1:
			return forbidden("Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is advised.")
		}
	}
	if !passable {
		return nil
	}
	switch {
	case t.RemainingUses != nil:
		return fault.Invalid{Message: "remaining_uses must not be set if redelegation is allowed"}
	case !m.AllowRedelegation:
		return forbidden("Redelegation of trusts is not allowed here ([trust] allow_redelegation)")
	case w.RedelegationCount != nil && *w.RedelegationCount > m.MaxRedelegationCount:
		return forbidden("Requested redelegation depth of %d is greater than allowed %d", *w.RedelegationCount, m.MaxRedelegationCount)
	}
	t.RedelegationCount = orElse(w.RedelegationCount, most)
	return nil
}

func orElse(v *int, other int) int {
	if v == nil {
		return other
	}
	return *v
}

// checkRoles demands that whoever begins the chain has the roles that the trust gives.
func (m *Manager) checkRoles(ctx context.Context, t Trust, chain []Trust) error {
	trustor := t.TrustorUserID
	if len(chain) > 0 {
		trustor = chain[len(chain)-1].TrustorUserID
	}
	var held []assignment.Role
	if t.ProjectID != "" {
		var err error
		if held, err = m.Assignment.GrantedRoles(ctx, assignment.Scope{UserID: trustor, ProjectID: t.ProjectID}); err != nil {
			return err
		}
	}
	for _, roleID := range t.RoleIDs {
		if !slices.ContainsFunc(held, func(r assignment.Role) bool { return r.ID == roleID }) {
			return fault.NotFound{Kind: "role", ID: roleID}
		}
	}
	return nil
}

// roleIDs finds roles, each once and in order.
func (m *Manager) roleIDs(ctx context.Context, refs []RoleRef) ([]string, error) {
	ids := []string{}
	for _, ref := range refs {
		find, key := m.Assignment.RoleByName, ref.Name
		if ref.ID != "" {
			find, key = m.Assignment.Role, ref.ID
		}
		role, err := find(ctx, key)
		if err != nil {
			return nil, err
		}
		ids = append(ids, role.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Delete removes a trust with those that pass it on, and ends the tokens that came by any of them.
func (m *Manager) Delete(ctx context.Context, trustID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		below, err := m.Store.RedelegatedTrusts(ctx, trustID)
		if err != nil {
			return err
		}
		if err := m.Store.RemoveTrust(ctx, trustID); err != nil {
			return err
		}
		for _, one := range append([]string{trustID}, below...) {
			if err := m.Tokens.RevokeTrust(ctx, one); err != nil {
				return err
			}
		}
		return nil
	})
}

// flushBatch keeps one transaction of Flush short.
const flushBatch = 1000

// Flush deletes trusts that have ended: nobody can see or use them any more, and the tokens that came by them ended no later.
func (m *Manager) Flush(ctx context.Context) error {
	for {
		n, err := m.Store.RemoveTrusts(ctx, m.Now(), flushBatch)
		if err != nil || n < flushBatch {
			return err
		}
	}
}
