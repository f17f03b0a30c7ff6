package headers

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"authproxy/keystone"
)

func v3Project() *keystone.Token {
	return &keystone.Token{
		Version: 3,
		User:    keystone.User{ID: "u1", Name: "alice", Domain: keystone.Domain{ID: "default", Name: "Default"}},
		Project: &keystone.Project{ID: "p1", Name: "demo", Domain: keystone.Domain{ID: "d1", Name: "Corp"}},
		Roles:   []keystone.Role{{ID: "r1", Name: "member"}, {ID: "r2", Name: "reader"}},
	}
}

func TestSetForEachScope(t *testing.T) {
	no, yes := false, true
	user := map[string]string{
		"X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True",
		"X-User-Id": "u1", "X-User-Name": "alice", "X-User": "alice",
		"X-User-Domain-Id": "default", "X-User-Domain-Name": "Default",
	}
	roles := map[string]string{"X-Roles": "member,reader", "X-Role": "member,reader"}
	project := map[string]string{
		"X-Project-Id": "p1", "X-Project-Name": "demo", "X-Project-Domain-Id": "d1", "X-Project-Domain-Name": "Corp",
		"X-Tenant-Id": "p1", "X-Tenant-Name": "demo", "X-Tenant": "demo",
	}
	tests := map[string]struct {
		change func(*keystone.Token)
		want   []map[string]string
	}{
		"project": {func(*keystone.Token) {}, []map[string]string{user, roles, project}},
		"domain": {func(k *keystone.Token) {
			k.Project, k.Domain = nil, &keystone.Domain{ID: "d2", Name: "Lab"}
		}, []map[string]string{user, roles, {"X-Domain-Id": "d2", "X-Domain-Name": "Lab"}}},
		"system": {func(k *keystone.Token) {
			k.Project, k.System = nil, true
		}, []map[string]string{user, roles, {"Openstack-System-Scope": "all"}}},
		"unscoped": {func(k *keystone.Token) {
			k.Project, k.Roles = nil, nil
		}, []map[string]string{user, {"X-Roles": "", "X-Role": ""}}},
		"admin project": {func(k *keystone.Token) {
			k.IsAdminProject = &yes
		}, []map[string]string{user, roles, project}},
		"not the admin project": {func(k *keystone.Token) {
			k.IsAdminProject = &no
		}, []map[string]string{user, roles, project, {"X-Is-Admin-Project": "False"}}},
		"v2": {func(k *keystone.Token) {
			k.Version = 2
			k.User.Domain, k.Project.Domain = keystone.Domain{}, keystone.Domain{}
		}, []map[string]string{roles, {
			"X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True",
			"X-User-Id": "u1", "X-User-Name": "alice", "X-User": "alice",
			"X-Project-Id": "p1", "X-Project-Name": "demo",
			"X-Tenant-Id": "p1", "X-Tenant-Name": "demo", "X-Tenant": "demo",
		}}},
		"federated user without a domain, name not ASCII": {func(k *keystone.Token) {
			k.User = keystone.User{ID: "u1", Name: "Zoë", Federated: true}
		}, []map[string]string{roles, project, {
			"X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True",
			"X-User-Id": "u1", "X-User-Name": "Zo\xc3\xab", "X-User": "Zo\xc3\xab",
		}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			token := v3Project()
			tt.change(token)
			id, err := Prepare(token, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, m := range tt.want {
				maps.Copy(want, m)
			}
			got := http.Header{}
			id.Set(got)
			compare(t, got, want)
		})
	}
}

func TestEncoding(t *testing.T) {
	tests := map[string]struct {
		encoding, user, role string
		wantUser, wantRole   string
		err                  error
	}{
		"ASCII is the same in both":          {"iso-8859-1", "alice", "member", "alice", "member", nil},
		"UTF-8":                              {"utf-8", "Zoë", "rôle", "Zo\xc3\xab", "r\xc3\xb4le", nil},
		"UTF-8 carries everything":           {"UTF-8", "\u65e5\u672c \U0001F600", "m", "\u65e5\u672c \U0001F600", "m", nil},
		"ISO-8859-1":                         {"ISO-8859-1", "Zoë", "rôle", "Zo\xeb", "r\xf4le", nil},
		"its last character":                 {"iso-8859-1", "\u00ff\u00a1", "m", "\xff\xa1", "m", nil},
		"a character that it does not have":  {"iso-8859-1", "\u0100", "m", "", "", ErrUnsafe},
		"one that would be cut to a comma":   {"iso-8859-1", "zoe", "a\u022cb", "", "", ErrUnsafe},
		"one that would be cut to LF":        {"iso-8859-1", "a\u010ab", "m", "", "", ErrUnsafe},
		"a control character beyond ASCII":   {"iso-8859-1", "a\u0085b", "m", "", "", ErrUnsafe},
		"a no-break space at the end, UTF-8": {"utf-8", "zoe\u00a0", "m", "", "", ErrUnsafe},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			encoding, err := ParseEncoding(tt.encoding)
			if err != nil {
				t.Fatal(err)
			}
			token := v3Project()
			token.User.Name, token.Roles = tt.user, []keystone.Role{{Name: tt.role}}
			id, err := Prepare(token, Options{Encoding: encoding})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			service, err := PrepareService(token, Options{Encoding: encoding})
			if err != nil {
				t.Fatal(err)
			}
			got := http.Header{}
			id.Set(got)
			service.Set(got)
			for name, want := range map[string]string{
				"X-User-Name": tt.wantUser, "X-User": tt.wantUser, "X-Service-User-Name": tt.wantUser,
				"X-Roles": tt.wantRole, "X-Role": tt.wantRole, "X-Service-Roles": tt.wantRole,
			} {
				if v := got[name]; len(v) != 1 || v[0] != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
		})
	}
	if _, err := ParseEncoding("utf-16"); err == nil {
		t.Error("utf-16 is taken for an encoding of headers")
	}
}

