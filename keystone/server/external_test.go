package server_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/peer"
	"authproxy/keystone/server"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
	"authproxy/validate/bind"
)

// behindFront is a cloud with a front end on this machine that says who users are.
func behindFront(t *testing.T, bound ...string) *cloud {
	t.Helper()
	c := newCloud(t, "uuid", "[auth]", "methods = external,kerberos,password,token", "trusted_peers = 127.0.0.1")
	c.parts.Server.Tokens.Bind = bound
	c.front("127.0.0.1/32")
	return c
}

// front makes the server believe what comes from a network.
func (c *cloud) front(network string) {
	c.parts.Server.Peers = &peer.Identifier{
		Fronts:     peer.Fronts{Networks: []netip.Prefix{netip.MustParsePrefix(network)}},
		UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type", Realms: bind.Realms{"EXAMPLE.ORG": ""},
	}
}

func byMethods(scope any, methods ...string) obj {
	identity := obj{"methods": methods}
	for _, name := range methods {
		identity[name] = obj{}
	}
	auth := obj{"identity": identity}
	if scope != nil {
		auth["scope"] = scope
	}
	return obj{"auth": auth}
}

var alice = []string{"X-Remote-User", "alice", "X-Auth-Type", "Negotiate"}

func methodsOf(a *answer) string {
	text := ""
	for _, m := range a.at("token", "methods").([]any) {
		text += m.(string) + " "
	}
	return strings.TrimSpace(text)
}

func TestExternal(t *testing.T) {
	c := behindFront(t)
	_, projectID, _ := c.newUser("alice", "pw")
	scope := obj{"project": obj{"id": projectID}}
	login := func(body obj, headers ...string) *answer {
		return c.do("POST", "/v3/auth/tokens", "", body, headers...)
	}

	a := login(byMethods(scope, "external"), alice...).want(201)
	if a.str("token", "user", "name") != "alice" || methodsOf(a) != "external" || a.at("token", "bind") != nil {
		t.Errorf("external: %s", a.text)
	}
	if a := login(byMethods(nil, "kerberos"), "X-Remote-User", "alice@EXAMPLE.ORG", "X-Auth-Type", "negotiate").want(201); a.str("token", "user", "name") != "alice" {
		t.Errorf("kerberos: %s", a.text)
	}
	// Where somebody is named, nobody else can log in, in any way.
	if a := login(byPassword("alice", "pw", nil), alice...).want(201); methodsOf(a) != "external password" {
		t.Errorf("password beside: %s", a.text)
	}
	login(byPassword("admin", adminPassword, nil), alice...).want(401, denied)
	login(byToken(c.adminToken(), nil), alice...).want(401, denied)
	both := byPassword("admin", adminPassword, nil)
	both["auth"].(obj)["identity"].(obj)["methods"] = []string{"password", "external"}
	both["auth"].(obj)["identity"].(obj)["external"] = obj{}
	login(both, alice...).want(401, denied)
	login(byPassword("alice", "wrong", nil), alice...).want(401, denied)

	login(byMethods(nil, "external")).want(401, denied)
	login(byMethods(nil, "external"), "X-Remote-User", "").want(401, denied)
	login(byMethods(nil, "external"), "X-Remote-User", "nobody").want(401, denied)
	login(byMethods(nil, "external"), "X-Remote-User", "alice@OTHER.ORG", "X-Auth-Type", "Negotiate").want(401, denied)
	login(byMethods(nil, "kerberos"), "X-Remote-User", "alice", "X-Auth-Type", "Basic").want(401, denied)
	login(byMethods(nil, "kerberos"), "X-Remote-User", "alice").want(401, denied)

	// v2.0
	v2 := c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"tenantId": projectID}}, alice...).want(200)
	if v2.str("access", "user", "name") != "alice" {
		t.Errorf("v2.0: %s", v2.text)
	}
	c.do("POST", "/v2.0/tokens", "", passwordV2("admin", adminPassword), alice...).want(401)

	// From elsewhere the headers are nothing.
	c.front("192.0.2.0/24")
	login(byMethods(nil, "external"), alice...).want(401, denied)
	if a := login(byPassword("admin", adminPassword, nil), alice...).want(201); methodsOf(a) != "password" {
		t.Errorf("from a stranger: %s", a.text)
	}
	c.parts.Server.Peers = nil
	login(byMethods(nil, "external"), alice...).want(401, denied)
	login(byMethods(nil, "external"), "REMOTE_USER", "alice", "Remote-User", "alice").want(401, denied)
}

