// Package headers holds the one table of identity headers: what is set for a token, and what is never let in from a client.
//
// The services behind the proxy believe these headers, so the two halves live side by side: a name that Set writes is a
// name that is Reserved. The set is that of the auth_token middleware (Identity API, "Headers" of the middleware
// architecture); where a rule goes further, its comment says so.
package headers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"authproxy/keystone"
)

// The headers that carry tokens. They are passed on as they came, in this one spelling only.
const (
	AuthToken    = "X-Auth-Token"
	ServiceToken = "X-Service-Token"
	StorageToken = "X-Storage-Token" // Swift's old name of X-Auth-Token
)

const (
	status        = "X-Identity-Status"
	serviceStatus = "X-Service-Identity-Status"
)

// Reasons why a good token cannot be turned into headers. The caller refuses the request with a reason code for each.
var (
	// ErrUnsafe: a value would not arrive as it was signed (control characters, a comma in a role's name, blanks at an end, a
	// character that the encoding does not have).
	ErrUnsafe = errors.New("identity cannot be carried in a header")
	// ErrNoProject: a v2 token without a project, which auth_token has always refused.
	ErrNoProject = errors.New("v2 token has no project")
)

// A row of the table: the header set for the user token, the one set for the service token ("" where there is none)
// and where the value comes from. A value of "" means that the header is left out, but for rows marked empty.
type row struct {
	user, service string
	what          string // for error messages
	value         func(*keystone.Token) string
	// empty rows are sent with an empty value. Only the role lists are: a confirmed token without roles has the header,
	// with nothing in it, so that "no roles" and "nobody looked" stay apart (auth_token does the same). What is never
	// sent empty is the header of an identity that is not there.
	empty bool
}

var table = []row{
	{user: status, service: serviceStatus, what: "status", value: func(*keystone.Token) string { return "Confirmed" }},
	{user: "X-Roles", service: "X-Service-Roles", what: "role names", value: roleNames, empty: true},
	{user: "X-User-Id", service: "X-Service-User-Id", what: "user id", value: func(t *keystone.Token) string { return t.User.ID }},
	{user: "X-User-Name", service: "X-Service-User-Name", what: "user name", value: userName},
	{user: "X-User-Domain-Id", service: "X-Service-User-Domain-Id", what: "user's domain id",
		value: func(t *keystone.Token) string { return t.User.Domain.ID }},
	{user: "X-User-Domain-Name", service: "X-Service-User-Domain-Name", what: "user's domain name",
		value: func(t *keystone.Token) string { return t.User.Domain.Name }},
	{user: "X-Project-Id", service: "X-Service-Project-Id", what: "project id", value: projectID},
	{user: "X-Project-Name", service: "X-Service-Project-Name", what: "project name", value: projectName},
	{user: "X-Project-Domain-Id", service: "X-Service-Project-Domain-Id", what: "project's domain id",
		value: func(t *keystone.Token) string { return projectDomain(t).ID }},
	{user: "X-Project-Domain-Name", service: "X-Service-Project-Domain-Name", what: "project's domain name",
		value: func(t *keystone.Token) string { return projectDomain(t).Name }},
	{user: "X-Domain-Id", service: "X-Service-Domain-Id", what: "domain id",
		value: func(t *keystone.Token) string { return domain(t).ID }},
	{user: "X-Domain-Name", service: "X-Service-Domain-Name", what: "domain name",
		value: func(t *keystone.Token) string { return domain(t).Name }},

	// From the user token only. System scope too: a service token must not lend its scope to the user.
	{user: "X-Is-Admin-Project", what: "is_admin_project", value: isAdminProject},
	{user: "Openstack-System-Scope", what: "system scope", value: systemScope},
	{user: "X-Service-Catalog", what: "catalog"}, // made by catalog.go

	// Names of the first releases that services still fall back to.
	{user: "X-Role", what: "role names", value: roleNames, empty: true},
	{user: "X-User", what: "user name", value: userName},
	{user: "X-Tenant-Id", what: "project id", value: projectID},
	{user: "X-Tenant-Name", what: "project name", value: projectName},
	{user: "X-Tenant", what: "project name", value: projectName},
}