func compare(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if vs, ok := got[k]; !ok || len(vs) != 1 || vs[0] != v {
			t.Errorf("%s: got %q, want %q", k, vs, v)
		}
	}
	for k, vs := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %q is there and should be absent", k, vs)
		}
	}
}

func TestSetService(t *testing.T) {
	token := v3Project()
	token.System = true // cannot be with a project; shows that the scope is not written for a service
	token.Catalog = keystone.Catalog{}
	id, err := PrepareService(token, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := http.Header{}
	id.Set(got)
	compare(t, got, map[string]string{
		"X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "member,reader",
		"X-Service-User-Id": "u1", "X-Service-User-Name": "alice",
		"X-Service-User-Domain-Id": "default", "X-Service-User-Domain-Name": "Default",
		"X-Service-Project-Id": "p1", "X-Service-Project-Name": "demo",
		"X-Service-Project-Domain-Id": "d1", "X-Service-Project-Domain-Name": "Corp",
	})
}

func TestSetInvalid(t *testing.T) {
	got := http.Header{}
	SetInvalid(got)
	SetServiceInvalid(got)
	compare(t, got, map[string]string{"X-Identity-Status": "Invalid", "X-Service-Identity-Status": "Invalid"})
}

func TestPrepareRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*keystone.Token)
		want   error
	}{
		"CR LF in the user name":      {func(k *keystone.Token) { k.User.Name = "a\r\nX-Roles: admin" }, ErrUnsafe},
		"NUL in the user id":          {func(k *keystone.Token) { k.User.ID = "a\x00b" }, ErrUnsafe},
		"tab in the project name":     {func(k *keystone.Token) { k.Project.Name = "a\tb" }, ErrUnsafe},
		"DEL in the domain name":      {func(k *keystone.Token) { k.User.Domain.Name = "a\x7f" }, ErrUnsafe},
		"C1 control in project id":    {func(k *keystone.Token) { k.Project.ID = "a\u0085b" }, ErrUnsafe},
		"LF in project domain":        {func(k *keystone.Token) { k.Project.Domain.ID = "\n" }, ErrUnsafe},
		"LF in domain":                {func(k *keystone.Token) { k.Domain = &keystone.Domain{ID: "x", Name: "\n"} }, ErrUnsafe},
		"broken UTF-8":                {func(k *keystone.Token) { k.User.Name = "a\xff" }, ErrUnsafe},
		"comma in a role name":        {func(k *keystone.Token) { k.Roles[1].Name = "x,admin" }, ErrUnsafe},
		"LF in a role name":           {func(k *keystone.Token) { k.Roles[1].Name = "x\nadmin" }, ErrUnsafe},
		"blank after a role name":     {func(k *keystone.Token) { k.Roles[1].Name = "admin " }, ErrUnsafe},
		"blank before the user name":  {func(k *keystone.Token) { k.User.Name = " alice" }, ErrUnsafe},
		"role without a name":         {func(k *keystone.Token) { k.Roles[0].Name = "" }, ErrUnsafe},
		"v2 token without a project":  {func(k *keystone.Token) { k.Version, k.Project = 2, nil }, ErrNoProject},
		"blanks inside are no matter": {func(k *keystone.Token) { k.User.Name = "alice of Corp"; k.Roles[0].Name = "net admin" }, nil},
		"an equals sign and colons":   {func(k *keystone.Token) { k.User.Name = `a=b:c;"d"` }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			token := v3Project()
			tt.change(token)
			for _, prepare := range []func(*keystone.Token, Options) (*Identity, error){Prepare, PrepareService} {
				id, err := prepare(token, Options{})
				if !errors.Is(err, tt.want) {
					t.Fatalf("error %v, want %v", err, tt.want)
				}
				if (id == nil) != (err != nil) {
					t.Errorf("a block and an error: %v, %v", id, err)
				}
			}
		})
	}
}

