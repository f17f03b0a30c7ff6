package cmd

import (
	"slices"
	"strings"
)

// optionSets are the options that both sides get. Where a side's own default is the point, options leave it alone.
var optionSets = []struct {
	name    string
	options map[string]string
	flags   []string // of authproxy alone
}{
	{"defaults", nil, latin1},
	{"roles required", map[string]string{"service_token_roles_required": "true", "service_token_roles": "service, other"}, latin1},
	{"delay", map[string]string{"service_token_roles_required": "true", "delay_auth_decision": "true", "service_type": "image"}, latin1},
	{"cache", map[string]string{"service_token_roles_required": "true", "token_cache_time": "300"}, latin1},
	{"no catalog", map[string]string{"service_token_roles_required": "true", "include_service_catalog": "false"}, latin1},
	{"service type", map[string]string{"service_token_roles_required": "true", "service_type": "image"}, latin1},
	{"bind disabled", map[string]string{"service_token_roles_required": "true", "enforce_token_bind": "disabled"}, latin1},
	{"bind strict", map[string]string{"service_token_roles_required": "true", "enforce_token_bind": "strict"}, latin1},
	{"bind required", map[string]string{"service_token_roles_required": "true", "enforce_token_bind": "required"}, latin1},
	{"bind kerberos", map[string]string{"service_token_roles_required": "true", "enforce_token_bind": "kerberos"}, latin1},
	{"UTF-8", map[string]string{"service_token_roles_required": "true"}, nil},
}

// latin1 lets names arrive as auth_token puts them into the WSGI environment.
var latin1 = []string{"--header-encoding", "iso-8859-1"}

const (
	userPart    = `"user":{"id":"u1","name":"alice","domain":{"id":"d1","name":"Corp"}}`
	projectPart = `"project":{"id":"p1","name":"demo","domain":{"id":"d2","name":"Lab"}}`
	rolesPart   = `"roles":[{"id":"r1","name":"member"},{"id":"r2","name":"reader"}]`
	auditPart   = `"audit_ids":["AAAAAAAAAAAAAAAAAAAAAA"]`
	inProject   = userPart + "," + projectPart + "," + rolesPart + "," + auditPart
	novaPart    = `"user":{"id":"s1","name":"nova","domain":{"id":"default","name":"Default"}},"audit_ids":["BBBBBBBBBBBBBBBBBBBBBB"]`
	novaProject = novaPart + `,"project":{"id":"p9","name":"service","domain":{"id":"default","name":"Default"}}`
	novaRoles   = `,"roles":[{"id":"r9","name":"service"}]`
	v3Catalog   = `[{"id":"s1","type":"image","name":"glance","endpoints":[
		{"id":"e1","interface":"public","region":"R1","region_id":"R1","url":"http://image.example.org"},
		{"id":"e2","interface":"INTERNAL","region":"R1","region_id":"R1","url":"http://10.0.0.1/é"},
		{"id":"e3","interface":"public","region":"R2","region_id":"R2","url":"http://image2.example.org"}]},
		{"id":"s2","type":"compute","endpoints":[]}]`
	imageRules = `,"application_credential":{"id":"c1","name":"c","restricted":true,"access_rules":[
		{"id":"1","service":"image","method":"GET","path":"/v2/images"},{"id":"2","service":"image","method":"GET","path":"/v2/*/{id}/file"},
		{"id":"3","service":"image","method":"POST","path":"/v2/x.y"}]}`
)

func bound(bind string) inventedToken {
	return inventedToken{body: inProject + `,"bind":{` + bind + `}`}
}

func named(user, role string) inventedToken {
	return inventedToken{body: `"user":{"id":"u1","name":"` + user + `","domain":{"id":"d1","name":"Corp"}},` + projectPart + `,"roles":[{"id":"r1","name":"` + role + `"}],` + auditPart}
}

func v2(body string) inventedToken {
	return inventedToken{body: `{"access":{"token":{"id":"x","expires":"EXPIRES","issued_at":"2026-01-01T00:00:00Z"` + body + `}}`}
}

