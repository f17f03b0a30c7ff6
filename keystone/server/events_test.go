package server_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/tokens"
)

const eventsPath = "/v3/OS-REVOKE/events"

// events are those since a time, "" for all.
func (c *cloud) events(since string) (list []obj) {
	c.t.Helper()
	path := eventsPath
	if since != "" {
		path += "?since=" + url.QueryEscape(since)
	}
	a := c.do("GET", path, c.adminToken(), nil).want(200)
	if a.str("links", "self") != c.public.URL+eventsPath {
		c.t.Errorf("links %v", a.at("links"))
	}
	all, ok := a.at("events").([]any)
	if !ok {
		c.t.Fatalf("no events: %s", a.text)
	}
	for _, e := range all {
		list = append(list, e.(obj))
	}
	return list
}

// wantEvent checks that one event happened with these members ("" for none), whose values are in values.
func wantEvent(t *testing.T, members string, values map[string]string, happened []obj) {
	t.Helper()
	if members == "" {
		if len(happened) != 0 {
			t.Errorf("events %v, want none", happened)
		}
		return
	}
	if len(happened) != 1 {
		t.Errorf("events %v, want one", happened)
		return
	}
	names := strings.Fields(members)
	for _, name := range names {
		value := values[name]
		if name == "other_role" {
			name = "role_id"
		}
		if happened[0][name] != value {
			t.Errorf("event %v, want %s %s", happened[0], name, value)
		}
	}
	if len(happened[0]) != len(names)+1 {
		t.Errorf("event %v, want %v and issued_before", happened[0], names)
	}
}

// concerns says whether an event is about a token, as Keystone decides it from the token's body.
func concerns(e obj, a *answer) bool {
	body := a.at("token").(obj)
	at := func(path ...string) any {
		var v any = body
		for _, name := range path {
			m, _ := v.(obj)
			v = m[name]
		}
		return v
	}
	owners := []any{at("user", "domain", "id"), at("domain", "id"), at("project", "domain", "id")}
	roles, _ := at("roles").([]any)
	for name, value := range e {
		fits := false
		switch name {
		case "issued_before": // both are in UTC and of one length
			fits = value.(string) > a.str("token", "issued_at")
		case "audit_id":
			fits = value == auditID(a)
		case "user_id":
			fits = value == at("user", "id")
		case "project_id":
			fits = value == at("project", "id")
		case "domain_id":
			fits = slices.Contains(owners, value)
		case "role_id":
			fits = slices.ContainsFunc(roles, func(r any) bool { return r.(obj)["id"] == value })
		}
		if !fits {
			return false
		}
	}
	return true
}

func TestRevocationEvents(t *testing.T) {
	c := newCloud(t, "uuid") // events do not depend on certificates
	userID, projectID, _ := c.newUser("alice", "pw")
	plain := c.login("alice", "pw", obj{"unscoped": obj{}}).token()
	before := len(c.events(""))
	c.do("PATCH", "/v3/projects/"+projectID, c.adminToken(), obj{"project": obj{"enabled": false}}).want(200)
	audit := c.revokeOne()
	all := c.events("")[before:]
	if len(all) != 2 || all[0]["project_id"] != projectID || all[1]["audit_id"] != audit {
		t.Fatalf("events %v", all)
	}
	first := all[0]["issued_before"].(string)
	if _, err := time.Parse(tokens.TimeFormat, first); err != nil {
		t.Error(err)
	}
	for since, n := range map[string]int{
		first: 1,
		strings.TrimSuffix(first, "Z") + "+00:00": 1,
		strings.TrimSuffix(first, "Z"):            1,
		all[1]["issued_before"].(string):          0,
		"2000-01-01":                              before + 2,
		"2000-01-01T00:00:00":                     before + 2,
		"2000-01-01 00:00:00.5":                   before + 2,
		"2100-01-01T00:00:00Z":                    0,
	} {
		if got := c.events(since); len(got) != n {
			t.Errorf("since %s: %v, want %d events", since, got, n)
		}
	}
	admin := c.adminToken()
	c.do("GET", eventsPath+"?since=zz", admin, nil).want(400, "invalid date format zz")
	c.do("GET", eventsPath+"?since=2000-13-01", admin, nil).want(400, "invalid date format 2000-13-01")
	c.do("GET", eventsPath, "", nil).want(401)
	if a := c.do("HEAD", eventsPath, plain, nil).want(200); a.text != "" {
		t.Error("HEAD has a body")
	}
	c.do("GET", eventsPath, plain, nil).want(200)

	c.do("PATCH", "/v3/users/"+userID, admin, obj{"user": obj{"name": "alicia"}}).want(200)
	if got := c.events(all[1]["issued_before"].(string)); len(got) != 0 {
		t.Errorf("renaming a user is an event: %v", got)
	}

	// They go when no token can be left that they concern, and not before.
	c.clock.advance(tokens.DefaultWindow + 59*time.Minute)
	if _, err := c.parts.Server.Tokens.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.events(""); len(got) < 2 {
		t.Errorf("events went early: %v", got)
	}
	c.clock.advance(20 * time.Minute)
	if got := c.events(""); len(got) != 0 {
		t.Errorf("events stayed: %v", got)
	}
	if _, err := c.parts.Server.Tokens.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.db.RemoveEvents(t.Context(), c.clock.Now(), 100); n != 0 || err != nil {
		t.Errorf("flushing left %d events, %v", n, err)
	}
}

// TestDomainEvents: a domain that is deleted has been disabled before, and both are events.
func TestDomainEvents(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	domainID := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": "d"}}).want(201).str("domain", "id")
	before := len(c.events(""))
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(403)
	if n := len(c.events("")); n != before {
		t.Errorf("%d events of what did not happen", n-before)
	}
	c.do("PATCH", "/v3/domains/"+domainID, admin, obj{"domain": obj{"enabled": false}}).want(200)
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(204)
	for _, e := range c.events("")[before:] {
		wantEvent(t, "domain_id", map[string]string{"domain_id": domainID}, []obj{e})
	}
	if n := len(c.events("")); n != before+2 {
		t.Errorf("%d events, want 2", n-before)
	}
}
