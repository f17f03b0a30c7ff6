package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// write puts text into a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// login is a [keystone_authtoken] that has all it needs.
const login = "[keystone_authtoken]\nauth_url = https://identity.example.com:5000\nuser_id = 7\npassword = x\nproject_id = 9\n"

func load(t *testing.T, text string) *AuthToken {
	t.Helper()
	a, err := LoadAuthToken(Input{Files: []string{write(t, text)}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDefaults(t *testing.T) {
	a, err := LoadAuthToken(Input{})
	if err != nil {
		t.Fatal(err)
	}
	a.values, a.warnings = nil, nil
	want := &AuthToken{
		AuthType: "password", AuthVersion: "auto", HTTPConnectTimeout: 5 * time.Second, HTTPRequestMaxRetries: 3,
		PKI: "auto", HashAlgorithms: []string{"md5"}, EnforceTokenBind: "permissive", IncludeServiceCatalog: true, UndecidablePolicy: "online",
		MaxTokenSize: 64 << 10, MaxInflatedSize: 512 << 10, ServiceTokenRoles: []string{"service"}, ServiceTokenRolesRequired: true,
		TokenCacheTime: 5 * time.Minute, CacheSizeBytes: 64 << 20, RevocationCacheTime: 10 * time.Second, RevocationLongPoll: 30 * time.Second, RevocationMaxStale: 5 * time.Minute,
		RevocationStalePolicy: "reject", RevocationEvents: "auto", CertRefreshInterval: time.Hour, CertRefreshCooldown: 30 * time.Second, CheckRevocationsCached: true,
		SharedCache: SharedCache{DeadRetry: 5 * time.Minute, SocketTimeout: time.Second, UnusedTimeout: time.Minute, MaxConnections: 10},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got\n%+v\nwant\n%+v", a, want)
	}
}

func TestServiceFile(t *testing.T) {
	t.Chdir("testdata")
	a, err := LoadAuthToken(Input{Files: []string{"glance-api.conf"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.AuthURL != "https://identity.example.com:5000/v3/" || a.WWWAuthenticateURI != "https://identity.example.com:5000" ||
		a.Username != "glance" || a.UserDomainID != "default" || a.ProjectName != "service" || a.ProjectDomainID != "default" ||
		a.Password.Reveal() != "pa$word # with a hash " || !slices.Equal(a.HashAlgorithms, []string{"md5", "sha256"}) || a.Insecure {
		t.Errorf("got %+v", a)
	}
	want := []string{"glance-api.conf:18: [keystone_authtoken] memcached_servers: has no effect without memcache_secret_key: whoever can write to an unprotected memcached can be anyone; the proxy keeps tokens in its own memory only. Set memcache_secret_key, and memcache_security_strategy = ENCRYPT where Python services share the cache"}
	if got := texts(a.Warnings()); !slices.Equal(got, want) {
		t.Errorf("warnings %q", got)
	}
}

func texts(warnings []Warning) []string {
	var out []string
	for _, w := range warnings {
		out = append(out, w.String())
	}
	return out
}

func TestPrecedence(t *testing.T) {
	first := write(t, login+"interface = internal\ntoken_cache_time = 1\nrevocation_cache_time = 1\ncert_refresh_interval = 1\n")
	second := write(t, "[keystone_authtoken]\nrevocation_cache_time = 2\ncert_refresh_interval = 2\ncert_refresh_cooldown = 2\n")
	a, err := LoadAuthToken(Input{
		Files:   []string{first, second},
		Environ: []string{"AUTHPROXY_CERT_REFRESH_INTERVAL=3", "AUTHPROXY_CERT_REFRESH_COOLDOWN=3", "AUTHPROXY_PASSWORD= a$b ", "HOME=/"},
		Flags:   map[string]string{"cert-refresh-cooldown": "4"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"max_token_size":        "max_token_size = 65536  # default",
		"token_cache_time":      "token_cache_time = 1  # " + first + ":7",
		"revocation_cache_time": "revocation_cache_time = 2  # " + second + ":2",
		"cert_refresh_interval": "cert_refresh_interval = 3  # environment AUTHPROXY_CERT_REFRESH_INTERVAL",
		"cert_refresh_cooldown": "cert_refresh_cooldown = 4  # flag --cert-refresh-cooldown",
		"password":              "password = ***  # environment AUTHPROXY_PASSWORD",
		"cafile":                "cafile =   # default",
	} {
		i := slices.IndexFunc(a.Effective(), func(v Value) bool { return v.Name == name })
		if i < 0 || a.Effective()[i].String() != want {
			t.Errorf("%s: got %q, want %q", name, a.Effective(), want)
		}
	}
	if a.CertRefreshCooldown != 4*time.Second || a.CertRefreshInterval != 3*time.Second || a.RevocationCacheTime != 2*time.Second || a.TokenCacheTime != time.Second {
		t.Errorf("got %+v", a)
	}
	if got := a.Password.Reveal(); got != " a$b " {
		t.Errorf("the password of the environment became %q", got)
	}
}

func TestErrorsNameTheSource(t *testing.T) {
	_, err := LoadAuthToken(Input{Environ: []string{"AUTHPROXY_INSECURE=flase"}, Flags: map[string]string{"pki": "yes", "password": "x", "nonsense": "1"}})
	want := `environment AUTHPROXY_INSECURE: [keystone_authtoken] insecure: "flase" is not a boolean; write true or false
flag --pki: [keystone_authtoken] pki: "yes" is not one of auto, required, off
`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("got\n%v", err)
	}
	for _, flag := range []string{"password", "nonsense"} {
		if !strings.Contains(err.Error(), "flag --"+flag+": there is no option of this name that a flag may set") {
			t.Errorf("--%s is accepted", flag)
		}
	}
}

func TestUnknownVariablesOnlyWarn(t *testing.T) {
	a, err := LoadAuthToken(Input{Environ: []string{"AUTHPROXY_INSECRE=true", "AUTHPROXY_PORT=tcp://10.0.0.1:80", "AUTHPROXY_insecure=true"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"environment AUTHPROXY_INSECRE: no option has this name; did you mean AUTHPROXY_INSECURE?",
		"environment AUTHPROXY_PORT: no option has this name",
		"environment AUTHPROXY_insecure: no option has this name; did you mean AUTHPROXY_INSECURE?",
	}
	if got := texts(a.Warnings()); !slices.Equal(got, want) || a.Insecure {
		t.Errorf("got %q", got)
	}
}

// TestBooleans is the lesson of CVE-2014-7144 and CVE-2015-1852: a word that is no boolean is never taken for true.
func TestBooleans(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "True": true, "TRUE": true, "1": true, "on": true, "yes": true, "Yes": true, `"true"`: true, "' yes '": true,
		"false": false, "False": false, "FALSE": false, "0": false, "off": false, "no": false, `"false"`: false, `'False'`: false, `"0"`: false, `"no"`: false,
	} {
		if a := load(t, login+"insecure = "+text+"\n"); a.Insecure != want {
			t.Errorf("insecure = %s became %v", text, a.Insecure)
		}
	}
	for _, text := range []string{"flase", "", "t", "f", "y", "n", "2", "-1", "none", "enabled", "true false", `""true""`} {
		if a, err := LoadAuthToken(Input{Files: []string{write(t, login+"insecure = "+text+"\n")}}); err == nil {
			t.Errorf("insecure = %s was accepted as %v", text, a.Insecure)
		}
	}
}

func TestSubstitution(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"own section", "cafile = $certfile\ncertfile = /c", "/c"},
		{"own section before DEFAULT", "cafile = $certfile\ncertfile = /c\n[DEFAULT]\ncertfile = /d", "/c"},
		{"DEFAULT", "cafile = $state_path/ca\n[DEFAULT]\nstate_path = /d", "/d/ca"},
		{"braces", "cafile = ${state_path}x\n[DEFAULT]\nstate_path = /d", "/dx"},
		{"another section", "cafile = ${ssl.ca}\n[ssl]\nca = /s", "/s"},
		{"another section without braces", "cafile = $ssl.ca\n[ssl]\nca = /s", "/s"},
		{"in turn, each where it stands", "cafile = ${ssl.ca}\n[ssl]\nca = $dir/s\ndir = /x\n[DEFAULT]\ndir = /y", "/x/s"},
		{"our defaults", "cafile = /$pki", "/auto"},
		{"unset but known", "cafile = /x$region_name", "/x"},
		{"dollar signs", `cafile = $$a\$b$1$`, "$a$b$1$"},
		{"open brace stays", "cafile = ${certfile", "${certfile"},
		{"braces around nothing stay", "cafile = ${}", "${}"},
		{"no second round", "cafile = $certfile\ncertfile = $$pki", "$pki"},
		{"flag is taken as it is", "cafile = $signing_dir", "/$f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := LoadAuthToken(Input{Files: []string{write(t, login+tt.text+"\n")}, Flags: map[string]string{"signing-dir": "/$f"}})
			if err != nil {
				t.Fatal(err)
			}
			if a.CAFile != tt.want {
				t.Errorf("got %q, want %q", a.CAFile, tt.want)
			}
		})
	}
}

// TestSubstitutedSecret: a secret does not get into an option whose value is printed, not even into its error.
func TestSubstitutedSecret(t *testing.T) {
	path := write(t, "[keystone_authtoken]\npassword = hunter2\npki = $password\ninsecure = $password\ntoken_cache_time = $password\nauth_url=$password\ncafile = ${certfile}\ncertfile = $password\n")
	_, err := LoadAuthToken(Input{Files: []string{path}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
	for line := 3; line <= 8; line++ {
		if !strings.Contains(err.Error(), fmt.Sprintf("%s:%d: ", path, line)) {
			t.Errorf("nothing about line %d in\n%v", line, err)
		}
	}
	k, err := LoadKeystone(Input{Files: []string{write(t, "[database]\nconnection = postgresql://u:$db_password@h/n\n[DEFAULT]\ndb_password = hunter2\n")}})
	if err != nil || k.Database.URL.Reveal() != "postgresql://u:hunter2@h/n" {
		t.Errorf("got %+v, %v", k, err)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	a := load(t, strings.Replace(login, "password = x", "password = hunter2", 1))
	nested := struct{ inner AuthToken }{*a}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", a.Password, "all", a)
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v", a, a, a, a.Password, a.Password, a.Password, a.Password, nested, nested, a.Effective()) + log.String() + string(text)
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2")} {
		if strings.Contains(all, form) {
			t.Errorf("the password shows in %s", all)
		}
	}
	if !strings.Contains(string(text), `"Password":"***"`) {
		t.Errorf("%s", text)
	}
	if (Secret{}).String() != "" || NewSecret("").String() != "" {
		t.Error("an unset secret looks set")
	}
}

func TestOldNames(t *testing.T) {
	a := load(t, "[keystone_authtoken]\nidentity_uri = https://identity.example.com:35357\nauth_uri = https://identity.example.com:5000\n"+
		"admin_user = glance\nadmin_password = x\nadmin_tenant_name = service\nauth_plugin = v3password\n")
	if a.AuthURL != "https://identity.example.com:35357" || a.WWWAuthenticateURI != "https://identity.example.com:5000" || a.Username != "glance" ||
		a.Password.Reveal() != "x" || a.ProjectName != "service" || a.UserDomainID != "default" || a.ProjectDomainID != "default" || a.AuthType != "password" {
		t.Errorf("got %+v", a)
	}
	got := texts(a.Warnings())
	for _, want := range []string{"auth_uri: is an old name; write [keystone_authtoken] www_authenticate_uri", "identity_uri: is an old name", "admin_user: is an old name",
		"admin_password: is an old name", "admin_tenant_name: is an old name"} {
		if !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("no warning %q in %q", want, got)
		}
	}
	if len(got) != 5 {
		t.Errorf("auth_plugin and its value are as good as the newer ones; warnings %q", got)
	}
}

// TestWaysToLogIn: each auth_type with what it needs, and the spellings of keystoneauth's plugins.
func TestWaysToLogIn(t *testing.T) {
	const url = "[keystone_authtoken]\nauth_url = https://identity.example.com\n"
	for _, tt := range []struct {
		text string
		want func(*AuthToken) bool
	}{
		{"auth_type = v3applicationcredential\napplication_credential_id = a\napplication_credential_secret = s\n", func(a *AuthToken) bool {
			return a.AuthType == "application_credential" && a.ApplicationCredentialID == "a" && a.ApplicationCredentialSecret.Reveal() == "s"
		}},
		{"auth_type = application_credential\napplication_credential_name = a\napplication_credential_secret = s\nusername = u\ndefault_domain_id = d\n", func(a *AuthToken) bool {
			return a.ApplicationCredentialName == "a" && a.Username == "u" && a.UserDomainID == "d"
		}},
		{"auth_type = admin_token\ntoken = t\n", func(a *AuthToken) bool { return a.AuthType == "admin_token" && a.Token.Reveal() == "t" }},
		{"admin_token = t\n", func(a *AuthToken) bool { return a.AuthType == "admin_token" && a.Token.Reveal() == "t" }},
		{"auth_type = v2password\nusername = u\npassword = p\nproject_name = x\n", func(a *AuthToken) bool {
			return a.AuthType == "password" && a.AuthVersion == "v2.0" && a.Username == "u" && a.UserDomainID == ""
		}},
		{"auth_type = password\nadmin_token = t\nuser_id = u\npassword = p\nsystem_scope = all\n", func(a *AuthToken) bool { return a.AuthType == "password" && a.SystemScope == "all" }},
		{"user_id = u\npassword = p\ntrust_id = t\n", func(a *AuthToken) bool { return a.TrustID == "t" }},
	} {
		a := load(t, url+tt.text)
		if !tt.want(a) {
			t.Errorf("%s: got %+v", tt.text, a)
		}
		for _, v := range a.Effective() {
			if strings.Contains(v.Name, "secret") || v.Name == "token" {
				if v.Text != "" && v.Text != "***" {
					t.Errorf("%s: %s is shown as %q", tt.text, v.Name, v.Text)
				}
			}
		}
	}
}

func TestNewNameWinsInOneFile(t *testing.T) {
	a := load(t, login+"auth_uri = https://old.example.com\nwww_authenticate_uri = https://new.example.com\n")
	if a.WWWAuthenticateURI != "https://new.example.com" {
		t.Errorf("got %q", a.WWWAuthenticateURI)
	}
	if got := texts(a.Warnings()); len(got) != 1 || !strings.HasSuffix(got[0], ":6: [keystone_authtoken] auth_uri: has no effect, line 7 says otherwise") {
		t.Errorf("warnings %q", got)
	}
}

func TestAuthSection(t *testing.T) {
	a := load(t, "[keystone_authtoken]\nauth_section = service_auth\nusername = unread\npki = required\n"+
		"[service_auth]\nauth_type = v3password\nauth_url = https://identity.example.com\nusername = glance\nuser_domain_name = Default\npassword = x\nproject_id = 9\nregion = unknown here\n")
	if a.Username != "glance" || a.AuthURL != "https://identity.example.com" || a.PKI != "required" {
		t.Errorf("got %+v", a)
	}
	if got := texts(a.Warnings()); len(got) != 1 || !strings.HasSuffix(got[0], ":3: [keystone_authtoken] username: has no effect: auth_section says that it is read from [service_auth]") {
		t.Errorf("warnings %q", got)
	}
}

// TestWarnings has the values that do not stop the proxy.
func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"insecure", login + "insecure = yes\n", ":6: [keystone_authtoken] insecure: is on: "},
		{"insecure with cafile", login + "insecure = yes\ncafile = /ca\n", ":7: [keystone_authtoken] cafile: has no effect while insecure is on"},
		{"plain http", strings.Replace(login, "https", "http", 1), ":2: [keystone_authtoken] auth_url: is plain http"},
		{"check_revocations_for_cached", login + "check_revocations_for_cached = false\n", ":6: [keystone_authtoken] check_revocations_for_cached: has no effect: cached tokens are always checked"},
		{"cache", login + "cache = swift.cache\n", ":6: [keystone_authtoken] cache: is read but has no effect here: it names an object inside a Python service"},
		{"v2.0", login + "auth_version = 2.0\n", ":6: [keystone_authtoken] auth_version: is v2.0, which tells nothing of domains"},
		{"no scope", strings.Replace(login, "project_id = 9\n", "", 1), "[keystone_authtoken] project_name: is missing"},
		{"twice", login + "cafile = /a\ncafile = /b\n", ":6: [keystone_authtoken] cafile: has no effect, line 7 says otherwise"},
		{"no revocation", login + "insecure_skip_revocation = on\n", ":6: [keystone_authtoken] insecure_skip_revocation: is on"},
		{"bind skipped", login + "insecure_service_token_skips_bind = on\n", ":6: [keystone_authtoken] insecure_service_token_skips_bind: is on: whoever has a service token"},
		{"near section", "[keystone_auth_token]\nauth_url = x\n", ":1: [keystone_auth_token]: is not read; did you mean [keystone_authtoken]?"},
		{"no section", "[DEFAULT]\nauth_url = x\n", "has no section [keystone_authtoken]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := load(t, tt.text)
			if got := texts(a.Warnings()); !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, tt.want) }) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !a.CheckRevocationsCached {
				t.Error("cached tokens are not checked")
			}
		})
	}
	for _, text := range []string{login, login + "cafile = /a\ncafile = /a\n", strings.Replace(login, "https://identity.example.com", "http://127.0.0.1", 1), strings.Replace(login, "https://identity.example.com", "http://[::1]", 1),
		strings.Replace(login, "https://identity.example.com", "http://localhost", 1)} {
		if got := load(t, text).Warnings(); len(got) != 0 {
			t.Errorf("warnings without a cause: %q", texts(got))
		}
	}
}

