package token

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/keystone"
)

const v3Body = `{"token":{"methods":["password","token"],"extras":{},"expires_at":"2037-01-02T03:04:05.000006Z",
"issued_at":"2026-01-02T03:04:05.123456Z","audit_ids":["own-audit-id","first-of-chain"],
"user":{"id":"u1","name":"alice","domain":{"id":"d1","name":"Dom"},"password_expires_at":null},
"project":{"id":"p1","name":"proj","domain":{"id":"d2","name":"Other"}},"is_domain":false,
"roles":[{"id":"r1","name":"admin"},{"name":"member"}],"is_admin_project":false,
"catalog":[{"id":"s1","type":"identity","name":"keystone","endpoints":[
 {"id":"e1","interface":"public","region":"R","region_id":"R","url":"http://k/v3"},
 {"id":"e2","region":"R","url":"http://k/v3"},
 {"publicURL":"http://v2-shaped"}]},
 {"endpoints":[]}, "junk", {"type":"compute","endpoints":{"not":"a list"}}],
"bind":{"kerberos":"alice@REALM"},
"OS-TRUST:trust":{"id":"t1","impersonation":true,"trustor_user":{"id":"u1"},"trustee_user":{"id":"u2"}},
"OS-OAUTH1":{"consumer_id":"c1","access_token_id":"a1"}}}`