// invented are the tokens that keystone-all does not issue, or not this easily. Names have at most 16 characters.
var invented = map[string]inventedToken{
	"catalog":         {body: inProject, catalog: v3Catalog},
	"no roles":        {body: userPart + "," + projectPart + `,"roles":[],` + auditPart},
	"system":          {body: userPart + `,"system":{"all":true},"roles":[{"id":"r","name":"admin"}],` + auditPart},
	"domain scope":    {body: userPart + `,"domain":{"id":"d3","name":"Physics"},` + rolesPart + "," + auditPart},
	"trust":           {body: inProject + `,"OS-TRUST:trust":{"id":"t1","impersonation":true,"trustor_user":{"id":"u1"},"trustee_user":{"id":"u2"}}`},
	"oauth1":          {body: inProject + `,"OS-OAUTH1":{"access_token_id":"a","consumer_id":"c"}`},
	"federated":       {body: `"user":{"id":"f1","name":"carol@idp","domain":{"id":"Federated","name":"Federated"},"OS-FEDERATION":{"groups":[{"id":"g"}],"identity_provider":{"id":"i"},"protocol":{"id":"saml2"}}},` + projectPart + "," + rolesPart},
	"fed no domain":   {body: `"user":{"id":"f1","name":"carol@idp","OS-FEDERATION":{"groups":[],"identity_provider":{"id":"i"},"protocol":{"id":"saml2"}}},` + rolesPart},
	"no user domain":  {body: `"user":{"id":"u1","name":"alice"},` + projectPart + "," + rolesPart},
	"admin project":   {body: inProject + `,"is_admin_project":true`},
	"no admin proj":   {body: inProject + `,"is_admin_project":false`},
	"is domain":       {body: inProject + `,"is_domain":true`},
	"app cred":        {body: inProject + `,"application_credential":{"id":"c1","name":"c","restricted":false}`, catalog: v3Catalog},
	"rules":           {body: inProject + imageRules, catalog: v3Catalog},
	"rules, no cat":   {body: inProject + imageRules},
	"rules elsewhere": {body: inProject + imageRules, catalog: `[{"type":"compute","name":"nova","endpoints":[]}]`},
	"no rules":        {body: inProject + `,"application_credential":{"id":"c1","name":"c","access_rules":[]}`, catalog: v3Catalog},
	"v2":              v2(`,"tenant":{"id":"p1","name":"demo","enabled":true}},"user":{"id":"u1","name":"alice","roles":[{"name":"member"}]},"serviceCatalog":[{"type":"image","name":"glance","endpoints":[{"region":"R1","publicURL":"http://i","id":"x"}]}]`),
	"v2 unscoped":     v2(`},"user":{"id":"u1","name":"alice","roles":[]}`),
	"v2 old":          v2(`},"user":{"id":"u1","username":"alice","roles":[{"name":"member"}],"tenantId":"p1","tenantName":"demo"}`),
	"v2 older":        v2(`,"tenantId":"p1"},"user":{"id":"u1","name":"alice","username":"al","roles":[{"name":"member"}]}`),

	"krb":            bound(`"kerberos":"alice"`),
	"krb+other":      bound(`"kerberos":"alice","other":"x"`),
	"bound to other": bound(`"other":"x"`),
	"bound to cert":  bound(`"x509":"3q2-7w"`),
	"bound to none":  {body: inProject + `,"bind":{}`},

	"latin 1":       named("Zoë", "rôle"),
	"not latin 1":   named("日本", "member"),
	"comma":         named("alice", "member,admin"),
	"two lines":     named(`alice\r\nX-Roles: admin`, "member"),
	"blank at end":  named("alice", "admin "),
	"nul":           named(`a\u0000b`, "member"),
	"cat no iface":  {body: inProject, catalog: `[{"type":"image","name":"glance","endpoints":[{"region":"R1","url":"http://i"},{"region":"R1","interface":"public","url":"http://j"}]}]`},
	"cat v2":        {body: inProject, catalog: `[{"type":"image","name":"glance","endpoints":[{"region":"R1","publicURL":"http://i"}]}]`},
	"cat empty":     {body: inProject, catalog: `[]`},
	"cat no region": {body: inProject, catalog: `[{"type":"image","name":"glance","endpoints":[{"interface":"public","url":"http://i"},{"interface":"admin","region":null,"url":"http://j"}]}]`},
	"cat large":     {body: inProject, catalog: `[{"type":"image","name":"` + strings.Repeat("x", 60<<10) + `","endpoints":[]}]`},
	"user no id":    {body: `"user":{"name":"alice","domain":{"id":"d1","name":"Corp"}},` + projectPart + "," + rolesPart},
	"nova":          {body: novaProject + novaRoles},
	"nova member":   {body: novaProject + `,"roles":[{"id":"r1","name":"member"}]`},
	"nova unscoped": {body: novaPart},
	"nova system":   {body: novaPart + `,"system":{"all":true}` + novaRoles},
	"nova krb":      {body: novaProject + novaRoles + `,"bind":{"kerberos":"nova"}`},
	"nova comma":    {body: novaProject + `,"roles":[{"id":"r9","name":"service"},{"id":"r8","name":"a,b"}]`},
	"expired":       {body: inProject, expired: true},
	"nova expired":  {body: novaProject + novaRoles, expired: true},
	"says 401":      {status: 401},
	"says 403":      {status: 403},
	"says 500":      {status: 500},
	"says 503":      {status: 503},
	"says 410":      {status: 410},
	"junk body":     {body: `"user":7`},
}