func TestEveryNameOfTheTableIsStripped(t *testing.T) {
	for _, r := range table {
		for _, name := range []string{r.user, r.service} {
			if name == "" {
				continue
			}
			if http.CanonicalHeaderKey(name) != name {
				t.Errorf("%s is not in canonical form", name)
			}
			for _, spelling := range []string{name, strings.ToUpper(name), strings.ToLower(name),
				strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", ".")} {
				if !Reserved(spelling) {
					t.Errorf("%s is not reserved", spelling)
				}
			}
		}
	}
}

func TestReserved(t *testing.T) {
	reserved := []string{
		"X_Auth_Token", "X_auth-Token", "x-auth-token", "X.Auth.Token", "X_Service_Token", "X-Storage_Token",
		"X-Identity-Anything", "X-Service-Anything", "X-Users", "X-User_Id", "X_user_id", "X-Tenants", "X-Projects",
		"X-Domain", "X-Rolex", "X-Is-Admin", "X_Is_Admin_Anything", "X-Authproxy-Guard", "OPENSTACK_SYSTEM_SCOPE",
		"Openstack-System-Scope", "Keystone.token_info", "KEYSTONE_TOKEN_AUTH", "Remote-User", "REMOTE_USER", "",
	}
	kept := []string{
		"X-Auth-Token", "X-Service-Token", "X-Storage-Token", "X-Auth-Token-Extra", "X-Subject-Token", "X-Container-Meta-User",
		"X-Image-Meta-Owner", "X-Openstack-Request-Id", "Openstack-Api-Version", "Origin", "Keep-Alive", "Kind", "Host",
		"X-Identity", "X-Timestamp", "X", "O", "K", "Remote-Users", "X-Forwarded-For",
	}
	for _, name := range reserved {
		if !Reserved(name, "Remote-User") {
			t.Errorf("%q is let through", name)
		}
	}
	for _, name := range kept {
		if Reserved(name, "Remote-User") {
			t.Errorf("%q is reserved", name)
		}
	}
}

func TestIsForwarding(t *testing.T) {
	for name, want := range map[string][2]bool{
		"Forwarded": {true, true}, "X-Forwarded-For": {true, true}, "X-Forwarded-Prefix": {true, true},
		"X_Forwarded_For": {true, false}, "X-Forwarded_proto": {true, false}, "FORWARDED": {true, false},
		"Forwarded-By": {}, "X-Forwarded": {}, "Host": {}, "": {},
	} {
		if f, c := IsForwarding(name); f != want[0] || c != want[1] {
			t.Errorf("%q: %v %v, want %v", name, f, c, want)
		}
	}
}

// What the hot path does for each request of a cached token.
func BenchmarkReservedAndAppend(b *testing.B) {
	token := v3Project()
	token.Catalog = keystone.Catalog{}
	id, err := Prepare(token, Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}, "X-Auth-Token": {"x"}, "Content-Type": {"x"}, "Accept-Encoding": {"x"}, "X-Roles": {"x"}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		for name := range h {
			Reserved(name)
		}
		buf, _ = id.Append(buf[:0])
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	id, err := Prepare(v3Project(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 16<<10)
	if n := testing.AllocsPerRun(100, func() { Reserved("X-Roles", "Remote-User"); buf, _ = id.Append(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func FuzzReserved(f *testing.F) {
	for _, s := range []string{"X-User-Id", "x_roles", "X.Is.Admin.Project", "X-Auth-Token", "X_Auth_Token", "X-Service-Token", "", "openstack_system_scope"} {
		f.Add(s)
	}
	// The reference: how a CGI server names it, whichever character it folds.
	cgi := func(name string) string {
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
				return r
			}
			return '_'
		}, name)
	}
	owned := map[string]bool{}
	for _, r := range table {
		owned[cgi(r.user)], owned[cgi(r.service)] = true, true
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, spelling := range []string{name, http.CanonicalHeaderKey(name)} {
			if Reserved(spelling) {
				continue
			}
			if owned[cgi(spelling)] {
				t.Errorf("%q is let through", spelling)
			}
			for _, token := range tokens {
				if cgi(spelling) == cgi(token.canonical) && spelling != token.canonical {
					t.Errorf("%q, a look-alike of %s, is let through", spelling, token.canonical)
				}
			}
		}
	})
}
