package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/oauth1"
	"authproxy/validate/bind"
)

// AllMethods are the authentication methods that a Manager knows.
var AllMethods = []string{"external", "kerberos", "password", "token", "oauth1"}

// EC2Method is the method of tokens that were got with EC2 keys. It is not one for POST /v3/auth/tokens.
const EC2Method = "ec2credential"

// Request asks for a token.
type Request struct {
	// Methods are those of Methods that have to succeed, all for the same user.
	Methods  []string
	Password *Password
	// Address is that of the client, "" where there is none: guesses are counted by it.
	Address string
	// Peer is who sends the request as somebody else has found out, for the methods external and kerberos and for bound tokens.
	Peer bind.Peer
	// Sections are what the request says for methods of Plugins, by their names.
	Sections map[string]map[string]any
	// Federated is what a trusted front says that an identity provider says of the user, for methods of FederatedMethods.
	Federated *federation.Login
	// Token is the text of the token for method "token".
	Token string
	// OAuth1 is the signed request for method "oauth1". The scope is then that of its access token.
	OAuth1 *oauth1.Request
	// EC2 is the request that was signed with an EC2 key, for method EC2Method. The scope is then that of the key.
	EC2   Signed
	Scope Scope
	// Unkept asks what a token would say, and not for a token: none is made unless the key stands on a trust, of which it takes a use.
	Unkept bool
	// NoCatalog leaves the catalog out of the token.
	NoCatalog bool
	// V2 asks for a token of the API v2.0: a signed one carries a body of that API, and user and project have to be in the
	// default domain.
	V2 bool
}

// Password is the section of method "password".
type Password struct {
	User     Ref
	Password string
}

// Ref names a user or project by ID, or by Name and Domain; or a domain by ID or Name. A project that is named by both has to
// fit both.
type Ref struct {
	ID     string
	Name   string
	Domain *Ref
}

// ScopeKind is what a token is wanted for.
type ScopeKind int

const (
	// ScopeDefault is the user's default project where the user has a role there, else nothing.
	ScopeDefault ScopeKind = iota
	ScopeUnscoped
	ScopeProject
	ScopeDomain
	ScopeTrust
)

// Scope is what a token is wanted for.
type Scope struct {
	Kind ScopeKind
	Ref  Ref // the project or domain, or the trust, by ID
	// Project is the project that a trust has to be for; nil for any.
	Project *Ref
}

// login is who asks, and what proved it.
type login struct {
	userID  string
	methods []string
	// passwordHash is what the password was found right by; "" where the login was by token alone.
	passwordHash string
	// parent is the token that the login was by; nil where there is none.
	parent *Record
	// accessTokenID is the access token that the request was signed with; "" where it was not.
	accessTokenID string
	// key is the EC2 key that the request was signed with; nil where it was not.
	key *credential.Credential
	// bind is what the token is to be bound to.
	bind map[string]string
	// providerID and protocolID are whose word it stands on; "" where it is nobody else's.
	providerID, protocolID string
	// federated is nil for a user who is stored here.
	federated *federated
}

// authority is what a token would stand on at one moment. Two of them are compared with reflect.DeepEqual.
type authority struct {
	user          identity.User
	userDomain    assignment.Domain
	project       *assignment.Project
	projectDomain assignment.Domain
	domain        *assignment.Domain
	roles         []assignment.Role
	// groups are those of a user who is not stored here; nil for others.
	groups []Group
	// delegated is nil for who acts for themself.
	delegated *delegation
}