func TestDecodeV3(t *testing.T) {
	got, err := DecodePayload([]byte(v3Body))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := &keystone.Token{
		Version: 3, Methods: []string{"password", "token"},
		ExpiresAt: time.Date(2037, 1, 2, 3, 4, 5, 6000, time.UTC), IssuedAt: time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC),
		AuditIDs: []string{"own-audit-id", "first-of-chain"},
		User:     keystone.User{ID: "u1", Name: "alice", Domain: keystone.Domain{ID: "d1", Name: "Dom"}},
		Project:  &keystone.Project{ID: "p1", Name: "proj", Domain: keystone.Domain{ID: "d2", Name: "Other"}},
		Roles:    []keystone.Role{{ID: "r1", Name: "admin"}, {Name: "member"}}, IsAdminProject: &no,
		Catalog: keystone.Catalog{
			{ID: "s1", Type: "identity", Name: "keystone", Endpoints: []keystone.Endpoint{{ID: "e1", Interface: "public", Region: "R", RegionID: "R", URL: "http://k/v3"}}},
			{Type: "compute"},
		},
		Bind:  map[string]string{"kerberos": "alice@REALM"},
		Trust: &keystone.Trust{ID: "t1", Impersonation: true, TrustorUserID: "u1", TrusteeUserID: "u2"}, OAuth1: &keystone.OAuth1{ConsumerID: "c1", AccessTokenID: "a1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestDecodeV2(t *testing.T) {
	const catalog = `[{"type":"compute","endpoints":[{"publicURL":"http://c"}]}]`
	got, err := DecodePayload([]byte(`{"access":{"token":{"id":"placeholder","expires":"2037-01-02T03:04:05Z","issued_at":"2026-01-02T03:04:05.123456",
		"tenant":{"id":"p1","name":"proj","enabled":true,"description":null},"audit_ids":["own"],"bind":{"kerberos":"alice"}},
		"user":{"id":"u1","name":"alice","username":"al","roles":[{"name":"admin"}],"roles_links":[]},
		"serviceCatalog":` + catalog + `,"metadata":{"is_admin":0,"roles":["r1"]},
		"trust":{"id":"t1","impersonation":false,"trustor_user_id":"u3","trustee_user_id":"u1"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &keystone.Token{
		Version: 2, ExpiresAt: time.Date(2037, 1, 2, 3, 4, 5, 0, time.UTC), IssuedAt: time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC),
		AuditIDs: []string{"own"}, User: keystone.User{ID: "u1", Name: "alice"}, Project: &keystone.Project{ID: "p1", Name: "proj"},
		Roles: []keystone.Role{{Name: "admin"}}, V2RoleIDs: []string{"r1"}, V2Catalog: catalog, Bind: map[string]string{"kerberos": "alice"},
		Trust: &keystone.Trust{ID: "t1", TrustorUserID: "u3", TrusteeUserID: "u1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// TestV2Tenants: where Keystones of each age kept the tenant, the newest place first.
func TestV2Tenants(t *testing.T) {
	for name, c := range map[string]struct{ token, user, id, project string }{
		"nowhere":       {``, ``, "", ""},
		"in token":      {`,"tenant":{"id":"a","name":"A"},"tenantId":"c"`, `,"tenantId":"b","tenantName":"B"`, "a", "A"},
		"in user":       {`,"tenantId":"c"`, `,"tenantId":"b","tenantName":"B"`, "b", "B"},
		"id only":       {`,"tenantId":"c"`, ``, "c", "c"},
		"null tenant":   {`,"tenant":null`, ``, "", ""},
		"username only": {`,"tenantId":"c"`, `,"username":"al"`, "c", "c"},
	} {
		got, err := DecodePayload([]byte(`{"access":{"token":{"expires":"2037-01-02T03:04:05Z"` + c.token + `},"user":{"id":"u"` + c.user + `}}}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var p keystone.Project
		if got.Project != nil {
			p = *got.Project
		}
		if p.ID != c.id || p.Name != c.project {
			t.Errorf("%s: project %+v, want %s %s", name, p, c.id, c.project)
		}
		if name == "username only" && got.User.Name != "al" {
			t.Errorf("%s: user name %q", name, got.User.Name)
		}
	}
}

// v3With makes a sound v3 body with more members.
func v3With(members string) string {
	return `{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":"u"}` + members + `}}`
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"empty":                         {``, ErrMalformed},
		"white space":                   {` `, ErrMalformed},
		"string":                        {`"token"`, ErrNotAToken},
		"number":                        {`-1.5e+3`, ErrNotAToken},
		"array":                         {`[]`, ErrNotAToken},
		"null":                          {`null`, ErrNotAToken},
		"empty object":                  {`{}`, ErrNotAToken},
		"revocation list":               {`{"revoked":[{"id":"x","expires":"2037-01-01T00:00:00Z"}]}`, ErrNotAToken},
		"both bodies":                   {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":"u"}},"access":{"token":{"expires":"2037-01-01T00:00:00Z"},"user":{"id":"u"}}}`, ErrNotAToken},
		"token null":                    {`{"token":null}`, ErrNotAToken},
		"token a list":                  {`{"token":[]}`, ErrNotAToken},
		"no user":                       {`{"token":{"expires_at":"2037-01-01T00:00:00Z"}}`, ErrNotAToken},
		"no user id":                    {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"name":"u"}}}`, ErrNotAToken},
		"empty user id":                 {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":""}}}`, ErrNotAToken},
		"user id a number":              {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":1}}}`, ErrNotAToken},
		"no expiry":                     {`{"token":{"user":{"id":"u"}}}`, ErrNotAToken},
		"expiry null":                   {`{"token":{"expires_at":null,"user":{"id":"u"}}}`, ErrNotAToken},
		"expiry a word":                 {`{"token":{"expires_at":"yesterday","user":{"id":"u"}}}`, ErrNotAToken},
		"expiry a number":               {`{"token":{"expires_at":2037,"user":{"id":"u"}}}`, ErrNotAToken},
		"expiry without an offset":      {`{"token":{"expires_at":"2037-01-01T00:00:00","user":{"id":"u"}}}`, ErrNotAToken},
		"expiry with a comma":           {`{"token":{"expires_at":"2037-01-01T00:00:00,5Z","user":{"id":"u"}}}`, ErrNotAToken},
		"expiry on the 30th of Feb":     {`{"token":{"expires_at":"2037-02-30T00:00:00Z","user":{"id":"u"}}}`, ErrNotAToken},
		"v2 expiry name in v3":          {`{"token":{"expires":"2037-01-01T00:00:00Z","user":{"id":"u"}}}`, ErrNotAToken},
		"two scopes":                    {v3With(`,"project":{"id":"p"},"domain":{"id":"d"}`), ErrNotAToken},
		"project and system":            {v3With(`,"project":{"id":"p"},"system":{"all":true}`), ErrNotAToken},
		"project without id":            {v3With(`,"project":{"name":"p"}`), ErrNotAToken},
		"domain without id":             {v3With(`,"domain":{}`), ErrNotAToken},
		"roles a word":                  {v3With(`,"roles":"admin"`), ErrNotAToken},
		"roles an object":               {v3With(`,"roles":{"name":"admin"}`), ErrNotAToken},
		"a role a word":                 {v3With(`,"roles":["admin"]`), ErrNotAToken},
		"a role without name":           {v3With(`,"roles":[{"id":"r"}]`), ErrNotAToken},
		"audit ids a word":              {v3With(`,"audit_ids":"x"`), ErrNotAToken},
		"an audit id a number":          {v3With(`,"audit_ids":[1]`), ErrNotAToken},
		"bind a word":                   {v3With(`,"bind":"kerberos"`), ErrNotAToken},
		"bind to a number":              {v3With(`,"bind":{"kerberos":1}`), ErrNotAToken},
		"oauth2 credential a word":      {v3With(`,"oauth2_credential":"x"`), ErrNotAToken},
		"thumbprint a number":           {v3With(`,"oauth2_credential":{"x5t#S256":1}`), ErrNotAToken},
		"thumbprint twice":              {v3With(`,"oauth2_credential":{"x5t#S256":"x","x5t#S256":"x"}`), ErrMalformed},
		"access rules a word":           {v3With(`,"application_credential":{"access_rules":"all"}`), ErrNotAToken},
		"an access rule a word":         {v3With(`,"application_credential":{"access_rules":["GET"]}`), ErrNotAToken},
		"access rule without a method":  {v3With(`,"application_credential":{"access_rules":[{"service":"image","path":"/"}]}`), ErrNotAToken},
		"access rule without a service": {v3With(`,"application_credential":{"access_rules":[{"method":"GET","path":"/"}]}`), ErrNotAToken},
		"access rule without a path":    {v3With(`,"application_credential":{"access_rules":[{"service":"image","method":"GET"}]}`), ErrNotAToken},
		"access rules twice":            {v3With(`,"application_credential":{"access_rules":[],"access_rules":null}`), ErrMalformed},
		"credential a list":             {v3With(`,"application_credential":[]`), ErrNotAToken},
		"bound to two certificates":     {v3With(`,"oauth2_credential":{"x5t#S256":"x"},"bind":{"x509":"y"}`), ErrNotAToken},
		"the same, bind first":          {v3With(`,"bind":{"x509":"y"},"oauth2_credential":{"x5t#S256":"x"}`), ErrNotAToken},
		"system a word":                 {v3With(`,"system":{"all":"yes"}`), ErrNotAToken},
		"catalog a word":                {v3With(`,"catalog":"none"`), ErrNotAToken},
		"issued at a word":              {v3With(`,"issued_at":"now"`), ErrNotAToken},
		"duplicate member":              {v3With(`,"user":{"id":"admin"}`), ErrMalformed},
		"duplicate below":               {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":"u","id":"admin"}}}`, ErrMalformed},
		"duplicate by escape":           {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":"u","\u0069d":"admin"}}}`, ErrMalformed},
		"duplicate in what is not read": {v3With(`,"extras":{"a":[{"b":1,"b":2}]}`), ErrMalformed},
		"duplicate after many":          {v3With(`,"extras":{` + manyMembers(40) + `,"k7":0}`), ErrMalformed},
		"duplicate body":                {`{"token":{"expires_at":"2037-01-01T00:00:00Z","user":{"id":"u"}},"token":{}}`, ErrMalformed},
		"NaN":                           {v3With(`,"x":NaN`), ErrMalformed},
		"Infinity":                      {v3With(`,"x":-Infinity`), ErrMalformed},
		"leading zero":                  {v3With(`,"x":01`), ErrMalformed},
		"plus sign":                     {v3With(`,"x":+1`), ErrMalformed},
		"bare point":                    {v3With(`,"x":1.`), ErrMalformed},
		"bare exponent":                 {v3With(`,"x":1e`), ErrMalformed},
		"bare minus":                    {v3With(`,"x":-`), ErrMalformed},
		"comma at the end":              {v3With(`,"x":[1,]`), ErrMalformed},
		"comma at the object's end":     {v3With(`,`), ErrMalformed},
		"comment":                       {v3With(`/*x*/`), ErrMalformed},
		"name without quotes":           {v3With(`,x:1`), ErrMalformed},
		"single quotes":                 {v3With(`,'x':1`), ErrMalformed},
		"text after":                    {v3With(``) + `{}`, ErrMalformed},
		"zero byte after":               {v3With(``) + "\x00", ErrMalformed},
		"byte order mark":               {"\ufeff" + v3With(``), ErrMalformed},
		"not UTF-8":                     {v3With(",\"x\":\"\xff\""), ErrMalformed},
		"UTF-8 of a surrogate":          {v3With(",\"x\":\"\xed\xa0\x80\""), ErrMalformed},
		"half a surrogate pair":         {v3With(`,"x":"\ud800"`), ErrMalformed},
		"surrogates the wrong way":      {v3With(`,"x":"\udc00\ud800"`), ErrMalformed},
		"unknown escape":                {v3With(`,"x":"\x41"`), ErrMalformed},
		"short escape":                  {v3With(`,"x":"\u00`), ErrMalformed},
		"control character":             {v3With(",\"x\":\"a\nb\""), ErrMalformed},
		"no end":                        {`{"token":{"expires_at":"2037`, ErrMalformed},
		"ends after a backslash":        {`{"token\`, ErrMalformed},
		"deep":                          {v3With(`,"x":` + deep), ErrMalformed},
		"capital True":                  {v3With(`,"x":True`), ErrMalformed},
		"half a literal":                {v3With(`,"x":nul`), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodePayload([]byte(c.body))
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + string(rune('0'+i%10)) + strings.Repeat("x", i/10) + `":0`)
	}
	return b.String()
}

func TestDecodeAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		members string
		check   func(*keystone.Token) bool
	}{
		"unscoped":          {``, func(t *keystone.Token) bool { return t.Project == nil && t.Domain == nil && !t.System }},
		"domain":            {`,"domain":{"id":"d","name":"D"}`, func(t *keystone.Token) bool { return t.Domain.Name == "D" }},
		"system":            {`,"system":{"all":true}`, func(t *keystone.Token) bool { return t.System }},
		"null scope":        {`,"project":null,"domain":null,"catalog":null,"bind":null,"OS-TRUST:trust":null`, func(t *keystone.Token) bool { return t.Project == nil && t.Catalog == nil && t.Trust == nil }},
		"bound certificate": {`,"oauth2_credential":{"x5t#S256":"x","other":[1]}`, func(t *keystone.Token) bool { return maps.Equal(t.Bind, map[string]string{"x509": "x"}) }},
		"bound certificate beside kerberos": {`,"oauth2_credential":{"x5t#S256":"x"},"bind":{"kerberos":"alice"}`,
			func(t *keystone.Token) bool {
				return maps.Equal(t.Bind, map[string]string{"x509": "x", "kerberos": "alice"})
			}},
		"bound certificate in both places": {`,"bind":{"x509":"x"},"oauth2_credential":{"x5t#S256":"x"}`,
			func(t *keystone.Token) bool { return maps.Equal(t.Bind, map[string]string{"x509": "x"}) }},
		"empty thumbprint binds": {`,"oauth2_credential":{"x5t#S256":""}`, func(t *keystone.Token) bool { return maps.Equal(t.Bind, map[string]string{"x509": ""}) }},
		"no thumbprint":          {`,"oauth2_credential":{"x5t#S256":null}`, func(t *keystone.Token) bool { return t.Bind == nil }},
		"no oauth2 credential":   {`,"oauth2_credential":null`, func(t *keystone.Token) bool { return t.Bind == nil }},
		"empty catalog":          {`,"catalog":[]`, func(t *keystone.Token) bool { return t.Catalog != nil && len(t.Catalog) == 0 }},
		"many other members":     {`,"extras":{` + manyMembers(40) + `}`, func(*keystone.Token) bool { return true }},
		"escapes":                {`,"methods":["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"]`, func(t *keystone.Token) bool { return t.Methods[0] == "\"\\/\b\f\n\r\té😀é" }},
		"numbers":                {`,"x":[0,-0,1,-12.5,1e9,1E-9,0.1e+1]`, func(*keystone.Token) bool { return true }},
		"white space":            {" ,\r\n\t\"x\" : [ 1 , { } , [ ] ] ", func(*keystone.Token) bool { return true }},
		"offset":                 {`,"issued_at":"2026-01-01T01:00:00+01:00"`, func(t *keystone.Token) bool { return t.IssuedAt.Hour() == 0 }},
		"credential, no rules":   {`,"application_credential":{"id":"a","name":"n","restricted":true}`, func(t *keystone.Token) bool { return t.AccessRules == nil }},
		"credential, null rules": {`,"application_credential":{"access_rules":null,"id":"a"}`, func(t *keystone.Token) bool { return t.AccessRules == nil }},
		"credential, empty list": {`,"application_credential":{"access_rules":[]}`, func(t *keystone.Token) bool { return t.AccessRules != nil && len(t.AccessRules) == 0 }},
		"credential, rules": {`,"application_credential":{"id":"a","access_rules":[{"id":"r","service":"image","method":"GET","path":"/v2/*"}]}`,
			func(t *keystone.Token) bool {
				return slices.Equal(t.AccessRules, []keystone.AccessRule{{Service: "image", Method: "GET", Path: "/v2/*"}})
			}},
		"federated":             {``, func(*keystone.Token) bool { return true }},
		"replacement character": {`,"methods":["` + "\ufffd" + `"]`, func(t *keystone.Token) bool { return t.Methods[0] == "\ufffd" }},
	} {
		got, err := DecodePayload([]byte(v3With(c.members)))
		if err != nil || !c.check(got) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// FuzzDecodePayload: what is accepted is JSON to encoding/json too, and says the same user, expiry and scope to it.
func FuzzDecodePayload(f *testing.F) {
	f.Add([]byte(v3Body))
	f.Add([]byte(v3With(`,"domain":{"id":"d"},"x":[1.5e3,null,true,"\ud83d\ude00"]`)))
	f.Add([]byte(`{"access":{"token":{"expires":"2037-01-02T03:04:05Z","tenant":{"id":"p"}},"user":{"id":"u"}}}`))
	f.Add([]byte(v3With(`,"oauth2_credential":{"x5t#S256":"x"},"bind":{"x509":"x","kerberos":"alice"}`)))
	f.Add([]byte(`{"revoked":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := DecodePayload(body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNotAToken) {
				t.Fatalf("%v is no known error", err)
			}
			return
		}
		// A map keeps the names as they are; a struct would let "ID" stand for "id".
		var other map[string]any
		if err := json.Unmarshal(body, &other); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if got.Version != 3 {
			return
		}
		tok := other["token"].(map[string]any)
		user := tok["user"].(map[string]any)
		if user["id"] != got.User.ID || got.User.Name != "" && user["name"] != got.User.Name {
			t.Fatalf("user %+v, encoding/json reads %v", got.User, user)
		}
		if at, err := time.Parse(time.RFC3339Nano, tok["expires_at"].(string)); err != nil || !at.Equal(got.ExpiresAt) {
			t.Fatalf("expiry %v, encoding/json reads %v", got.ExpiresAt, tok["expires_at"])
		}
		for name, n := range map[string]int{"roles": len(got.Roles), "audit_ids": len(got.AuditIDs), "methods": len(got.Methods)} {
			if list, _ := tok[name].([]any); len(list) != n {
				t.Fatalf("%d %s, encoding/json reads %v", n, name, list)
			}
		}
		if project, ok := tok["project"].(map[string]any); ok != (got.Project != nil) || ok && project["id"] != got.Project.ID {
			t.Fatalf("project %+v, encoding/json reads %v", got.Project, project)
		}
		bound := map[string]any{}
		if bind, ok := tok["bind"].(map[string]any); ok {
			bound = bind
		}
		if credential, ok := tok["oauth2_credential"].(map[string]any); ok && credential["x5t#S256"] != nil {
			bound["x509"] = credential["x5t#S256"]
		}
		if len(bound) != len(got.Bind) {
			t.Fatalf("bind %v, encoding/json reads %v", got.Bind, bound)
		}
	})
}

func BenchmarkDecodePayload(b *testing.B) {
	body := []byte(bigBody)
	b.SetBytes(int64(len(body)))
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodePayload(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours-catalog-known", func(b *testing.B) {
		b.ReportAllocs()
		var known Catalogs
		for b.Loop() {
			if _, err := known.DecodePayload(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var into struct {
				Token struct {
					Methods   []string
					ExpiresAt time.Time `json:"expires_at"`
					User      keystone.User
					Project   keystone.Project
					Roles     []keystone.Role
					Catalog   keystone.Catalog
				}
			}
			if err := json.Unmarshal(body, &into); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// bigBody is a compact v3 body of about 3.5 KB, as a cloud with a dozen endpoints issues.
var bigBody = func() string {
	var catalog []string
	for _, service := range []string{"identity", "compute", "image", "network", "volume"} {
		var endpoints []string
		for _, face := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, `{"id":"c038174808b448ef94089917f5ba66c4","interface":"`+face+`","region_id":"RegionOne","url":"http://controller.example.com:8774/v2.1/393ee9bc054e4acca3da070bb357c77e","region":"RegionOne"}`)
		}
		catalog = append(catalog, `{"endpoints":[`+strings.Join(endpoints, ",")+`],"id":"800a92c487f8498eab26f225c7d62260","type":"`+service+`","name":"`+service+`"}`)
	}
	return `{"token":{"methods":["password"],"extras":{},"expires_at":"2037-01-01T00:00:00.000000Z","issued_at":"2026-01-01T00:00:00.000000Z","audit_ids":["MRFXL-m6S-qHd74kmWcC1w"],` +
		`"user":{"id":"456ab2afb74c4c0380614ba3695a832b","name":"admin","domain":{"id":"default","name":"Default"}},"project":{"id":"393ee9bc054e4acca3da070bb357c77e","name":"admin","domain":{"id":"default","name":"Default"}},` +
		`"roles":[{"id":"3f155233ce24407ca28418ba2eb31f0e","name":"admin"}],"catalog":[` + strings.Join(catalog, ",") + `]}}`
}()
