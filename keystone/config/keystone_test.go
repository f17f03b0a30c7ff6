package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeystoneDefaults(t *testing.T) {
	k, err := LoadKeystone(Input{Environ: []string{"AUTHPROXY_PUBLIC_PORT=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Warnings()) != 0 {
		t.Errorf("warnings %q", texts(k.Warnings()))
	}
	k.values, k.Database.connection = nil, Secret{}
	want := &Keystone{
		PublicBindHost: "127.0.0.1", AdminBindHost: "127.0.0.1", PublicPort: 5000, AdminPort: 35357,
		MaxRequestBodySize: 114688, MaxParamSize: 64, MaxTokenSize: 65536, MemberRoleID: "9fe2ff9ee4384b1894a90878d3e92bab", MemberRoleName: "_member_",
		Provider: "uuid", TokenExpiration: time.Hour, HashAlgorithm: "md5", RevokeByID: true, EnforceTokenBind: "permissive",
		Signing: Signing{CertFile: "/etc/keystone/ssl/certs/signing_cert.pem", KeyFile: "/etc/keystone/ssl/private/signing_key.pem",
			CACerts: "/etc/keystone/ssl/certs/ca.pem", CAKey: "/etc/keystone/ssl/private/cakey.pem", KeySize: 2048, ValidDays: 3650,
			CertSubject: "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com"},
		TLS: TLS{CertFile: "/etc/keystone/ssl/certs/keystone.pem", KeyFile: "/etc/keystone/ssl/private/keystonekey.pem",
			CACerts: "/etc/keystone/ssl/certs/ca.pem", CAKey: "/etc/keystone/ssl/private/cakey.pem", KeySize: 2048, ValidDays: 3650,
			CertSubject: "/C=US/ST=Unset/L=Unset/O=Unset/CN=localhost"},
		Database:    Database{Driver: "sqlite", Path: "keystone.db", IdleTimeout: time.Hour, MaxPoolSize: 10, MaxOverflow: 20},
		AuthMethods: []string{"password", "token", "oauth1"}, DefaultDomainID: "default", DomainConfigDir: "/etc/keystone/domains",
		Senders: Senders{External: "DefaultDomain"}, Guessing: Guessing{MaxDelay: time.Minute, LockFor: 30 * time.Minute}, NotificationFormat: "basic",
		CatalogDriver: "sql", TemplateFile: "default_catalog.templates", ComputePort: 8774,
		PolicyDefaultRule: "default", PolicyRemoteChecks: "off",
		Trust: Trust{Enabled: true, MaxRedelegationCount: 3}, OAuth1: OAuth1{8 * time.Hour, 24 * time.Hour, true}, EndpointFilter: EndpointFilter{AllIfNone: true},
		MaxProjectTreeDepth: 5, ListLimits: map[string]int{}, apiCompat: "kilo",
	}
	if !reflect.DeepEqual(k, want) {
		t.Errorf("got\n%+v\nwant\n%+v", k, want)
	}
}

func TestKeystoneFile(t *testing.T) {
	t.Chdir("testdata")
	k, err := LoadKeystone(Input{Files: []string{"keystone.conf"}})
	if err != nil {
		t.Fatal(err)
	}
	if k.File != "keystone.conf" || k.AdminToken.Reveal() != "8c7d6e5f40312233" || k.PublicBindHost != "0.0.0.0" || k.AdminBindHost != "10.0.0.5" ||
		k.PublicEndpoint != "http://identity.example.com:5000/" || k.Provider != "pki" || k.TokenExpiration != 2*time.Hour ||
		!slices.Equal(k.Bind, []string{"kerberos"}) || !slices.Equal(k.AuthMethods, []string{"external", "password", "token"}) ||
		k.Database.Driver != "postgresql" || k.Database.URL.Reveal() != "postgresql://keystone:hunter2@db.example.com/keystone?sslmode=verify-full" ||
		k.Database.IdleTimeout != 200*time.Second {
		t.Errorf("got %+v", k)
	}
	want := []string{
		"keystone.conf:6: [DEFAULT] verbose: is read but has no effect here",
		"keystone.conf:8: [DEFAULT] public_prot: is read but has no effect here; did you mean public_port?",
		"keystone.conf:18: [cache] backend_argument: is read but has no effect here",
		"keystone.conf:19: [cache] backend_argument: is read but has no effect here",
		"keystone.conf:26: [ldap] user_tree_dn: is read but has no effect here",
		"keystone.conf:28: [singing]: is no section that is known here; did you mean [signing]?",
		"keystone.conf:36: [filter:debug]: has no effect here: pipelines are fixed",
		"keystone.conf:7: [DEFAULT] bind_host: has no effect, line 4 says otherwise",
		"keystone.conf:3: [DEFAULT] admin_token: is set: whoever knows it may do everything; take it out after bootstrapping",
	}
	if got := texts(k.Warnings()); !slices.Equal(got, want) {
		t.Errorf("warnings\n%s", strings.Join(got, "\n"))
	}
	all := fmt.Sprintf("%v %+v %#v %v", k, k, k, k.Effective())
	for _, secret := range []string{"hunter2", "8c7d6e5f40312233"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s shows in %s", secret, all)
		}
	}
	for _, line := range []string{
		"admin_token = ***  # keystone.conf:3",
		"connection = postgresql://keystone:***@db.example.com/keystone?***  # keystone.conf:22",
		"public_endpoint = http://identity.example.com:5000/  # keystone.conf:5",
		"provider = keystone.token.providers.pki.Provider  # keystone.conf:32",
		"admin_port = 35357  # default",
	} {
		if !slices.ContainsFunc(k.Effective(), func(v Value) bool { return v.String() == line }) {
			t.Errorf("no %q in %v", line, k.Effective())
		}
	}
}

// TestTokenFormat is the rule for [signing] token_format beside [token] provider; the starts that it refuses are under
// testdata/wrong-keystone.
func TestTokenFormat(t *testing.T) {
	for _, tt := range []struct{ text, want, source string }{
		{"", "uuid", "default"},
		{"[token]\nprovider = keystone.token.providers.pki.Provider\n[signing]\ntoken_format = PKI\n", "pki", ":2"},
		{"[token]\nprovider = keystone.token.providers.uuid.Provider\n[signing]\ntoken_format = UUID\n", "uuid", ":2"},
		{"[signing]\ntoken_format = PKI\n", "pki", ":2"},
		{"[signing]\ntoken_format = UUID\n", "uuid", ":2"},
		{"[token]\nprovider = keystone.token.providers.pkiz.Provider\n", "pkiz", ":2"},
		{"[token]\nprovider = pki\n", "pki", ":2"},
		{"[token]\nprovider =\n[signing]\ntoken_format = PKI\n", "pki", ":2"},
	} {
		k, err := LoadKeystone(Input{Files: []string{write(t, tt.text)}})
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		i := slices.IndexFunc(k.Effective(), func(v Value) bool { return v.Name == "provider" })
		if v := k.Effective()[i]; k.Provider != tt.want || !strings.HasSuffix(v.Source.String(), tt.source) || !strings.Contains(v.Text, tt.want) && v.Text != "" {
			t.Errorf("%q: got %s, %v", tt.text, k.Provider, v)
		}
	}
}

func TestDatabase(t *testing.T) {
	for connection, want := range map[string]Database{
		"sqlite:///keystone.db":                      {Driver: "sqlite", Path: "keystone.db"},
		"sqlite:////var/lib/keystone/keystone.db":    {Driver: "sqlite", Path: "/var/lib/keystone/keystone.db"},
		"sqlite+pysqlite:///a/b.db":                  {Driver: "sqlite", Path: "a/b.db"},
		"sqlite://":                                  {Driver: "sqlite", Path: ":memory:"},
		"sqlite:///:memory:":                         {Driver: "sqlite", Path: ":memory:"},
		"postgresql://u:p@h:5432/n":                  {Driver: "postgresql", URL: NewSecret("postgresql://u:p@h:5432/n")},
		"postgres://h/n?host=/run":                   {Driver: "postgresql", URL: NewSecret("postgresql://h/n?host=/run")},
		"postgresql+psycopg2://u:p%40x@h/n?a=1&b=$$": {Driver: "postgresql", URL: NewSecret("postgresql://u:p%40x@h/n?a=1&b=$")},
	} {
		k, err := LoadKeystone(Input{Files: []string{write(t, "[database]\nconnection = "+connection+"\n")}})
		if err != nil {
			t.Errorf("%s: %v", connection, err)
			continue
		}
		if d := k.Database; d.Driver != want.Driver || d.Path != want.Path || d.URL.Reveal() != want.URL.Reveal() {
			t.Errorf("%s: got %+v %q", connection, d, d.URL.Reveal())
		}
	}
	for connection, want := range map[string]string{
		"sqlite:////var/k.db":                      "sqlite:////var/k.db",
		"sqlite:///k.db":                           "sqlite:///k.db",
		"sqlite://":                                "sqlite://",
		"postgresql://u@h/n":                       "postgresql://u@h/n",
		"postgresql://u:hunter2@h/n":               "postgresql://u:***@h/n",
		"postgresql://h/n?password=hunter2&user=u": "postgresql://h/n?***",
	} {
		k, err := LoadKeystone(Input{Flags: map[string]string{}, Files: []string{write(t, "[database]\nconnection = "+connection+"\n")}})
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Database.String(); got != want {
			t.Errorf("%s prints as %s", connection, got)
		}
	}
}

// TestDatabaseOverNetwork: a connection to another machine that is not checked draws a warning.
func TestDatabaseOverNetwork(t *testing.T) {
	for connection, warns := range map[string]bool{
		"postgresql://u:p@db.example.com/n":                                 true,
		"postgresql://u:p@db.example.com:5432/n?sslmode=require":            true,
		"postgresql://u:p@10.0.0.5/n":                                       true,
		"postgresql:///n?host=localhost,db.example.com":                     true,
		"postgresql://u:p@db.example.com/n?sslmode=verify-full":             false,
		"postgresql://u:p@db.example.com/n?sslrootcert=f&sslmode=verify-ca": false,
		"postgresql://u:p@127.0.0.1:5433/n":                                 false,
		"postgresql://u:p@[::1]:5433/n":                                     false,
		"postgresql://u:p@localhost/n":                                      false,
		"postgresql:///n":                                                   false,
		"postgresql:///n?host=/run/postgresql":                              false,
		"sqlite:///k.db":                                                    false,
	} {
		k, err := LoadKeystone(Input{Files: []string{write(t, "[database]\nconnection = "+connection+"\n")}})
		if err != nil {
			t.Errorf("%s: %v", connection, err)
			continue
		}
		got := texts(k.Warnings())
		if (len(got) == 1 && strings.Contains(got[0], "password hashes and token ids go to")) != warns || len(got) > 1 {
			t.Errorf("%s: warnings %q", connection, got)
		}
	}
}

func TestKeystoneFlags(t *testing.T) {
	path := write(t, "[DEFAULT]\npublic_port = 5001\nadmin_port = 5002\n[sql]\nconnection = sqlite:///old.db\n")
	k, err := LoadKeystone(Input{Files: []string{path}, Flags: map[string]string{"public-port": "6000", "debug": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	if k.PublicPort != 6000 || k.AdminPort != 5002 || !k.Debug || k.Database.Path != "old.db" {
		t.Errorf("got %+v", k)
	}
	if got := texts(k.Warnings()); len(got) != 1 || got[0] != path+":5: [sql] connection: is an old name; write [database] connection" {
		t.Errorf("warnings %q", got)
	}
}

// TestAnyPort: port 0 lets the system choose, so both listeners may have it.
func TestAnyPort(t *testing.T) {
	for _, text := range []string{"public_port = 0\nadmin_port = 0\n", "public_port = 65535\n", "public_port = 5000\nadmin_port = 5000\nadmin_bind_host = 127.0.0.2\n"} {
		if _, err := LoadKeystone(Input{Files: []string{write(t, "[DEFAULT]\n"+text)}}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFindKeystoneConf(t *testing.T) {
	home, root := t.TempDir(), t.TempDir()
	find := func() string {
		t.Helper()
		path, err := FindKeystoneConf(home, root)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got := find(); got != "" {
		t.Fatalf("found %s in empty directories", got)
	}
	// From the last place to the first: each one found hides those before.
	for _, dir := range []string{filepath.Join(root, "etc"), filepath.Join(root, "etc/keystone"), home, filepath.Join(home, ".keystone")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "keystone.conf")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := find(); got != path {
			t.Errorf("found %s, want %s", got, path)
		}
	}
	if got, err := FindKeystoneConf("", root); err != nil || got != filepath.Join(root, "etc/keystone/keystone.conf") {
		t.Errorf("without a home: %s, %v", got, err)
	}
	// What is there but cannot be looked at is not passed by.
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := FindKeystoneConf(blocked, root); err == nil {
		t.Errorf("a home that is no directory gave %s", got)
	}
}

func TestListLimits(t *testing.T) {
	for text, want := range map[string]map[string]int{
		"":                             {},
		"[DEFAULT]\nlist_limit = 7":    {"": 7},
		"[DEFAULT]\nlist_limit =":      {},
		"[identity]\nlist_limit = 0":   {"identity": 0},
		"[assignment]\nlist_limit = 5": {"assignment": 5, "resource": 5, "role": 5},
		"[assignment]\nlist_limit = 5\n[role]\nlist_limit = 6": {"assignment": 5, "resource": 5, "role": 6},
	} {
		path := filepath.Join(t.TempDir(), "keystone.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := LoadKeystone(Input{Files: []string{path}})
		if err != nil || !reflect.DeepEqual(k.ListLimits, want) || len(k.Warnings()) > 0 {
			t.Errorf("%q: %v, %v %v, want %v", text, k, err, texts(k.Warnings()), want)
		}
	}
}