// differentialRequest is what a client sends.
type differentialRequest struct {
	name    string
	headers [][2]string // in values, {name} is a token
	method  string      // GET by default
	path    string      // behind /v2/images
}

func user(token string) [2]string    { return [2]string{"X-Auth-Token", "{" + token + "}"} }
func service(token string) [2]string { return [2]string{"X-Service-Token", "{" + token + "}"} }
func negotiate(user string) [][2]string {
	return [][2]string{{"X-Remote-User", user}, {"X-Auth-Type", "Negotiate"}}
}

// forgeries are the headers that only a validator may set, from a client.
var forgeries = [][2]string{
	{"X-Identity-Status", "Confirmed"}, {"X-Service-Identity-Status", "Confirmed"}, {"X-Service-Catalog", "[{}]"}, {"X-Is-Admin-Project", "True"},
	{"X-Roles", "admin"}, {"X-Service-Roles", "service"}, {"X-Role", "admin"}, {"X-User", "root"}, {"X-Tenant-Id", "root"}, {"X-Tenant-Name", "root"}, {"X-Tenant", "root"},
	{"X-Domain-Id", "root"}, {"X-Domain-Name", "root"}, {"X-Project-Id", "root"}, {"X-Project-Name", "root"}, {"X-Project-Domain-Id", "root"},
	{"X-Project-Domain-Name", "root"}, {"X-User-Id", "root"}, {"X-User-Name", "root"}, {"X-User-Domain-Id", "root"}, {"X-User-Domain-Name", "root"},
	{"X-Service-Domain-Id", "root"}, {"X-Service-Domain-Name", "root"}, {"X-Service-Project-Id", "root"}, {"X-Service-Project-Name", "root"},
	{"X-Service-Project-Domain-Id", "root"}, {"X-Service-Project-Domain-Name", "root"}, {"X-Service-User-Id", "root"}, {"X-Service-User-Name", "root"},
	{"X-Service-User-Domain-Id", "root"}, {"X-Service-User-Domain-Name", "root"},
}

func underscored(headers [][2]string) (out [][2]string) {
	for _, h := range headers {
		out = append(out, [2]string{strings.ReplaceAll(h[0], "-", "_"), h[1]})
	}
	return out
}

func with(headers [][2]string, more ...[2]string) [][2]string { return slices.Concat(headers, more) }