// authenticate finds out who asks. It does the slow work (the password) and leaves every question that can change its answer
// in the meantime to authorize.
func (m *Manager) authenticate(ctx context.Context, r Request) (login, error) {
	var l login
	if slices.Contains(r.Methods, "password") && r.Password != nil {
		who := identity.Ref{ID: r.Password.User.ID, Name: r.Password.User.Name}
		if who.ID == "" && r.Password.User.Domain != nil {
			d, err := m.domain(ctx, *r.Password.User.Domain)
			if err != nil && !fault.IsNotFound(err) {
				return login{}, err
			}
			who.DomainID = d.ID // "" is the id of no domain, so the password is checked against nobody's
		}
		u, err := m.Identity.Authenticate(ctx, identity.Login{User: who, Password: r.Password.Password, Address: r.Address})
		if err != nil {
			return login{}, err
		}
		l.userID, l.passwordHash = u.ID, u.PasswordHash
	}
	if err := m.external(ctx, r, &l); err != nil {
		return login{}, err
	}
	if err := m.mapped(ctx, r, &l); err != nil {
		return login{}, err
	}
	for _, name := range r.Methods {
		if plugin := m.Plugins[name]; plugin != nil {
			userID, err := plugin.Authenticate(ctx, r.Sections[name])
			if err == nil {
				err = l.agree(userID)
			}
			if err != nil {
				return login{}, err
			}
		}
	}
	if slices.Contains(r.Methods, "token") {
		parent, err := m.Validate(ctx, r.Token, false)
		if err != nil {
			return login{}, err
		}
		if parent.delegated() { // else whoever got a part could get more
			return login{}, fault.Forbidden{Message: "A token that was delegated cannot be exchanged for another one."}
		}
		if err := l.agree(parent.UserID); err != nil {
			return login{}, err
		}
		l.parent = &parent
		if err := l.continueFederation(&parent); err != nil {
			return login{}, err
		}
		t, err := parent.Decode()
		if err != nil {
			return login{}, err
		}
		if slices.Contains(t.Methods, EC2Method) { // the key is for one project
			return login{}, fault.Forbidden{Message: "A token that was got with an EC2 key cannot be exchanged for another one."}
		}
		if err := m.BindMode.Check(t.Bind, r.Peer); err != nil {
			return login{}, fault.Unauthorized{Why: err.Error(), Negotiate: errors.Is(err, bind.ErrKerberos)}
		}
		l.bindTo(t.Bind)
		for _, name := range t.Methods {
			if !slices.Contains(l.methods, name) {
				l.methods = append(l.methods, name)
			}
		}
	}
	if slices.Contains(r.Methods, "oauth1") && r.OAuth1 != nil {
		access, err := m.OAuth1.Login(ctx, *r.OAuth1)
		if err != nil {
			return login{}, err
		}
		if err := l.agree(access.UserID); err != nil {
			return login{}, err
		}
		l.accessTokenID = access.ID
	}
	if slices.Contains(r.Methods, EC2Method) && r.EC2 != nil {
		key, err := m.signedWith(ctx, r.EC2, r.Address)
		if err == nil {
			err = l.agree(key.UserID)
		}
		if err != nil {
			return login{}, err
		}
		l.key = &key
	}
	if l.userID == "" {
		return login{}, fault.Unauthorized{Why: "no method that says who asks"}
	}
	for _, name := range r.Methods {
		if !slices.Contains(l.methods, name) {
			l.methods = append(l.methods, name)
		}
	}
	if slices.Contains(m.Bind, bind.X509) && len(r.Peer.Certificate) > 0 && r.Federated == nil { // else it is the front's
		l.bindTo(map[string]string{bind.X509: bind.Thumbprint(r.Peer.Certificate)})
	}
	return l, nil
}