// TestRemoteDomain: the front end says of which domain a user is, where that is asked of it, and nobody else does.
func TestRemoteDomain(t *testing.T) {
	const class = "keystone.auth.plugins.external."
	for _, tt := range []struct {
		class, domain, authType string
		external, kerberos      string // the domain of the user that is logged in, "" for 401
	}{
		{class + "DefaultDomain", "two", "Negotiate", "Default", "Default"},
		{"Domain", "two", "Negotiate", "two", "two"},
		{class + "Domain", "two", "Basic", "two", ""},
		{class + "Domain", "", "Basic", "Default", ""},
		{class + "Domain", "three", "Negotiate", "", ""},  // there is none
		{class + "Domain", "empty", "Negotiate", "", ""},  // no alice in it
		{class + "Domain", "closed", "Negotiate", "", ""}, // disabled
		{class + "KerberosDomain", "two", "Negotiate", "two", "two"},
		{class + "KerberosDomain", "two", "Basic", "", ""},
		{class + "KerberosDomain", "two", "", "", ""},
		{class + "KerberosDomain", "", "Negotiate", "Default", "Default"},
	} {
		t.Run(tt.class+" "+tt.domain+" "+tt.authType, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, "uuid", "[auth]", "methods = external,kerberos,password,token", "trusted_peers = 127.0.0.1", "external = "+tt.class)
			c.front("127.0.0.1/32")
			c.parts.Server.Peers.(*peer.Identifier).DomainHeader = "X-Remote-Domain"
			admin := c.adminToken()
			c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "alice"}}).want(201)
			for _, name := range []string{"two", "empty", "closed"} {
				id := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": name, "enabled": name != "closed"}}).want(201).str("domain", "id")
				if name != "empty" {
					c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "alice", "domain_id": id}}).want(201)
				}
			}
			said := []string{"X-Remote-User", "alice"}
			for name, value := range map[string]string{"X-Remote-Domain": tt.domain, "X-Auth-Type": tt.authType} {
				if value != "" {
					said = append(said, name, value)
				}
			}
			for method, want := range map[string]string{"external": tt.external, "kerberos": tt.kerberos} {
				a := c.do("POST", "/v3/auth/tokens", "", byMethods(nil, method), said...)
				if want == "" {
					a.want(401, denied)
				} else if got := a.want(201).str("token", "user", "domain", "name"); got != want {
					t.Errorf("%s: alice of domain %s, want %s", method, got, want)
				}
			}
			// Where the class has nothing to say of a user, the others decide.
			if a := c.do("POST", "/v3/auth/tokens", "", byPassword("admin", adminPassword, nil), said...); (a.status == 201) != (tt.class == class+"KerberosDomain" && tt.authType != "Negotiate") {
				t.Errorf("password of another one beside: %d", a.status)
			}
			c.front("192.0.2.0/24")
			c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "external"), said...).want(401, denied)
		})
	}
}

func TestExternalIsNotImplied(t *testing.T) {
	c := behindFront(t)
	c.parts.Server.Tokens.Methods = []string{"password", "kerberos"}
	c.newUser("alice", "pw")
	a := c.do("POST", "/v3/auth/tokens", "", byPassword("admin", adminPassword, nil), alice...).want(201)
	if methodsOf(a) != "password" {
		t.Errorf("%s", a.text)
	}
	c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "external"), alice...).want(401, "Attempted to authenticate with an unsupported method.")
}

// TestBoundTokens: what a token is bound to follows it through every rescoping and is asked for at every use.
func TestBoundTokens(t *testing.T) {
	c := behindFront(t, "kerberos")
	_, projectID, _ := c.newUser("alice", "pw")
	admin := c.adminToken()
	first := c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "kerberos"), alice...).want(201)
	if first.str("token", "bind", "kerberos") != "alice" {
		t.Fatalf("%s", first.text)
	}
	use := func(token string, headers ...string) int {
		return c.do("GET", "/v3/auth/projects", token, nil, headers...).status
	}
	rescope := byToken(first.token(), obj{"project": obj{"id": projectID}})
	c.do("POST", "/v3/auth/tokens", "", rescope).want(401, denied)
	second := c.do("POST", "/v3/auth/tokens", "", rescope, alice...).want(201)
	third := c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": second.token()}}}, alice...).want(200)
	if third.str("access", "token", "bind", "kerberos") != "alice" {
		t.Errorf("by v2.0: %s", third.text)
	}
	for what, token := range map[string]string{"first": first.token(), "rescoped": second.token(), "by v2.0": third.str("access", "token", "id")} {
		if got := use(token, alice...); got != 200 {
			t.Errorf("%s by alice: %d", what, got)
		}
		for thief, headers := range map[string][]string{
			"nobody": nil, "bob": {"X-Remote-User", "bob", "X-Auth-Type", "Negotiate"}, "by password": {"X-Remote-User", "alice", "X-Auth-Type", "Basic"},
		} {
			if got := use(token, headers...); got != 401 {
				t.Errorf("%s by %s: %d", what, thief, got)
			}
		}
		// Who validates it need not be alice.
		if bound := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", token).want(200).str("token", "bind", "kerberos"); bound != "alice" {
			t.Errorf("%s is bound to %s", what, bound)
		}
	}
	if use(c.login("alice", "pw", nil).token()) != 200 {
		t.Error("a token by password is refused")
	}
	for text, want := range map[string][2]int{"disabled": {200, 200}, "permissive": {401, 200}, "strict": {401, 200}, "required": {401, 401}, "kerberos": {401, 401}} {
		mode, err := bind.ParseMode(text)
		if err != nil {
			t.Fatal(err)
		}
		c.parts.Server.Tokens.BindMode = mode
		free := c.login("alice", "pw", nil).token()
		if got := [2]int{use(first.token()), use(free)}; got != want {
			t.Errorf("%s: bound %d, free %d; want %v", text, got[0], got[1], want)
		}
	}
	// Even where nothing is asked of it, a derived token is bound as the first one was.
	c.parts.Server.Tokens.BindMode = bind.Disabled
	if a := c.do("POST", "/v3/auth/tokens", "", rescope, "X-Remote-User", "alice").want(201); a.str("token", "bind", "kerberos") != "alice" {
		t.Errorf("rescoped: %s", a.text)
	}
}

