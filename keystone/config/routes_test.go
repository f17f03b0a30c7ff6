package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func routesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var inherits = []Value{
	{Name: "delay_auth_decision", Text: "True", Source: Source{Origin: FromFile, Name: "glance-api.conf", Line: 7}},
	{Name: "enforce_token_bind", Text: "strict"},
	{Name: "include_service_catalog", Text: "true"},
	{Name: "required_roles", Text: ""},
}

func TestLoadRoutes(t *testing.T) {
	first := routesFile(t, `[DEFAULT]
port = 9292
[keystone_authtoken]
username = glance
[authproxy:route:image]
host = Images.example.org., images
path = /image/
strip_prefix = yes
upstream = http://127.0.0.1:$port
delay_auth_decision = false
required_roles = member, admin
anonymous = GET|HEAD /healthcheck,
    GET /
[authproxy:route:rest]
path = /
upstream = http://127.0.0.1:1
`)
	second := routesFile(t, "[authproxy:route:image]\nupstream = unix:/run/glance.sock\n")
	routes, err := LoadRoutes([]string{first, second}, []string{"meta; host=meta.example.org; upstream=https://meta; upstream_protocol=h2; anonymous_preflight=true;",
		"image;required-roles=admin"}, inherits)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, r := range routes {
		out.WriteString("[" + r.Section() + "]\n")
		for _, v := range r.Effective() {
			out.WriteString(strings.ReplaceAll(strings.ReplaceAll(v.String(), first, "first"), second, "second") + "\n")
		}
	}
	const want = `[authproxy:route:image]
host = Images.example.org.,images  # first:6
path = /image/  # first:7
strip_prefix = yes  # first:8
upstream = unix:/run/glance.sock  # second:2
upstream_protocol = http/1.1  # default
enforce_token_bind = strict  # default
delay_auth_decision = false  # first:10
include_service_catalog = true  # default
required_roles = admin  # flag --route
anonymous = GET|HEAD /healthcheck,GET /  # first:12
anonymous_preflight = false  # default
[authproxy:route:meta]
host = meta.example.org  # flag --route
path =   # default
strip_prefix = false  # default
upstream = https://meta  # flag --route
upstream_protocol = h2  # flag --route
enforce_token_bind = strict  # default
delay_auth_decision = True  # glance-api.conf:7
include_service_catalog = true  # default
required_roles =   # default
anonymous =   # default
anonymous_preflight = true  # flag --route
[authproxy:route:rest]
host =   # default
path = /  # first:15
strip_prefix = false  # default
upstream = http://127.0.0.1:1  # first:16
upstream_protocol = http/1.1  # default
enforce_token_bind = strict  # default
delay_auth_decision = True  # glance-api.conf:7
include_service_catalog = true  # default
required_roles =   # default
anonymous =   # default
anonymous_preflight = false  # default
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	image := routes[0]
	if image.Path != "/image" || strings.Join(image.Hosts, " ") != "images.example.org images" || !image.StripPrefix || image.DelayAuthDecision ||
		len(image.RequiredRoles) != 1 || len(image.Anonymous) != 2 || image.EnforceTokenBind != "strict" || !image.IncludeServiceCatalog {
		t.Errorf("%+v", image)
	}
	if rest := routes[2]; rest.Path != "" || !rest.DelayAuthDecision {
		t.Errorf("%+v", rest)
	}
	if routes, err := LoadRoutes([]string{routesFile(t, "[keystone_authtoken]\n")}, nil, inherits); err != nil || len(routes) != 0 {
		t.Error(routes, err)
	}
}

func TestWrongRoutes(t *testing.T) {
	const good = "upstream = http://127.0.0.1:1\n"
	for name, tt := range map[string]struct {
		file  string
		flags []string
		want  []string
	}{
		"an unknown option":         {"[authproxy:route:a]\npath = /a\nupstraem = x\n" + good, nil, []string{`proxy.conf:3: [authproxy:route:a]: there is no option "upstraem"; did you mean upstream?`}},
		"an unknown section":        {"[authproxy:rout:a]\n", nil, []string{"proxy.conf:1: there is no section [authproxy:rout:a]"}},
		"a section in other case":   {"[AuthProxy:Route:a]\n", nil, []string{"there is no section [AuthProxy:Route:a]"}},
		"a section without a name":  {"[authproxy]\nx = y\n", nil, []string{"there is no section [authproxy]"}},
		"a name with capitals":      {"[authproxy:route:A]\n", nil, []string{"lower-case"}},
		"no upstream":               {"[authproxy:route:a]\npath = /a\n", nil, []string{"[authproxy:route:a] upstream: is missing"}},
		"neither host nor path":     {"[authproxy:route:a]\n" + good, nil, []string{"[authproxy:route:a] path: is missing, and host too"}},
		"a path without its slash":  {"[authproxy:route:a]\npath = a\n" + good, nil, []string{"proxy.conf:2: [authproxy:route:a] path: \"a\": write"}},
		"a path with dots":          {"[authproxy:route:a]\npath = /a/../b\n" + good, nil, []string{"write /segment"}},
		"a path with two slashes":   {"[authproxy:route:a]\npath = /a//b\n" + good, nil, []string{"write /segment"}},
		"a path with an encoding":   {"[authproxy:route:a]\npath = /a%2fb\n" + good, nil, []string{"write /segment"}},
		"two slashes":               {"[authproxy:route:a]\npath = //\n" + good, nil, []string{"write /segment"}},
		"a host with a port":        {"[authproxy:route:a]\nhost = h:80\n" + good, nil, []string{"without a port"}},
		"a host pattern":            {"[authproxy:route:a]\nhost = *.h\n" + good, nil, []string{"is no host name"}},
		"nothing to strip":          {"[authproxy:route:a]\nhost = h\nstrip_prefix = true\n" + good, nil, []string{"nothing to take off"}},
		"no boolean":                {"[authproxy:route:a]\npath = /a\nstrip_prefix = flase\n" + good, nil, []string{"is not a boolean"}},
		"named":                     {"[authproxy:route:a]\npath = /a\nenforce_token_bind = named\n" + good, nil, []string{`no mechanism called "named"`}},
		"roles of nobody":           {"[authproxy:route:a]\npath = /a\nrequired_roles = x\n" + good, nil, []string{"contradicts delay_auth_decision (glance-api.conf:7)"}},
		"twice the same":            {"[authproxy:route:a]\npath = /a\n" + good + "[authproxy:route:b]\npath = /a/\n" + good, nil, []string{"[authproxy:route:b]: takes the same requests as [authproxy:route:a]"}},
		"twice the same host":       {"[authproxy:route:a]\nhost = x, y\n" + good + "[authproxy:route:b]\nhost = Y\n" + good, nil, []string{"takes the same requests"}},
		"a flag without name":       {"", []string{"path=/a;upstream=x"}, []string{"flag --route: \"path=/a;upstream=x\": write NAME;"}},
		"a flag twice":              {"", []string{"a;path=/a;upstream=http://h", "a;host=h;upstream=http://h"}, []string{`route "a" is there twice`}},
		"an option twice in a flag": {"", []string{"a;path=/a;path=/b;upstream=http://h"}, []string{"path is there twice"}},
		"no = in a flag":            {"", []string{"a;path"}, []string{`"path" has no =`}},
		"an unknown one in a flag":  {"", []string{"a;paht=/a;upstream=http://h"}, []string{`flag --route: [authproxy:route:a]: there is no option "paht"; did you mean path?`}},
		"all at once":               {"[authproxy:route:a]\npath = a\n[authproxy:route:b]\nx = y\n", nil, []string{"[authproxy:route:a] path", "[authproxy:route:a] upstream", "[authproxy:route:b]"}},
	} {
		_, err := LoadRoutes([]string{routesFile(t, tt.file)}, tt.flags, inherits)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwant an error with %q", name, err, want)
			}
		}
	}
}