func userName(t *keystone.Token) string { return t.User.Name }

func projectID(t *keystone.Token) string {
	if t.Project == nil {
		return ""
	}
	return t.Project.ID
}

func projectName(t *keystone.Token) string {
	if t.Project == nil {
		return ""
	}
	return t.Project.Name
}

func projectDomain(t *keystone.Token) keystone.Domain {
	if t.Project == nil {
		return keystone.Domain{}
	}
	return t.Project.Domain
}

func domain(t *keystone.Token) keystone.Domain {
	if t.Domain == nil {
		return keystone.Domain{}
	}
	return *t.Domain
}

// isAdminProject is "True" where the token does not say: services read an absent header that way, and clouds without an
// admin project rely on it.
func isAdminProject(t *keystone.Token) string {
	if t.IsAdminProject != nil && !*t.IsAdminProject {
		return "False"
	}
	return "True"
}

func systemScope(t *keystone.Token) string {
	if t.System {
		return "all"
	}
	return ""
}

func roleNames(t *keystone.Token) string {
	if len(t.Roles) == 1 {
		return t.Roles[0].Name
	}
	var names strings.Builder
	for i, r := range t.Roles {
		if i > 0 {
			names.WriteByte(',')
		}
		names.WriteString(r.Name)
	}
	return names.String()
}

// Options say what goes into the headers of a user token.
type Options struct {
	// OmitCatalog leaves X-Service-Catalog out (include_service_catalog = false).
	OmitCatalog bool
	// MaxCatalog is the largest X-Service-Catalog to send, in bytes; a larger one is left out. 0 means no limit.
	MaxCatalog int
	// Encoding is how characters outside ASCII are written; UTF8 by default.
	Encoding Encoding
}

// Encoding is a character encoding of header values. HTTP itself knows none: it is up to the upstream what it reads.
type Encoding int

const (
	// UTF8 carries every name. WSGI servers show an application its bytes as if they were ISO-8859-1: "Zoë" as "ZoÃ«".
	UTF8 Encoding = iota
	// Latin1 is ISO-8859-1: to a WSGI application names look as they do with auth_token in its own pipeline. A token with a
	// character above U+00FF in a name is refused.
	Latin1
)

// ParseEncoding reads "utf-8" or "iso-8859-1", in any case.
func ParseEncoding(name string) (Encoding, error) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8":
		return UTF8, nil
	case "iso-8859-1", "latin-1", "latin1":
		return Latin1, nil
	}
	return 0, fmt.Errorf("%q is no encoding of headers; write utf-8 or iso-8859-1", name)
}

// append writes a value, or refuses it: see checkValue.
func (e Encoding) append(b []byte, what, v string) ([]byte, error) {
	if isPrintable(v) && (v == "" || v[0] != ' ' && v[len(v)-1] != ' ') {
		return append(b, v...), nil
	}
	if err := checkValue(what, v); err != nil {
		return nil, err
	}
	if e == UTF8 {
		return append(b, v...), nil
	}
	for _, c := range v {
		if c > 0xFF {
			return nil, fmt.Errorf("%w: %s has %U, which ISO-8859-1 does not", ErrUnsafe, what, c)
		}
		b = append(b, byte(c))
	}
	return b, nil
}

// isPrintable says whether v is of printable ASCII characters alone, of which every encoding here makes the same bytes.
func isPrintable(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}

// Identity is the header block of one token, made once and shared by all requests that bring the token: read-only.
type Identity struct {
	text    string // lines "Name: value", each ended by CRLF
	lines   int
	catalog CatalogReport
}

// Prepare makes the header block of a user token. Errors wrap ErrUnsafe or ErrNoProject.
func Prepare(t *keystone.Token, o Options) (*Identity, error) { return prepare(t, o, false) }

// PrepareService makes that of a service token.
func PrepareService(t *keystone.Token, o Options) (*Identity, error) { return prepare(t, o, true) }

