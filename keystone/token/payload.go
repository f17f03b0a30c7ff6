package token

import (
	"fmt"
	"strings"
	"time"

	"authproxy/keystone"
)

// DecodePayload reads a token body: {"token": {…}} of the Identity API v3 or {"access": {…}} of v2.0. It refuses what two
// readers could understand differently (duplicate names, both bodies at once), what is no token, and a token without expiry or
// user id. Members that a verifier has no use for are checked as JSON and passed over. Errors wrap ErrMalformed, or
// ErrNotAToken where the JSON is sound but is no token.
func DecodePayload(payload []byte) (*keystone.Token, error) {
	return (*Catalogs)(nil).DecodePayload(payload)
}

// DecodePayload does what the function does, but for reading catalogs that it has. Tokens share them, so nothing may be written to
// a token's catalog.
func (c *Catalogs) DecodePayload(payload []byte) (*keystone.Token, error) {
	d := decoder{jsonReader: newJSONReader(string(payload)), catalogs: c}
	bodies := 0
	if d.peek() != '{' {
		if d.skip(); d.err == nil {
			d.end()
		}
		if d.err != nil {
			return nil, d.err
		}
		return nil, fmt.Errorf("%w: not a JSON object", ErrNotAToken)
	}
	d.object(func(name string) {
		switch name {
		case "token":
			bodies++
			d.t.Version = 3
			d.v3()
		case "access":
			bodies++
			d.t.Version = 2
			d.v2()
		default:
			d.skip()
		}
	})
	d.end()
	d.foldCertificate()
	switch {
	case d.err != nil:
		return nil, d.err
	case bodies != 1:
		return nil, fmt.Errorf("%w: want one of the members token and access, found %d", ErrNotAToken, bodies)
	case d.t.User.ID == "":
		return nil, fmt.Errorf("%w: no user id", ErrNotAToken)
	case d.t.ExpiresAt.IsZero():
		return nil, fmt.Errorf("%w: no expiry", ErrNotAToken)
	case scopes(&d.t) > 1:
		return nil, fmt.Errorf("%w: more than one scope", ErrNotAToken)
	}
	return &d.t, nil
}

func scopes(t *keystone.Token) (n int) {
	if t.Project != nil {
		n++
	}
	if t.Domain != nil {
		n++
	}
	if t.System {
		n++
	}
	return n
}

type decoder struct {
	jsonReader
	t        keystone.Token
	catalogs *Catalogs
	// certificate is the thumbprint in oauth2_credential, if boundToIt.
	certificate string
	boundToIt   bool
}

// wrong notes sound JSON that is not what a token says in this place.
func (d *decoder) wrong(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrNotAToken, fmt.Sprintf(format, args...))
	}
}

// want refuses a token that lacks what a scope or a role cannot be without.
func (d *decoder) want(value, what string) {
	if value == "" {
		d.wrong("%s is missing", what)
	}
}

// text takes a string; null counts as absent.
func (d *decoder) text(what string) string {
	if d.null() {
		return ""
	}
	if d.peek() != '"' {
		d.wrong("%s is not a string", what)
		return ""
	}
	return d.str()
}

// members takes an object, or null.
func (d *decoder) members(what string, member func(name string)) {
	if d.null() {
		return
	}
	if d.peek() != '{' {
		d.wrong("%s is not an object", what)
		return
	}
	d.object(member)
}

// elements takes an array, or null.
func (d *decoder) elements(what string, element func()) {
	if d.null() {
		return
	}
	if d.peek() != '[' {
		d.wrong("%s is not an array", what)
		return
	}
	d.array(element)
}

func (d *decoder) truth(what string) bool {
	if c := d.peek(); c != 't' && c != 'f' {
		d.wrong("%s is not a boolean", what)
		return false
	}
	return d.boolean()
}

func (d *decoder) strings(what string) (list []string) {
	d.elements(what, func() { list = append(list, d.text(what)) })
	return list
}

// v3 takes the inside of "token" (Identity API v3, POST /v3/auth/tokens, response).
func (d *decoder) v3() {
	t := &d.t
	d.members("token", func(name string) {
		switch name {
		case "methods":
			t.Methods = d.strings("methods")
		case "expires_at":
			t.ExpiresAt = d.expiry("expires_at")
		case "issued_at":
			t.IssuedAt = d.instant("issued_at")
		case "audit_ids":
			t.AuditIDs = d.strings("audit_ids")
		case "user":
			d.userV3()
		case "project":
			d.projectV3()
		case "domain":
			if !d.null() {
				t.Domain = new(keystone.Domain)
				d.domain("domain", t.Domain)
				d.want(t.Domain.ID, "domain.id")
			}
		case "system":
			d.members("system", func(name string) {
				if name == "all" {
					t.System = d.truth("system.all")
					return
				}
				d.skip()
			})
		case "roles":
			d.roles()
		case "is_admin_project":
			is := d.truth("is_admin_project")
			t.IsAdminProject = &is
		case "catalog":
			d.catalog()
		case "bind":
			d.bind()
		case "oauth2_credential":
			d.oauth2Credential()
		case "OS-TRUST:trust":
			d.trust()
		case "application_credential":
			d.applicationCredential()
		case "OS-OAUTH1":
			d.oauth1()
		default:
			d.skip()
		}
	})
}