func TestNegotiateChallenge(t *testing.T) {
	c := behindFront(t, "kerberos")
	c.newUser("alice", "pw")
	token := c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "kerberos"), alice...).want(201).token()
	for _, on := range []bool{true, false} {
		c.parts.Server.Negotiate = on
		for what, a := range map[string]*answer{
			"kerberos": c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "kerberos")),
			"external": c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "external")),
			"v2.0":     c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{}}),
			"bound":    c.do("GET", "/v3/auth/projects", token, nil),
		} {
			got := a.want(401).header.Values("WWW-Authenticate")
			if !strings.HasPrefix(got[0], "Keystone uri=") || slices.Contains(got, "Negotiate") != on {
				t.Errorf("%s, Kerberos here %v: %q", what, on, got)
			}
		}
		if got := c.do("POST", "/v3/auth/tokens", "", byPassword("alice", "no", nil)).want(401).header.Values("WWW-Authenticate"); len(got) != 1 {
			t.Errorf("wrong password: %q", got)
		}
	}
}

// riddle is a method in two steps.
type riddle struct{ userID string }

func (r riddle) Authenticate(_ context.Context, section map[string]any) (string, error) {
	switch section["answer"] {
	case nil:
		return "", fault.Challenge{Method: "riddle", Values: map[string]any{"question": "what walks on four legs"}}
	case "man":
		return r.userID, nil
	}
	return "", fault.Unauthorized{Why: "wrong answer"}
}

func TestMethodInSteps(t *testing.T) {
	c := newCloud(t, "uuid")
	userID, _, _ := c.newUser("alice", "pw")
	m := c.parts.Server.Tokens
	m.Methods, m.Plugins = []string{"password", "riddle"}, map[string]tokens.Plugin{"riddle": riddle{userID}}
	a := c.do("POST", "/v3/auth/tokens", "", byMethods(nil, "riddle")).want(401, "Additional authentications steps required.")
	if a.header.Get("WWW-Authenticate") != "" || a.str("error", "identity", "riddle", "question") != "what walks on four legs" ||
		!slices.Equal(a.at("error", "identity", "methods").([]any), []any{"riddle"}) {
		t.Errorf("%v %s", a.header, a.text)
	}
	answer := func(text string) obj {
		body := byMethods(nil, "riddle")
		body["auth"].(obj)["identity"].(obj)["riddle"] = obj{"answer": text}
		return body
	}
	c.do("POST", "/v3/auth/tokens", "", answer("dog")).want(401, denied)
	if a := c.do("POST", "/v3/auth/tokens", "", answer("man")).want(201); a.str("token", "user", "name") != "alice" || methodsOf(a) != "riddle" {
		t.Errorf("%s", a.text)
	}
	both := answer("man")
	identity := both["auth"].(obj)["identity"].(obj)
	identity["methods"] = []string{"password", "riddle"}
	identity["password"] = byPassword("alice", "pw", nil)["auth"].(obj)["identity"].(obj)["password"]
	c.do("POST", "/v3/auth/tokens", "", both).want(201)
	identity["password"] = byPassword("admin", adminPassword, nil)["auth"].(obj)["identity"].(obj)["password"]
	c.do("POST", "/v3/auth/tokens", "", both).want(401, denied)
}

var _ server.Peers = (*peer.Identifier)(nil)
