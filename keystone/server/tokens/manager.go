package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/token"
	"authproxy/validate/bind"
)

// Identity is what issuing needs to know of users.
type Identity interface {
	User(ctx context.Context, userID string) (identity.User, error)
	UserByName(ctx context.Context, domainID, name string) (identity.User, error)
	Authenticate(ctx context.Context, l identity.Login) (identity.User, error)
	Group(ctx context.Context, groupID string) (identity.Group, error)
	Groups(ctx context.Context, where filter.List) ([]identity.Group, error)
	// Guess runs prove, unless failures before say to wait, and counts how it ends.
	Guess(ctx context.Context, what, userID, address string, prove func() error) error
}

// Assignment is what issuing needs to know of scopes and roles.
type Assignment interface {
	Domain(ctx context.Context, domainID string) (assignment.Domain, error)
	DomainByName(ctx context.Context, name string) (assignment.Domain, error)
	Project(ctx context.Context, projectID string) (assignment.Project, error)
	ProjectByName(ctx context.Context, domainID, name string) (assignment.Project, error)
	GrantedRoles(ctx context.Context, s assignment.Scope) ([]assignment.Role, error)
	RolesOfGroups(ctx context.Context, groupIDs []string, s assignment.Scope) ([]assignment.Role, error)
}

// Catalog builds the catalog of a token.
type Catalog interface {
	Build(ctx context.Context, variables map[string]string) (keystone.Catalog, error)
}

// Manager issues, validates, revokes and lists tokens.
type Manager struct {
	Store      Store
	Revoker    *Revoker
	Identity   Identity
	Assignment Assignment
	Catalog    Catalog
	Trusts     Trusts // nil where there are none
	OAuth1     OAuth1
	Federation Federation
	// Credentials has the EC2 keys.
	Credentials Credentials

	// Form is the form of new tokens: token.PKI, token.PKIZ or token.UUID. Old ones of another form stay valid.
	Form token.Form
	// Keys signs PKI and PKIZ tokens and the revocation list.
	Keys *KeyPair
	// HashAlgorithm makes the ids of tokens, see token.HashAlgorithms.
	HashAlgorithm string
	// Methods are the authentication methods on offer, of those in AllMethods and FederatedMethods.
	Methods []string
	// RemoteDomains lets who has authenticated a user say the user's domain too; where it is not said it is the default one.
	RemoteDomains bool
	// ExternalByKerberos lets method external count only where Kerberos authenticated the user.
	ExternalByKerberos bool
	// FederatedMethods are those by which identity providers say who users are.
	FederatedMethods []string
	// Plugins are more methods, by the names that they have in Methods.
	Plugins map[string]Plugin
	// Bind are the mechanisms that new tokens are bound to, where they apply: kerberos, x509. BindMode says what is asked of
	// bound tokens.
	Bind     []string
	BindMode bind.Mode
	// MaxText is the longest token text in bytes that is looked up; 0 is DefaultMaxText.
	MaxText int
	// Expiration is how long a token from a password lives; one from another token ends with that one.
	Expiration time.Duration

	// Watch lets callers wait for a change of the revocation list. With nil nobody may wait.
	Watch *Watch

	Now func() time.Time
	Log *slog.Logger

	documents documents
}

// Defaults of Manager and Revoker.
const (
	DefaultMaxText = 64 << 10
	DefaultWindow  = 48 * time.Hour // as allow_expired_window of Keystone
)

// Issued is a new token: its text, which the server keeps no copy of, and its record.
type Issued struct {
	Text   string
	Record Record
}

// attempts is how often issuing starts anew when what the token stands on changes while it is signed.
const attempts = 3

var errChanged = errors.New("what the token stands on changed")

