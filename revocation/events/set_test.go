package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/keystone"
)

// at is the time of the events here.
var at = time.Date(2026, 3, 4, 5, 6, 7, 500_000_000, time.UTC)

// parse reads events of these members; "issued_before" is at where it is not among them.
func parse(t testing.TB, events ...map[string]string) []Event {
	t.Helper()
	for _, e := range events {
		if e["issued_before"] == "" {
			e["issued_before"] = at.Format("2006-01-02T15:04:05.000000Z")
		}
	}
	text, err := json.Marshal(map[string]any{"events": events, "links": map[string]any{"next": nil, "self": "x", "previous": nil}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type members = map[string]string

// TestRevoked follows Keystone's rules: those of keystone/contrib/revoke of Kilo, attribute by attribute.
func TestRevoked(t *testing.T) {
	t.Parallel()
	expires := time.Date(2026, 3, 4, 6, 0, 0, 999_000_000, time.UTC)
	project := &keystone.Token{
		Version: 3, IssuedAt: at.Add(-time.Minute), ExpiresAt: expires, AuditIDs: []string{"own", "first"},
		User:    keystone.User{ID: "u", Domain: keystone.Domain{ID: "ud"}},
		Project: &keystone.Project{ID: "p", Domain: keystone.Domain{ID: "pd"}},
		Roles:   []keystone.Role{{ID: "r1", Name: "a"}, {ID: "r2", Name: "b"}},
		OAuth1:  &keystone.OAuth1{ConsumerID: "c", AccessTokenID: "at"},
	}
	with := func(change func(*keystone.Token)) *keystone.Token {
		copied := *project
		change(&copied)
		return &copied
	}
	domain := with(func(t *keystone.Token) { t.Project, t.Domain = nil, &keystone.Domain{ID: "dd"} })
	trust := with(func(t *keystone.Token) {
		t.Trust = &keystone.Trust{ID: "t", TrustorUserID: "giver", TrusteeUserID: "taker"}
	})
	unscoped := with(func(t *keystone.Token) { t.Project, t.Roles, t.OAuth1 = nil, nil, nil })
	v2 := with(func(t *keystone.Token) {
		t.Version, t.User.Domain, t.Project = 2, keystone.Domain{}, &keystone.Project{ID: "p"}
		t.Roles, t.V2RoleIDs = []keystone.Role{{Name: "a"}}, []string{"r1"}
	})
	issued := func(when time.Time) *keystone.Token { return with(func(t *keystone.Token) { t.IssuedAt = when }) }
	for name, tt := range map[string]struct {
		event members
		token *keystone.Token
		want  bool
	}{
		"user":                                  {members{"user_id": "u"}, project, true},
		"other user":                            {members{"user_id": "u2"}, project, false},
		"user, other case":                      {members{"user_id": "U"}, project, false},
		"who gave a trust":                      {members{"user_id": "giver"}, trust, true},
		"who took a trust":                      {members{"user_id": "taker"}, trust, true},
		"user of a trust's token":               {members{"user_id": "u"}, trust, true},
		"trust":                                 {members{"OS-TRUST:trust_id": "t"}, trust, true},
		"other trust":                           {members{"OS-TRUST:trust_id": "t2"}, trust, false},
		"trust, a token without":                {members{"OS-TRUST:trust_id": "t"}, project, false},
		"project":                               {members{"project_id": "p"}, project, true},
		"project, an unscoped token":            {members{"project_id": "p"}, unscoped, false},
		"project is no domain":                  {members{"project_id": "dd"}, domain, false},
		"domain of the user":                    {members{"domain_id": "ud"}, unscoped, true},
		"domain of the project":                 {members{"domain_id": "pd"}, project, true},
		"domain that is the scope":              {members{"domain_id": "dd"}, domain, true},
		"other domain":                          {members{"domain_id": "xx"}, domain, false},
		"scope is the domain":                   {members{"domain_scope_id": "dd"}, domain, true},
		"scope is not the user's domain":        {members{"domain_scope_id": "ud"}, domain, false},
		"scope's domain, by project":            {members{"domain_scope_id": "pd"}, project, true},
		"first role":                            {members{"role_id": "r1"}, project, true},
		"second role":                           {members{"role_id": "r2"}, project, true},
		"role by name":                          {members{"role_id": "a"}, project, false},
		"role, none in the token":               {members{"role_id": "r1"}, unscoped, false},
		"own audit id":                          {members{"audit_id": "own"}, project, true},
		"audit id of the chain is not its own":  {members{"audit_id": "first"}, project, false},
		"chain":                                 {members{"audit_chain_id": "first"}, project, true},
		"own audit id is not the chain's":       {members{"audit_chain_id": "own"}, project, false},
		"chain of one":                          {members{"audit_chain_id": "a"}, with(func(t *keystone.Token) { t.AuditIDs = []string{"a"} }), true},
		"audit id, none in the token":           {members{"audit_id": "own"}, with(func(t *keystone.Token) { t.AuditIDs = nil }), false},
		"consumer":                              {members{"OS-OAUTH1:consumer_id": "c"}, project, true},
		"access token":                          {members{"OS-OAUTH1:access_token_id": "at"}, project, true},
		"other access token":                    {members{"OS-OAUTH1:consumer_id": "c", "OS-OAUTH1:access_token_id": "x"}, project, false},
		"consumer, none in the token":           {members{"OS-OAUTH1:consumer_id": "c"}, unscoped, false},
		"expiry in whole seconds":               {members{"user_id": "u", "expires_at": "2026-03-04T06:00:00Z"}, project, true},
		"expiry of another second":              {members{"user_id": "u", "expires_at": "2026-03-04T06:00:01Z"}, project, false},
		"grant":                                 {members{"user_id": "u", "role_id": "r2", "project_id": "p"}, project, true},
		"grant, other role":                     {members{"user_id": "u", "role_id": "r3", "project_id": "p"}, project, false},
		"grant, other project":                  {members{"user_id": "u", "role_id": "r2", "project_id": "p2"}, project, false},
		"grant, other user":                     {members{"user_id": "u2", "role_id": "r2", "project_id": "p"}, project, false},
		"grant on a domain":                     {members{"user_id": "u", "role_id": "r2", "domain_id": "dd"}, domain, true},
		"no attribute: all tokens":              {members{}, unscoped, true},
		"issued a microsecond earlier":          {members{"user_id": "u"}, issued(at.Add(-time.Microsecond)), true},
		"issued at the very time":               {members{"user_id": "u"}, issued(at), true},
		"issued a microsecond later":            {members{"user_id": "u"}, issued(at.Add(time.Microsecond)), false},
		"issued later in the same second":       {members{"user_id": "u"}, issued(at.Add(400 * time.Millisecond)), false},
		"issued nobody knows when":              {members{"user_id": "u"}, issued(time.Time{}), true},
		"v2: user":                              {members{"user_id": "u"}, v2, true},
		"v2: domain is default":                 {members{"domain_id": "default"}, v2, true},
		"v2: scope is default":                  {members{"domain_scope_id": "default"}, v2, true},
		"v2: other domain":                      {members{"domain_id": "ud"}, v2, false},
		"v2: role by the ids in metadata":       {members{"role_id": "r1", "user_id": "u"}, v2, true},
		"an event that says nothing of a value": {members{"user_id": "u", "project_id": ""}, unscoped, true},
	} {
		set := NewSet(parse(t, tt.event))
		if got := set.Revoked(tt.token); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		// The same beneath and above other events.
		others := make([]members, 0, 200)
		for i := range 200 {
			others = append(others, members{"user_id": fmt.Sprint("x", i)}, members{"audit_id": fmt.Sprint("x", i), "project_id": "p"})
		}
		if got := NewSet(parse(t, others...)).With(parse(t, tt.event)).Revoked(tt.token); got != tt.want {
			t.Errorf("%s, as a later event: %v", name, got)
		}
		if got := set.With(parse(t, others...)).Revoked(tt.token); got != tt.want {
			t.Errorf("%s, with later events: %v", name, got)
		}
	}
	if (*Set)(nil).Revoked(project) || NewSet(nil).Revoked(project) {
		t.Error("no events end tokens")
	}
}

// matches is the rule for one event, written down as Keystone's documentation has it and not as the index works.
func matches(e Event, t *keystone.Token) bool {
	one := func(a attribute, values ...string) bool {
		return !e.has.has(a) || e.text[a] != "" && slices.Contains(values, e.text[a])
	}
	users, domains, scopes := []string{t.User.ID}, []string{t.User.Domain.ID}, []string{}
	if t.Trust != nil {
		users = append(users, t.Trust.TrustorUserID, t.Trust.TrusteeUserID)
	}
	project, trust := []string{}, []string{}
	if t.Project != nil {
		project, scopes = append(project, t.Project.ID), append(scopes, t.Project.Domain.ID)
	}
	if t.Domain != nil {
		scopes = append(scopes, t.Domain.ID)
	}
	if t.Trust != nil {
		trust = append(trust, t.Trust.ID)
	}
	var roles []string
	for _, r := range t.Roles {
		roles = append(roles, r.ID)
	}
	return one(userID, users...) && one(roleID, roles...) && one(projectID, project...) && one(domainID, append(domains, scopes...)...) &&
		one(domainScopeID, scopes...) && one(auditID, t.AuditIDs[0]) && one(auditChainID, t.AuditIDs[len(t.AuditIDs)-1]) && one(trustID, trust...) &&
		one(consumerID) && one(accessTokenID) && (!e.has.has(expiresAt) || e.expires == t.ExpiresAt.Unix()) && !t.IssuedAt.After(e.IssuedBefore)
}

// TestAgainstTheRule compares the index with the rule for one event after the other, for events and tokens made of few values.
func TestAgainstTheRule(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(prefix string) string { return fmt.Sprint(prefix, r.IntN(4)) }
	hits := 0
	for range 300 {
		var events []Event
		for range 1 + r.IntN(12) {
			e := Event{IssuedBefore: at.Add(time.Duration(r.IntN(5)) * time.Microsecond)}
			for a := range expiresAt {
				if a != consumerID && a != accessTokenID && r.IntN(4) == 0 {
					prefix := map[attribute]string{userID: "u", trustID: "t", projectID: "p", domainID: "d", domainScopeID: "d", roleID: "r", auditID: "a", auditChainID: "a"}[a]
					e.has |= 1 << a
					e.text[a] = pick(prefix)
				}
			}
			if r.IntN(8) == 0 {
				e.has |= 1 << expiresAt
				e.expires = at.Unix() + r.Int64N(2)
			}
			events = append(events, e)
		}
		cut := r.IntN(len(events) + 1)
		set := NewSet(events[:cut])
		for _, e := range events[cut:] {
			set = set.With([]Event{e})
		}
		for range 40 {
			token := &keystone.Token{Version: 3, IssuedAt: at.Add(time.Duration(r.IntN(5)) * time.Microsecond), ExpiresAt: at.Add(time.Duration(r.IntN(2)) * time.Second),
				AuditIDs: []string{pick("a"), pick("a")}, User: keystone.User{ID: pick("u"), Domain: keystone.Domain{ID: pick("d")}}}
			for range r.IntN(3) {
				token.Roles = append(token.Roles, keystone.Role{ID: pick("r")})
			}
			switch r.IntN(3) {
			case 0:
				token.Project = &keystone.Project{ID: pick("p"), Domain: keystone.Domain{ID: pick("d")}}
			case 1:
				token.Domain = &keystone.Domain{ID: pick("d")}
			}
			if r.IntN(2) == 0 {
				token.Trust = &keystone.Trust{ID: pick("t"), TrustorUserID: pick("u"), TrusteeUserID: pick("u")}
			}
			want := slices.ContainsFunc(events, func(e Event) bool { return matches(e, token) })
			if want {
				hits++
			}
			if got := set.Revoked(token); got != want {
				t.Fatalf("%+v: got %v\n%+v", token, got, events)
			}
		}
	}
	if hits < 1000 || hits > 11000 {
		t.Errorf("%d of 12000 tokens were hit: the test says little", hits)
	}
}

// TestWith: what is there already makes no new Set, of two events about the same the later counts, and a Set never changes.
func TestWith(t *testing.T) {
	t.Parallel()
	first := parse(t, members{"user_id": "u"}, members{"project_id": "p"})
	s := NewSet(first)
	if s.Len() != 2 || s.With(first) != s || s.With(nil) != s || !s.Newest().Equal(at) {
		t.Errorf("%d events, newest %s", s.Len(), s.Newest())
	}
	later := at.Add(time.Hour)
	next := s.With(parse(t, members{"user_id": "u", "issued_before": later.Format(time.RFC3339Nano)}))
	token := &keystone.Token{User: keystone.User{ID: "u"}, IssuedAt: at.Add(time.Minute)}
	if next.Len() != 2 || !next.Newest().Equal(later) || !next.Revoked(token) || s.Revoked(token) {
		t.Errorf("%d events, newest %s", next.Len(), next.Newest())
	}
	if again := next.With(first); again != next || !again.Revoked(token) {
		t.Error("an older event changed something")
	}
	var back []Event
	next.Each(func(e Event) { back = append(back, e) })
	if same := NewSet(back); same.Len() != 2 || !same.Revoked(token) {
		t.Errorf("%+v", back)
	}
	// Many small steps do not make many layers.
	for i := range 5000 {
		next = next.With(parse(t, members{"audit_id": fmt.Sprint(i)}))
	}
	if next.Len() != 5002 || len(next.layers) > 6 {
		t.Errorf("%d events in %d layers", next.Len(), len(next.layers))
	}
	for i := range 5000 {
		if !next.Revoked(&keystone.Token{AuditIDs: []string{fmt.Sprint(i)}, IssuedAt: at}) {
			t.Fatalf("event %d is lost", i)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const when = `"issued_before":"2015-02-27T18:30:59.999999Z"`
	for _, text := range []string{
		`{"events":[]}`,
		` {"links":null,"events":[ ]} `,
		`{"events":[{"user_id":"u",` + when + `}],"links":{"next":null,"self":"http://k/v3/OS-REVOKE/events","previous":null}}`,
		`{"events":[{"role_id":null,"user_id":"u",` + when + `,"revoked_at":"whatever","expires_at":null}]}`,
		`{"events":[{"user_id":"u","issued_before":"2015-02-27T18:30:59"}]}`,
		`{"events":[{"user_id":"u","issued_before":"2015-02-27 18:30:59.5"}]}`,
		`{"events":[{"user_id":"u","issued_before":"2015-02-27T18:30:59+02:00","something":"new"}]}`,
		`{"events":[{"something":null,` + when + `}]}`,
	} {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		``:                             "expected an object",
		`[]`:                           "expected an object",
		`{}`:                           `no "events" array`,
		`{"events":null}`:              "expected an array",
		`{"events":{}}`:                "expected an array",
		`{"events":[]}x`:               "after the end",
		`{"events":[],"events":[]}`:    "duplicate name",
		`{"error":{"code":403}}`:       `no "events" array`,
		`{"events":[{"user_id":"u"}]}`: "no issued_before",
		`{"events":[{"user_id":"u",]}`: "expected a string",
		`{"events":[{"user_id":"u"`:    "expected a comma",
		"{\"events\":[{\"user_id\":\"\xff\"," + when + "}]}":                          "not UTF-8",
		`{"events":[{"user_id":1,` + when + `}]}`:                                     "expected a string",
		`{"events":[{"user_id":"u","user_id":"v",` + when + `}]}`:                     "duplicate name",
		`{"events":[{"user_id":"u","issued_before":"soon"}]}`:                         "not a time",
		`{"events":[{"user_id":"u","issued_before":null}]}`:                           "no issued_before",
		`{"events":[{"user_id":"u","issued_before":"2015-02-27T18:30:59,5Z"}]}`:       "not a time",
		`{"events":[{"user_id":"u","expires_at":"x",` + when + `}]}`:                  "not a time",
		`{"events":[{"something":"new",` + when + `}]}`:                               "none is known",
		`{"events":[{"user_id":"` + strings.Repeat("u", 256) + `",` + when + `}]}`:    "256 bytes",
		`{"events":[],"links":{"next":"http://k/v3/OS-REVOKE/events?page=2"}}`:        "further page",
		`{"events":[],"x":` + strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40) + `}`: "nested deeper",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// FuzzParse: what is read can be written and is then the same, and the strict reader never takes what encoding/json refuses.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"events":[{"user_id":"u","issued_before":"2015-02-27T18:30:59.999999Z"}],"links":{"next":null}}`,
		`{"events":[{"role_id":"r","project_id":"p","domain_id":"d","domain_scope_id":"s","audit_id":"a","audit_chain_id":"c","OS-TRUST:trust_id":"t","OS-OAUTH1:consumer_id":"o","OS-OAUTH1:access_token_id":"k","expires_at":"2015-02-27T19:30:59Z","issued_before":"2015-02-27T18:30:59Z"}]}`,
		`{"events":[{"issued_before":"0001-01-02T00:00:00Z"}]}`, `{"events":[{"user_id":"\ud83d\ude00","issued_before":"9999-12-31T23:59:59Z"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || events != nil {
				t.Fatalf("%v, %v", events, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatal("not JSON")
		}
		doc := keptDocument{Events: []keptEvent{}}
		for _, e := range events {
			doc.Events = append(doc.Events, e.members())
		}
		again, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Parse(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if len(same)+len(events) > 0 && !reflect.DeepEqual(same, events) {
			t.Fatalf("%+v\n%+v", events, same)
		}
		s := NewSet(events)
		for _, e := range events {
			if s.With([]Event{e}) != s {
				t.Fatalf("%+v is lost", e)
			}
		}
	})
}

// many makes events as a busy cloud does: mostly single tokens, and now and then a user, a grant, a project.
func many(n int) []Event {
	events := make([]Event, n)
	for i := range events {
		e := &events[i]
		e.IssuedBefore = at.Add(time.Duration(i) * time.Millisecond)
		id := fmt.Sprintf("%032x", i)
		set := func(a attribute, value string) { e.has |= 1 << a; e.text[a] = value }
		switch {
		case i%100 == 0:
			set(projectID, id)
		case i%100 == 1:
			set(domainID, id)
		case i%10 == 2:
			set(userID, id)
		case i%10 == 3:
			set(userID, id)
			set(roleID, "role")
			set(projectID, id[1:])
		default:
			set(auditID, id[:22])
		}
	}
	return events
}

func busyToken() *keystone.Token {
	return &keystone.Token{Version: 3, IssuedAt: at.Add(-time.Hour), ExpiresAt: at.Add(time.Hour), AuditIDs: []string{"qNUTIJntTzO1-XUk5STybw", "qNUTIJntTzO1-XUk5STybw"},
		User:    keystone.User{ID: "10a2e6e717a245d9acad3e5f97aeca3d", Domain: keystone.Domain{ID: "default"}},
		Project: &keystone.Project{ID: "263fd9edd9ad4d4c8e6b9d8a3e5d6f7a", Domain: keystone.Domain{ID: "default"}},
		Roles:   []keystone.Role{{ID: "51cc68287d524c759f47c811e6463340"}, {ID: "role"}, {ID: "9fe2ff9ee4384b1894a90878d3e92bab"}}}
}

func TestRevokedDoesNotAllocate(t *testing.T) {
	set, token := NewSet(many(1000)), busyToken()
	if n := testing.AllocsPerRun(100, func() {
		if set.Revoked(token) {
			t.Fatal("hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRevoked(b *testing.B) {
	token := busyToken()
	for _, n := range []int{100, 1000, 10_000, 100_000, 1_000_000} {
		set := NewSet(many(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if set.Revoked(token) {
					b.Fatal("hit")
				}
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		all := many(n + 100)
		set := NewSet(all[:n])
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.With(all[n:])
			}
		})
	}
}