// requests are sent with every set of options.
var requests = slices.Concat(singleTokens(), []differentialRequest{
	{name: "no token"},
	{name: "no token, HEAD", method: "HEAD"},
	{name: "no token, OPTIONS", method: "OPTIONS"},
	{name: "no token, DELETE", method: "DELETE"},
	{name: "project, PUT", headers: [][2]string{user("project")}, method: "PUT"},
	{name: "empty token", headers: [][2]string{{"X-Auth-Token", ""}}},
	{name: "blank token", headers: [][2]string{{"X-Auth-Token", "  "}}},
	{name: "blanks around the token", headers: [][2]string{{"X-Auth-Token", " \t{project} "}}},
	{name: "garbage", headers: [][2]string{{"X-Auth-Token", "garbage"}}},
	{name: "garbage as PKI", headers: [][2]string{{"X-Auth-Token", "MIIgarbage"}}},
	{name: "garbage as PKIZ", headers: [][2]string{{"X-Auth-Token", "PKIZ_AAAA"}}},
	{name: "garbage as UUID", headers: [][2]string{{"X-Auth-Token", strings.Repeat("f", 32)}}},
	{name: "token with a blank", headers: [][2]string{{"X-Auth-Token", "a b"}}},
	{name: "storage token", headers: [][2]string{{"X-Storage-Token", "{project}"}}},
	{name: "storage token, bad", headers: [][2]string{{"X-Storage-Token", "garbage"}}},
	{name: "storage token behind an empty one", headers: [][2]string{{"X-Auth-Token", ""}, {"X-Storage-Token", "{project}"}}},
	{name: "storage token beside another", headers: [][2]string{user("catalog"), {"X-Storage-Token", "{project}"}}},
	{name: "good token behind a bad one", headers: [][2]string{{"X-Auth-Token", "garbage"}, {"X-Storage-Token", "{project}"}}},
	{name: "two tokens", headers: [][2]string{user("project"), user("catalog")}},
	{name: "two equal tokens", headers: [][2]string{user("project"), user("project")}},

	{name: "forgeries", headers: forgeries},
	{name: "forgeries, good token", headers: with(forgeries, user("catalog"))},
	{name: "forgeries, unscoped token", headers: with(forgeries, user("unscoped"))},
	{name: "forgeries, bad token", headers: with(forgeries, [2]string{"X-Auth-Token", "garbage"})},
	{name: "forgeries, service token", headers: with(forgeries, user("project"), service("nova"))},
	{name: "forgeries with _", headers: underscored(forgeries)},
	{name: "forgeries with _, good token", headers: with(underscored(forgeries), user("catalog"))},
	{name: "forged system scope", headers: [][2]string{{"OpenStack-System-Scope", "all"}}},
	{name: "forged system scope, good token", headers: [][2]string{{"OpenStack-System-Scope", "all"}, user("project")}},
	{name: "a token's look-alike", headers: [][2]string{{"X_Auth_Token", "{project}"}}},
	{name: "other headers of the family", headers: [][2]string{user("project"), {"X-Users", "root"}, {"X-Role-Extra", "admin"}}},
	{name: "empty identity headers", headers: [][2]string{user("unscoped"), {"X-Project-Id", ""}, {"X-Service-Catalog", ""}, {"X-User-Id", ""}}},

	{name: "service token", headers: [][2]string{user("project"), service("nova")}},
	{name: "real service token", headers: [][2]string{user("project"), service("service")}},
	{name: "service token without the role", headers: [][2]string{user("project"), service("nova member")}},
	{name: "service token, bad", headers: [][2]string{user("project"), {"X-Service-Token", "garbage"}}},
	{name: "service token, empty", headers: [][2]string{user("project"), {"X-Service-Token", ""}}},
	{name: "service token, unscoped", headers: [][2]string{user("project"), service("nova unscoped")}},
	{name: "service token, expired", headers: [][2]string{user("project"), service("nova expired")}},
	{name: "service token, comma in a role", headers: [][2]string{user("project"), service("nova comma")}},
	{name: "service token, undecided", headers: [][2]string{user("project"), service("says 503")}},
	{name: "service token alone", headers: [][2]string{service("nova")}},
	{name: "service token, bad user", headers: [][2]string{{"X-Auth-Token", "garbage"}, service("nova")}},
	{name: "service token, undecided user", headers: [][2]string{user("says 503"), service("nova")}},
	{name: "service token of the system, project user", headers: [][2]string{user("project"), service("nova system")}},
	{name: "service token, system user", headers: [][2]string{user("system"), service("nova")}},
	{name: "one token twice", headers: [][2]string{user("project"), service("project")}},
	{name: "one service token twice", headers: [][2]string{user("nova"), service("nova")}},
	{name: "two service tokens", headers: [][2]string{user("project"), service("nova"), service("service")}},
	{name: "expired, service token", headers: [][2]string{user("expired"), service("nova")}},
	{name: "expired, service token without the role", headers: [][2]string{user("expired"), service("nova member")}},
	{name: "expired, bad service token", headers: [][2]string{user("expired"), {"X-Service-Token", "garbage"}}},

	{name: "rules, allowed path", headers: [][2]string{user("rules")}},
	{name: "rules, allowed pattern", headers: [][2]string{user("rules")}, path: "/7/file"},
	{name: "rules, HEAD", headers: [][2]string{user("rules")}, method: "HEAD"},
	{name: "rules, another path", headers: [][2]string{user("rules")}, path: "/7"},
	{name: "rules, longer path", headers: [][2]string{user("rules")}, path: "/7/8/file"},
	{name: "rules, query", headers: [][2]string{user("rules")}, path: "?a=b"},
	{name: "rules, trailing line end", headers: [][2]string{user("rules")}, path: "%0A"},
	{name: "rules, junk service token", headers: [][2]string{user("rules"), {"X-Service-Token", "garbage"}}, path: "/7"},
	{name: "rules, service token", headers: [][2]string{user("rules"), service("nova")}, path: "/7"},
	{name: "rules, own token twice", headers: [][2]string{user("rules"), service("rules")}, path: "/7"},

	{name: "krb, right user", headers: with(negotiate("alice"), user("krb"))},
	{name: "krb, wrong user", headers: with(negotiate("bob"), user("krb"))},
	{name: "krb, user in another case", headers: with(negotiate("Alice"), user("krb"))},
	{name: "krb, lower case negotiate", headers: [][2]string{{"X-Remote-User", "alice"}, {"X-Auth-Type", "negotiate"}, user("krb")}},
	{name: "krb, Basic", headers: [][2]string{{"X-Remote-User", "alice"}, {"X-Auth-Type", "Basic"}, user("krb")}},
	{name: "krb+other, right user", headers: with(negotiate("alice"), user("krb+other"))},
	{name: "not bound, Negotiate", headers: with(negotiate("alice"), user("project"))},
	{name: "krb, junk service token", headers: [][2]string{user("krb"), {"X-Service-Token", "garbage"}}},
	{name: "krb, service token", headers: [][2]string{user("krb"), service("nova")}},
	{name: "krb, right user, service token", headers: with(negotiate("alice"), user("krb"), service("nova"))},
	{name: "bound service token", headers: [][2]string{user("project"), service("nova krb")}},
	{name: "bound service token, right user", headers: with(negotiate("nova"), user("project"), service("nova krb"))},

	{name: "401 of the application", headers: [][2]string{user("project")}, path: "?status=401"},
	{name: "401 of the application, no token", path: "?status=401"},
	{name: "401 with a challenge", headers: [][2]string{user("project")}, path: "?status=401&challenge=Basic+realm%3D%22x%22"},
	{name: "403 of the application", headers: [][2]string{user("project")}, path: "?status=403"},
	{name: "300 of the application", headers: [][2]string{user("project")}, path: "?status=300"},
})