// Issue makes a token. Refusals are fault.Unauthorized; a bad token in method "token" is fault.NotFound.
//
// The password check and the signature are slow, so they happen outside any transaction; the transaction that stores the token
// asks again what the token stands on. So none is issued on the strength of a password, a role or a parent token that was
// taken away in between: it would be in no list of what to revoke.
func (m *Manager) Issue(ctx context.Context, r Request) (Issued, error) {
	l, err := m.authenticate(ctx, r)
	if err != nil {
		return Issued{}, err
	}
	for range attempts {
		before, err := m.authorize(ctx, l, r.Scope)
		if err != nil {
			return Issued{}, err
		}
		issued, err := m.make(ctx, l, before, r)
		if err != nil || r.Unkept && before.delegated == nil {
			return issued, err
		}
		err = m.Store.Write(ctx, func(ctx context.Context) error {
			now, err := m.authorize(ctx, l, r.Scope)
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(before, now) {
				return errChanged
			}
			if err := m.Store.AddToken(ctx, issued.Record); err != nil {
				return err
			}
			if err := m.Store.AddTokenGroups(ctx, issued.Record.ID, now.groups); err != nil {
				return err
			}
			return m.recordDelegation(ctx, issued.Record.ID, now.delegated)
		})
		if err == nil {
			m.log().InfoContext(ctx, "token issued", slog.String("audit_id", issued.Record.AuditID), slog.String("user_id", l.userID),
				slog.String("project_id", issued.Record.ProjectID), slog.String("domain_id", issued.Record.DomainID), slog.Any("methods", l.methods))
			return issued, nil
		}
		if !errors.Is(err, errChanged) {
			return Issued{}, err
		}
	}
	return Issued{}, fmt.Errorf("%w, %d times: %w", errChanged, attempts, fault.ErrBusy)
}

// make builds and signs a token.
func (m *Manager) make(ctx context.Context, l login, a authority, request Request) (Issued, error) {
	now := m.Now().UTC().Truncate(time.Microsecond)
	r := Record{
		Form: m.Form, AuditID: id.Audit(), UserID: a.user.ID, UserDomainID: a.user.DomainID,
		IssuedAt: now, ExpiresAt: now.Add(m.Expiration),
	}
	r.ChainID = r.AuditID
	audit := []string{r.AuditID}
	if l.parent != nil {
		r.ExpiresAt, r.ChainID = l.parent.ExpiresAt, l.parent.ChainID
		audit = append(audit, r.ChainID)
	}
	if request.V2 { // it says when it ends in whole seconds
		r.ExpiresAt = r.ExpiresAt.Truncate(time.Second)
	}
	body := Body{Token: bodyToken{
		Methods:  l.methods,
		User:     bodyUser{bodyOwned: bodyOwned{bodyRef{a.user.ID, a.user.Name}, bodyRef{a.userDomain.ID, a.userDomain.Name}}},
		AuditIDs: audit,
		Bind:     l.bind,
		IssuedAt: formatTime(r.IssuedAt),
	}}
	for _, role := range a.roles {
		body.Token.Roles = append(body.Token.Roles, bodyRef{role.ID, role.Name})
	}
	switch {
	case a.project != nil:
		r.ProjectID, r.ProjectDomainID = a.project.ID, a.project.DomainID
		body.Token.Project = &bodyOwned{bodyRef{a.project.ID, a.project.Name}, bodyRef{a.projectDomain.ID, a.projectDomain.Name}}
	case a.domain != nil:
		r.DomainID = a.domain.ID
		body.Token.Domain = &bodyRef{a.domain.ID, a.domain.Name}
	}
	l.markFederation(&r, &body.Token, a)
	if a.delegated != nil {
		a.delegated.mark(&r, &body.Token)
	}
	if (a.project != nil || a.domain != nil) && !request.NoCatalog {
		catalog, err := m.BuildCatalog(ctx, r.UserID, r.ProjectID)
		if err != nil {
			return Issued{}, err
		}
		members := catalogMembers(catalog)
		body.Token.Catalog = &members
	}
	body.Token.ExpiresAt = formatTime(r.ExpiresAt)
	var err error
	if body.Token.ServiceProviders, err = m.serviceProviders(ctx); err != nil {
		return Issued{}, err
	}
	if r.Body, err = body.encode(); err != nil {
		return Issued{}, err
	}
	signed := r.Body
	if request.V2 {
		if signed, err = m.signedV2(&r, a.project); err != nil {
			return Issued{}, err
		}
	}
	if request.Unkept && a.delegated == nil {
		return Issued{Record: r}, nil
	}
	text, err := m.text(signed)
	if err != nil {
		return Issued{}, err
	}
	r.ID, err = token.ID(text, m.HashAlgorithm)
	return Issued{Text: text, Record: r}, err
}

