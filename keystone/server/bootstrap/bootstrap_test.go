package bootstrap_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/bootstrap"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/tokens"
)

func backend(t *testing.T) *server.Server {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "keystone.conf")
	if err := os.WriteFile(conf, []byte("[database]\nconnection = sqlite:///"+filepath.Join(dir, "keystone.db")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := app.Load([]string{conf}, nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.OpenAnyStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Build(db, app.Options{Hashing: identity.Params{Memory: 8, Time: 1, Threads: 1}}).Server
}

func login(t *testing.T, s *server.Server, user, password, project string) (tokens.Issued, error) {
	t.Helper()
	domain := &tokens.Ref{ID: "default"}
	return s.Tokens.Issue(t.Context(), tokens.Request{
		Methods:  []string{"password"},
		Password: &tokens.Password{User: tokens.Ref{Name: user, Domain: domain}, Password: password},
		Scope:    tokens.Scope{Kind: tokens.ScopeProject, Ref: tokens.Ref{Name: project, Domain: domain}},
	})
}

func TestRunIsIdempotent(t *testing.T) {
	s := backend(t)
	ctx := t.Context()
	o := bootstrap.Options{
		Password: "secret", RegionID: "RegionOne", PublicURL: "http://p/v3", AdminURL: "http://a/v3", InternalURL: "http://i/v3",
		ServiceUsername: "authproxy", ServicePassword: "svc",
	}
	count := func() (n [6]int) {
		t.Helper()
		users, err1 := s.Identity.Users(ctx, nil)
		domains, err2 := s.Assignment.Domains(ctx, nil)
		projects, err3 := s.Assignment.Projects(ctx, nil)
		roles, err4 := s.Assignment.Roles(ctx, nil)
		services, err5 := s.Catalog.Services(ctx, nil)
		endpoints, err6 := s.Catalog.Endpoints(ctx, nil)
		for _, err := range []error{err1, err2, err3, err4, err5, err6} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return [6]int{len(users), len(domains), len(projects), len(roles), len(services), len(endpoints)}
	}
	if err := bootstrap.Run(ctx, s, o); err != nil {
		t.Fatal(err)
	}
	want := [6]int{2, 1, 2, 3, 1, 3}
	if got := count(); got != want {
		t.Errorf("made %v, want %v", got, want)
	}
	before, err := login(t, s, "admin", "secret", "admin")
	if err != nil {
		t.Fatal(err)
	}
	service, err := login(t, s, "authproxy", "svc", "service")
	if err != nil || !strings.Contains(string(service.Record.Body), `"name":"service"`) {
		t.Fatalf("service user: %s, %v", service.Record.Body, err)
	}

	if err := bootstrap.Run(ctx, s, o); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != want {
		t.Errorf("the second time: %v, want %v", got, want)
	}
	if _, err := s.Tokens.Validate(ctx, before.Text, false); err != nil {
		t.Errorf("the second time ended a token: %v", err)
	}

	// What differs is mended: a lost password, a disabled administrator, a lost role, another address.
	admin, err := s.Identity.UserByName(ctx, assignment.DefaultDomainID, "admin")
	if err != nil {
		t.Fatal(err)
	}
	off := false
	if _, err := s.Identity.UpdateUser(ctx, admin.ID, identity.Update{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	role, err := s.Assignment.RoleByName(ctx, "admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Assignment.DeleteRole(ctx, role.ID); err != nil {
		t.Fatal(err)
	}
	o.Password, o.PublicURL = "another", "http://new/v3"
	if err := bootstrap.Run(ctx, s, o); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != want {
		t.Errorf("mended: %v, want %v", got, want)
	}
	if _, err := login(t, s, "admin", "another", "admin"); err != nil {
		t.Errorf("after mending: %v", err)
	}
	public, err := s.Catalog.Endpoints(ctx, filter.List{{Attribute: "interface", Value: "public"}})
	if err != nil || len(public) != 1 || public[0].URL != "http://new/v3" {
		t.Errorf("public endpoint %v, %v", public, err)
	}
}

func TestNames(t *testing.T) {
	s := backend(t)
	if err := bootstrap.Run(t.Context(), s, bootstrap.Options{
		Password: "x", Username: "root", ProjectName: "ops", RoleName: "boss", ServiceName: "id",
	}); err != nil {
		t.Fatal(err)
	}
	issued, err := login(t, s, "root", "x", "ops")
	if err != nil || !strings.Contains(string(issued.Record.Body), `"name":"boss"`) || !strings.Contains(string(issued.Record.Body), `"name":"id"`) {
		t.Errorf("token %s, %v", issued.Record.Body, err)
	}
	for _, o := range []bootstrap.Options{{}, {Password: "x", ServiceUsername: "u"}, {Password: "x", ServicePassword: "p"}} {
		if err := bootstrap.Run(t.Context(), s, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