func TestTokenCacheOff(t *testing.T) {
	for _, text := range []string{"0", "-1"} {
		if a := load(t, login+"token_cache_time = "+text+"\n"); a.TokenCacheTime != 0 {
			t.Errorf("%s became %v", text, a.TokenCacheTime)
		}
	}
}

func TestEmptyNumberIsTheDefault(t *testing.T) {
	a := load(t, login+"token_cache_time =\nhttp_request_max_retries =\n")
	if a.TokenCacheTime != 5*time.Minute || a.HTTPRequestMaxRetries != 3 {
		t.Errorf("got %+v", a)
	}
}

// TestStaleBoundFollowsSlowPolls: a service's file that polls every five minutes must not make every list stale.
func TestStaleBoundFollowsSlowPolls(t *testing.T) {
	a := load(t, login+"revocation_cache_time = 300\n")
	if a.RevocationMaxStale != 15*time.Minute {
		t.Errorf("got %v", a.RevocationMaxStale)
	}
	if i := slices.IndexFunc(a.Effective(), func(v Value) bool { return v.Name == "revocation_max_stale" && v.Text == "900" }); i < 0 {
		t.Errorf("got %v", a.Effective())
	}
}

func TestDefaultDomain(t *testing.T) {
	a := load(t, "[keystone_authtoken]\nauth_url = https://identity.example.com\nusername = glance\npassword = x\nproject_name = service\ndefault_domain_name = Default\nproject_domain_id = other\n")
	if a.UserDomainName != "Default" || a.UserDomainID != "" || a.ProjectDomainID != "other" || a.ProjectDomainName != "" {
		t.Errorf("got %+v", a)
	}
}