// singleTokens sends each token alone.
func singleTokens() (list []differentialRequest) {
	names := []string{"project", "unscoped", "domain", "admin", "service", "revoked", "forged"}
	for _, name := range []string{"project", "unscoped", "domain", "admin", "service", "revoked"} {
		names = append(names, "opaque "+name)
	}
	for name := range invented {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, differentialRequest{name: "token " + name, headers: [][2]string{user(name)}})
	}
	return list
}

// difference is one that we want.
type difference struct {
	number   string // in the list of auth_token's weaknesses, or the section of its rules
	requests []string
	options  []string // nil: all
	what     string   // ours, not theirs
}

func (d difference) places() (all []string) {
	options := d.options
	if options == nil {
		for _, o := range optionSets {
			options = append(options, o.name)
		}
	}
	for _, r := range d.requests {
		for _, o := range options {
			all = append(all, r+" / "+o)
		}
	}
	return all
}

var (
	lax       = []string{"defaults", "roles required", "cache", "no catalog", "service type", "bind disabled", "bind strict", "UTF-8"} // neither a binding is required nor the decision left to the application
	permits   = []string{"defaults", "roles required", "cache", "no catalog", "service type", "UTF-8"}
	needsBind = []string{"bind required", "bind kerberos"}
	delay     = []string{"delay"}

	laxOrDelay  = append(slices.Clone(lax), "delay")
	withCatalog = []string{"defaults", "roles required", "cache", "service type", "bind disabled", "bind strict", "UTF-8", "delay"}
)

