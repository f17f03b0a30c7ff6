package tokens

import (
	"context"
	"time"
)

// Event says in general terms which tokens ended: those that fit all fields that are set and were issued before a time. That
// is what the extension OS-REVOKE of the Identity API v3 publishes.
type Event struct {
	AuditID       string // the token's own
	UserID        string // its user, or a party of it
	RoleID        string // one of the token's
	ProjectID     string
	DomainID      string // of the user, of the project, or the scope
	TrustID       string
	ConsumerID    string
	AccessTokenID string
	// IssuedBefore is when it happened, in whole microseconds.
	IssuedBefore time.Time
}

// EventJSON is an event as the Identity API has it.
type EventJSON struct {
	AuditID       string `json:"audit_id,omitempty"`
	UserID        string `json:"user_id,omitempty"`
	RoleID        string `json:"role_id,omitempty"`
	ProjectID     string `json:"project_id,omitempty"`
	DomainID      string `json:"domain_id,omitempty"`
	TrustID       string `json:"OS-TRUST:trust_id,omitempty"`
	ConsumerID    string `json:"OS-OAUTH1:consumer_id,omitempty"`
	AccessTokenID string `json:"OS-OAUTH1:access_token_id,omitempty"`
	IssuedBefore  string `json:"issued_before"`
}

// Events are those that happened after a time and can still matter to a token, in the order in which they happened.
func (m *Manager) Events(ctx context.Context, since time.Time) ([]EventJSON, error) {
	events, err := m.Store.Events(ctx, since, m.Now().Add(-m.Revoker.Window))
	if err != nil {
		return nil, err
	}
	list := make([]EventJSON, 0, len(events))
	for _, e := range events {
		list = append(list, EventJSON{e.AuditID, e.UserID, e.RoleID, e.ProjectID, e.DomainID, e.TrustID, e.ConsumerID, e.AccessTokenID, formatTime(e.IssuedBefore)})
	}
	return list, nil
}