func TestBindModes(t *testing.T) {
	for _, mode := range bindModes {
		if a := load(t, login+"enforce_token_bind = "+mode+"\n"); a.EnforceTokenBind != mode {
			t.Errorf("%s became %s", mode, a.EnforceTokenBind)
		}
	}
}

// TestOptionTable keeps the table fit for flags, variables and suggestions.
func TestOptionTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range AuthTokenOptions() {
		for _, n := range o.names() {
			if n[0] != AuthTokenSection || seen[n[1]] {
				t.Errorf("%s: name %v is there twice, or in another section", o.Name, n)
			}
			seen[n[1]] = true
		}
		if o.Help == "" && o.NoEffect == "" {
			t.Errorf("%s has no help", o.Name)
		}
		if o.Kind == Bool && o.Default == "" {
			t.Errorf("%s has no default", o.Name)
		}
		if (o.Flag() == "") != (o.Secret || o.NoEffect != "") {
			t.Errorf("%s: flag %q", o.Name, o.Flag())
		}
		if o.EnvName() != "AUTHPROXY_"+strings.ToUpper(o.Name) {
			t.Errorf("%s: variable %q", o.Name, o.EnvName())
		}
	}
	// The loader remembers by name what was given, so a name that it is asked for is there once.
	asked := map[string]bool{}
	sources, err := filepath.Glob("keystone*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`l\.(?:where|given|replace|checkOneLine)\("(\w+)"`).FindAllSubmatch(text, -1) {
			asked[string(m[1])] = true
		}
	}
	if !asked["provider"] || !asked["connection"] {
		t.Errorf("names that the loader is asked for: %v", asked)
	}
	seen = map[string]bool{}
	for _, f := range keystoneTable() {
		if f.at == nil {
			continue
		}
		key := f.Name
		if !asked[key] {
			key = f.label()
		}
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
	}
}

func TestNearest(t *testing.T) {
	names := []string{"auth_url", "auth_version", "insecure", "pki"}
	for s, want := range map[string]string{
		"auth_ulr": "auth_url", "AUTH_URL": "auth_url", "auth-version": "auth_version", "inseucre": "insecure", "pk": "pki", "": "", "frobnicate": "", "x": "",
		strings.Repeat("x", 100): "",
	} {
		if got := nearest(s, names); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"abc", "", 3}, {"flase", "false", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"same", "same", 0}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