func (d *decoder) userV3() {
	user := &d.t.User
	d.members("user", func(name string) {
		switch name {
		case "id":
			user.ID = d.text("user.id")
		case "name":
			user.Name = d.text("user.name")
		case "domain":
			d.domain("user.domain", &user.Domain)
		case "OS-FEDERATION":
			user.Federated = true
			d.skip()
		default:
			d.skip()
		}
	})
}

func (d *decoder) projectV3() {
	if d.null() {
		return
	}
	p := new(keystone.Project)
	d.t.Project = p
	d.members("project", func(name string) {
		switch name {
		case "id":
			p.ID = d.text("project.id")
		case "name":
			p.Name = d.text("project.name")
		case "domain":
			d.domain("project.domain", &p.Domain)
		default:
			d.skip()
		}
	})
	d.want(p.ID, "project.id")
}

func (d *decoder) domain(what string, into *keystone.Domain) {
	d.members(what, func(name string) {
		switch name {
		case "id":
			into.ID = d.text(what + ".id")
		case "name":
			into.Name = d.text(what + ".name")
		default:
			d.skip()
		}
	})
}

func (d *decoder) roles() {
	d.t.Roles = make([]keystone.Role, 0, 4)
	d.elements("roles", func() {
		var role keystone.Role
		if d.peek() != '{' {
			d.wrong("a role is not an object")
		}
		d.object(func(name string) {
			switch name {
			case "id":
				role.ID = d.text("role.id")
			case "name":
				role.Name = d.text("role.name")
			default:
				d.skip()
			}
		})
		d.want(role.Name, "role.name")
		d.t.Roles = append(d.t.Roles, role)
	})
}

func (d *decoder) catalog() {
	if !d.null() {
		d.t.Catalog = d.keptOrRead()
	}
}

// readCatalog reads a v3 catalog. Entries that are not of that shape are passed over: OpenStack's own tokens have carried v2
// catalogs in v3 bodies, and a service that nobody can find is no reason to refuse a user.
func (d *decoder) readCatalog() keystone.Catalog {
	catalog := make(keystone.Catalog, 0, 8)
	d.elements("catalog", func() {
		if d.peek() != '{' {
			d.skip()
			return
		}
		var s keystone.Service
		d.object(func(name string) {
			switch name {
			case "id":
				s.ID = d.loose()
			case "type":
				s.Type = d.loose()
			case "name":
				s.Name = d.loose()
			case "endpoints":
				if d.peek() != '[' {
					d.skip()
					return
				}
				s.Endpoints = make([]keystone.Endpoint, 0, 3)
				d.array(func() { d.endpoint(&s) })
			default:
				d.skip()
			}
		})
		if s.Type != "" {
			catalog = append(catalog, s)
		}
	})
	return catalog
}

func (d *decoder) endpoint(s *keystone.Service) {
	if d.peek() != '{' {
		d.skip()
		return
	}
	var e keystone.Endpoint
	d.object(func(name string) {
		switch name {
		case "id":
			e.ID = d.loose()
		case "interface":
			e.Interface = d.loose()
		case "region":
			e.Region = d.loose()
		case "region_id":
			e.RegionID = d.loose()
		case "url":
			e.URL = d.loose()
		default:
			d.skip()
		}
	})
	if e.Interface != "" && e.URL != "" {
		s.Endpoints = append(s.Endpoints, e)
	}
}

// loose takes a string, or passes over anything else.
func (d *decoder) loose() string {
	if d.peek() == '"' {
		return d.str()
	}
	d.skip()
	return ""
}

// expiry takes the time at which a token ends. It must name its offset: read without one, it could mean another instant to
// another verifier. No Keystone has been seen to leave it out here.
func (d *decoder) expiry(what string) time.Time {
	text := d.text(what)
	if d.err != nil || text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || strings.ContainsRune(text, ',') {
		d.wrong("%s is not an RFC 3339 time with offset", what)
	}
	return at.UTC()
}

// instant takes a time that decides nothing; v2 bodies write issued_at without offset and mean UTC.
func (d *decoder) instant(what string) time.Time {
	text := d.text(what)
	if d.err != nil || text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	if err != nil {
		d.wrong("%s is not a time", what)
	}
	return at.UTC()
}