// BuildCatalog is the catalog for a user in a project ("" for a domain).
func (m *Manager) BuildCatalog(ctx context.Context, userID, projectID string) (keystone.Catalog, error) {
	return m.Catalog.Build(ctx, map[string]string{"tenant_id": projectID, "project_id": projectID, "user_id": userID})
}

// text makes the token text of a body, in the form that m issues.
func (m *Manager) text(body []byte) (string, error) {
	if m.Form == token.UUID {
		return id.New(), nil
	}
	der, err := m.Keys.Sign(body)
	if err != nil {
		return "", err
	}
	if m.Form == token.PKIZ {
		return token.EncodePKIZ(der)
	}
	return token.EncodePKI(der), nil
}

// Validate returns the record of a token, given by its text or, for PKI and PKIZ tokens, by its id. With allowExpired a token
// is taken that expired within the window. All refusals are fault.NotFound of kind "token"; they name the id of a PKI or PKIZ
// token and never its text.
func (m *Manager) Validate(ctx context.Context, text string, allowExpired bool) (Record, error) {
	most := m.MaxText
	if most == 0 {
		most = DefaultMaxText
	}
	if text == "" || len(text) > most {
		return Record{}, fault.NotFound{Kind: "token"}
	}
	hash, err := token.ID(text, m.HashAlgorithm)
	if err != nil {
		return Record{}, err
	}
	r, err := m.valid(ctx, hash, allowExpired)
	if err == nil || !fault.IsNotFound(err) {
		return r, err
	}
	const longestID = 128 // sha512
	if form := token.FormOf(text); form == token.PKI || form == token.PKIZ || len(text) > longestID {
		return Record{}, err
	}
	r, err = m.valid(ctx, text, allowExpired)
	if err == nil && r.Form == token.UUID { // the id of such a token is no proof of anything
		return Record{}, fault.NotFound{Kind: "token", ID: text}
	}
	return r, err
}

// Revoke ends one token, given as to Validate.
func (m *Manager) Revoke(ctx context.Context, text string) error {
	r, err := m.Validate(ctx, text, false)
	if err != nil {
		return err
	}
	if err := m.Revoker.revokeOne(ctx, r); err != nil {
		return err
	}
	m.log().InfoContext(ctx, "token revoked", slog.String("audit_id", r.AuditID), slog.String("user_id", r.UserID))
	return nil
}

// valid returns the record with that id if the token is good now.
func (m *Manager) valid(ctx context.Context, tokenID string, allowExpired bool) (Record, error) {
	r, err := m.Store.Token(ctx, tokenID)
	if err != nil {
		return Record{}, err
	}
	end := r.ExpiresAt
	if allowExpired {
		end = end.Add(m.Revoker.Window)
	}
	if !r.RevokedAt.IsZero() || !m.Now().Before(end) {
		return Record{}, fault.NotFound{Kind: "token", ID: tokenID}
	}
	return r, nil
}

// Decode reads what the token says.
func (r *Record) Decode() (*keystone.Token, error) {
	t, err := token.DecodePayload(r.Body)
	if err != nil {
		return nil, fmt.Errorf("stored body of token with audit id %s: %w", r.AuditID, err)
	}
	return t, nil
}

// flushBatch keeps one transaction of Flush short.
const flushBatch = 1000

// Flush deletes the records of tokens that can no longer matter (expired, and the window over), and the events that were about
// such, and returns how many tokens.
func (m *Manager) Flush(ctx context.Context) (int, error) {
	// A list says what was revoked when it was issued, so that each server makes the same one.
	return Flush(ctx, m.Store, m.Now().Add(-m.Revoker.Window-listLife))
}

// Flush deletes the records of tokens that expired at or before a time and the events that concern only such, in short
// transactions, and returns how many tokens.
func Flush(ctx context.Context, s Store, expired time.Time) (int, error) {
	n, err := flush(ctx, s.RemoveTokens, expired)
	if err == nil {
		_, err = flush(ctx, s.RemoveEvents, expired)
	}
	return n, err
}

func flush(ctx context.Context, remove func(context.Context, time.Time, int) (int, error), expired time.Time) (total int, err error) {
	for {
		n, err := remove(ctx, expired, flushBatch)
		total += n
		if err != nil || n < flushBatch {
			return total, err
		}
	}
}

func (m *Manager) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}