// drafts are the buffers in which blocks are written before it is known how long they are.
var drafts = sync.Pool{New: func() any { return new([]byte) }}

// maxDraft is the largest buffer to keep, in bytes: few catalogs are longer.
const maxDraft = 64 << 10

func prepare(t *keystone.Token, o Options, service bool) (*Identity, error) {
	if t.Version == 2 && t.Project == nil {
		return nil, ErrNoProject
	}
	if err := checkRoles(t.Roles); err != nil {
		return nil, err
	}
	draft := drafts.Get().(*[]byte)
	b := (*draft)[:0]
	defer func() {
		if cap(b) <= maxDraft {
			*draft = b
			drafts.Put(draft)
		}
	}()
	id := &Identity{}
	for i := range table {
		r := &table[i]
		name := r.user
		if service {
			name = r.service
		}
		if name == "" || r.value == nil && o.OmitCatalog {
			continue
		}
		line := len(b)
		b = append(append(b, name...), ": "...)
		from := len(b)
		var err error
		if r.value == nil {
			b, id.catalog = appendCatalog(b, t, o.MaxCatalog)
		} else if b, err = o.Encoding.append(b, r.what, r.value(t)); err != nil {
			return nil, err
		}
		if len(b) == from && !r.empty {
			b = b[:line]
			continue
		}
		b = append(b, "\r\n"...)
		id.lines++
	}
	id.text = string(b)
	return id, nil
}

// Set writes the headers of a confirmed token. It does not remove what it has no value for.
func (id *Identity) Set(h http.Header) {
	values := make([]string, id.lines)
	text := id.text
	for i := range values {
		var line, name string
		line, text, _ = strings.Cut(text, "\r\n")
		name, values[i], _ = strings.Cut(line, ": ")
		h[name] = values[i : i+1 : i+1]
	}
}

// Append appends what Set sets to the head of a request, and says how many lines that are.
func (id *Identity) Append(head []byte) ([]byte, int) { return append(head, id.text...), id.lines }

// Catalog says what became of the token's service catalog.
func (id *Identity) Catalog() CatalogReport { return id.catalog }

var invalid = []string{"Invalid"}

// SetInvalid marks a request that brought no user token that holds.
func SetInvalid(h http.Header) { h[status] = invalid }

// SetServiceInvalid marks a request whose service token does not hold.
func SetServiceInvalid(h http.Header) { h[serviceStatus] = invalid }

// AppendInvalid appends what SetInvalid sets to the head of a request, and says how many lines that are.
func AppendInvalid(head []byte) ([]byte, int) { return append(head, status+": Invalid\r\n"...), 1 }

// AppendServiceInvalid does so for SetServiceInvalid.
func AppendServiceInvalid(head []byte) ([]byte, int) {
	return append(head, serviceStatus+": Invalid\r\n"...), 1
}

// checkRoles refuses role names that a comma-separated list cannot carry: at the other end "member,admin" is two roles.
func checkRoles(roles []keystone.Role) error {
	for _, r := range roles {
		switch {
		case r.Name == "":
			return fmt.Errorf("%w: a role without a name", ErrUnsafe)
		case strings.Contains(r.Name, ","):
			return fmt.Errorf("%w: a role name has a comma", ErrUnsafe)
		}
		if err := checkValue("role name", r.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkValue refuses what would not arrive as it left: line ends and other control characters (C0, DEL, C1), broken
// UTF-8, and blanks at either end, which HTTP parsers take away ("admin " would arrive as "admin").
func checkValue(what, v string) error {
	if !utf8.ValidString(v) {
		return fmt.Errorf("%w: %s is not UTF-8", ErrUnsafe, what)
	}
	for _, c := range v {
		if unicode.IsControl(c) {
			return fmt.Errorf("%w: %s has control character %U", ErrUnsafe, what, c)
		}
	}
	if strings.TrimSpace(v) != v {
		return fmt.Errorf("%w: %s begins or ends with a blank", ErrUnsafe, what)
	}
	return nil
}