// authorize says what a token for this login and scope stands on now. Every refusal is fault.Unauthorized, but for a parent
// token that is no longer valid, and for what was delegated to the user and no longer holds (fault.Forbidden).
func (m *Manager) authorize(ctx context.Context, l login, s Scope) (authority, error) {
	var a authority
	if l.parent != nil {
		if _, err := m.valid(ctx, l.parent.ID, false); err != nil {
			return a, err
		}
	}
	if l.providerID != "" {
		if err := m.Federation.Usable(ctx, l.providerID, l.protocolID); err != nil {
			return a, err
		}
	}
	if l.federated != nil {
		if err := m.authorizeFederated(ctx, l, &a); err != nil {
			return a, err
		}
		switch s.Kind {
		case ScopeProject:
			return a, m.scopeToProject(ctx, &a, s.Ref)
		case ScopeDomain:
			return a, m.scopeToDomain(ctx, &a, s.Ref)
		case ScopeTrust:
			return a, fault.Forbidden{Message: "User is not a trustee."}
		}
		return a, nil
	}
	var err error
	if a.user, err = m.Identity.User(ctx, l.userID); err != nil {
		return a, refused(err, "user %s is gone", l.userID)
	}
	if a.userDomain, err = m.Assignment.Domain(ctx, a.user.DomainID); err != nil {
		return a, refused(err, "domain of user %s is gone", l.userID)
	}
	switch {
	case !a.user.Enabled:
		return a, refused(nil, "user %s is disabled", l.userID)
	case !a.userDomain.Enabled:
		return a, refused(nil, "domain %s of user %s is disabled", a.userDomain.ID, l.userID)
	case l.passwordHash != "" && l.passwordHash != a.user.PasswordHash:
		return a, refused(nil, "the password of user %s was changed meanwhile", l.userID)
	}
	if l.accessTokenID != "" {
		return a, m.scopeToAccess(ctx, &a, l.accessTokenID)
	}
	if l.key != nil {
		if s, err = m.keyScope(ctx, *l.key); err != nil {
			return a, err
		}
	}
	switch s.Kind {
	case ScopeDefault:
		if a.user.DefaultProjectID == "" {
			return a, nil
		}
		scoped := a
		err := m.scopeToProject(ctx, &scoped, Ref{ID: a.user.DefaultProjectID})
		if _, no := errors.AsType[fault.Unauthorized](err); no {
			return a, nil
		}
		return scoped, err
	case ScopeProject:
		return a, m.scopeToProject(ctx, &a, s.Ref)
	case ScopeDomain:
		return a, m.scopeToDomain(ctx, &a, s.Ref)
	case ScopeTrust:
		if err := m.scopeToTrust(ctx, &a, s.Ref.ID); err != nil || s.Project == nil {
			return a, err
		}
		p, err := m.project(ctx, *s.Project)
		if err != nil {
			return a, refused(err, "no such project")
		}
		if a.project == nil || a.project.ID != p.ID {
			return a, fault.Forbidden{Message: "The trust is for another project."}
		}
	}
	return a, nil
}

func (m *Manager) scopeToProject(ctx context.Context, a *authority, ref Ref) error {
	p, err := m.project(ctx, ref)
	if err != nil {
		return refused(err, "no such project")
	}
	if a.projectDomain, err = m.Assignment.Domain(ctx, p.DomainID); err != nil {
		return refused(err, "domain of project %s is gone", p.ID)
	}
	if !p.Enabled || !a.projectDomain.Enabled {
		return refused(nil, "project %s or its domain is disabled", p.ID)
	}
	a.roles, err = m.rolesOn(ctx, a, assignment.Scope{ProjectID: p.ID})
	if err == nil && len(a.roles) == 0 {
		err = refused(nil, "user %s has no role on project %s", a.user.ID, p.ID)
	}
	a.project = &p
	return err
}

func (m *Manager) scopeToDomain(ctx context.Context, a *authority, ref Ref) error {
	d, err := m.domain(ctx, ref)
	if err != nil {
		return refused(err, "no such domain")
	}
	if !d.Enabled {
		return refused(nil, "domain %s is disabled", d.ID)
	}
	a.roles, err = m.rolesOn(ctx, a, assignment.Scope{DomainID: d.ID})
	if err == nil && len(a.roles) == 0 {
		err = refused(nil, "user %s has no role on domain %s", a.user.ID, d.ID)
	}
	a.domain = &d
	return err
}

func (m *Manager) domain(ctx context.Context, ref Ref) (assignment.Domain, error) {
	if ref.ID != "" {
		return m.Assignment.Domain(ctx, ref.ID)
	}
	return m.Assignment.DomainByName(ctx, ref.Name)
}

func (m *Manager) project(ctx context.Context, ref Ref) (assignment.Project, error) {
	if ref.Name == "" || ref.Domain == nil {
		return m.Assignment.Project(ctx, ref.ID)
	}
	d, err := m.domain(ctx, *ref.Domain)
	if err != nil {
		return assignment.Project{}, err
	}
	p, err := m.Assignment.ProjectByName(ctx, d.ID, ref.Name)
	if err == nil && ref.ID != "" && ref.ID != p.ID {
		return assignment.Project{}, fault.NotFound{Kind: "project", ID: ref.ID}
	}
	return p, err
}

// refused is fault.Unauthorized, unless err is something other than an object that is not there.
func refused(err error, format string, args ...any) error {
	if err != nil && !fault.IsNotFound(err) {
		return err
	}
	return fault.Unauthorized{Why: fmt.Sprintf(format, args...)}
}