// deliberate is every difference that is wanted.
var deliberate = []difference{
	{"W-11", []string{"service token without the role", "service token, unscoped", "one token twice"}, []string{"defaults"}, "status 401, not 200"},
	{"W-11", []string{"one service token twice"}, lax, "status 401, not 200"},
	{"W-11", []string{"one service token twice"}, delay, `X_SERVICE_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-12", []string{"forged system scope"}, delay, `no OPENSTACK_SYSTEM_SCOPE, not "all"`},
	{"W-13", []string{"service token of the system, project user"}, laxOrDelay, `no OPENSTACK_SYSTEM_SCOPE, not "all"`},
	{"W-13", []string{"service token, system user"}, laxOrDelay, `OPENSTACK_SYSTEM_SCOPE "all", not absent`},
	{"W-14", []string{"a token's look-alike"}, lax, "status 401, not 200"},
	{"W-14", []string{"a token's look-alike"}, delay, `no X_AUTH_TOKEN, not "{project}"; X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-14", []string{"two tokens", "two equal tokens", "two service tokens"}, slices.Concat(lax, needsBind), "status 400, not 401"},
	{"W-14", []string{"two tokens", "two equal tokens", "two service tokens"}, delay, "status 400, not 200"},
	{"W-14", []string{"other headers of the family"}, laxOrDelay, `no X_ROLE_EXTRA, not "admin"; no X_USERS, not "root"`},
	{"W-15", []string{"krb, service token"}, []string{"defaults", "roles required", "cache", "no catalog", "service type", "bind strict", "UTF-8"}, "status 401, not 200"},
	{"W-15", []string{"bound service token, right user"}, needsBind, "status 401, not 200"},
	{"W-15", []string{"krb, service token", "krb, junk service token", "rules, junk service token"}, delay, `X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-11", []string{"rules, own token twice"}, delay, `X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-17", []string{"token rules, no cat"}, []string{"delay", "service type"}, "status 200, not 500"},
	{"W-17", []string{"token v2", "token v2 old", "token v2 older"}, laxOrDelay, "status 200, not 500"},
	{"W-17", []string{"token v2", "token v2 old", "token v2 older"}, needsBind, "status 401, not 500"},
	{"W-17", []string{"token v2 unscoped"}, slices.Concat(lax, needsBind), "status 401, not 500"},
	{"W-17", []string{"token v2 unscoped", "token junk body"}, delay, "status 200, not 500"},
	{"W-17", []string{"token junk body"}, lax, "status 503, not 500"},
	{"W-25", []string{"token revoked"}, []string{"cache"}, "status 401, not 200"},
	{"W-28", []string{"token comma", "token nova comma", "token two lines", "token nul", "token blank at end", "service token, comma in a role"}, lax, "status 401, not 200"},
	{"W-28", []string{"token comma", "token nova comma", "token two lines", "token nul", "token blank at end", "token not latin 1"}, delay, `X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-28", []string{"service token, comma in a role"}, delay, `X_SERVICE_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"W-28", []string{"token not latin 1"}, lax[:len(lax)-1], "status 401, not 200"}, // all but UTF-8
	{"W-31", []string{"token cat large"}, withCatalog, `no X_SERVICE_CATALOG, not "[{\"endpoints\":[],\"na"`},
	{"W-32", []string{"token cat no iface", "token cat v2"}, withCatalog, "status 200, not 500"},
	{"W-32", []string{"token no user domain"}, laxOrDelay, "status 200, not 500"},

	// Not of the list of weaknesses, but of the rules of the sections named.
	{"2.3: over HTTP, WSGI reads UTF-8 as ISO-8859-1", []string{"token latin 1"}, []string{"UTF-8"},
		`X_ROLE "rÃ´le", not "rôle"; X_ROLES "rÃ´le", not "rôle"; X_USER "ZoÃ«", not "Zoë"; X_USER_NAME "ZoÃ«", not "Zoë"`},
	{"2.3: over HTTP, WSGI reads UTF-8 as ISO-8859-1", []string{"token not latin 1"}, []string{"UTF-8"},
		`X_USER "æ\u0097¥æ\u009c¬", not "日本"; X_USER_NAME "æ\u0097¥æ\u009c¬", not "日本"`},
	{"2.4: what is known to be bad is a 401 beside what is not known", []string{"service token, undecided", "service token, undecided user"}, needsBind, "status 401, not 503"},
	{"2.12: a certificate that a token is bound to must be there in permissive mode too", []string{"token bound to cert"}, permits, "status 401, not 200"},
	{"2.12: a certificate that a token is bound to must be there in permissive mode too", []string{"token bound to cert"}, delay, `X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"3: an answer that is no token says nothing", []string{"token user no id"}, lax, "status 503, not 200"},
	{"3: an answer that is no token says nothing", []string{"token user no id"}, delay, `X_IDENTITY_STATUS "Invalid", not "Confirmed"`},
	{"3: an answer that is no token says nothing", []string{"token user no id", "token junk body"}, needsBind, "status 503, not 401"},
}
