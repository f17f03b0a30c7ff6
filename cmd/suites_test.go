package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authproxy/examples/cloud"
)

// suite is a test suite of one of the clients, as its distribution ships it. Its file in testdata/suites says what is known of it:
// lines of "failed PATTERN reason" and of "out PATTERN reason", for tests of what this server is not to have. What holds in one mode
// alone has its name before it: "kilo:failed PATTERN reason".
type suite struct {
	name    string
	modules []string
	// prepare returns the environment for a cloud, and may write files there.
	prepare func(t *testing.T, c *cloud.Cloud) []string
	// script is the input of tour.py, where that is to be run instead of modules.
	script string
	// v2 is set for the API v2.0, which is the same in each mode.
	v2 bool
}

var suites = []suite{
	{name: "tour", modules: []string{"openstackclient"}, prepare: openrc("3"), script: "tour.script"},
	{name: "tempest-v3", modules: []string{"tempest.api.identity.admin.v3", "tempest.api.identity.v3"}, prepare: tempest(3)},
	{name: "tempest-v2", modules: []string{"tempest.api.identity.admin.v2", "tempest.api.identity.v2"}, prepare: tempest(2), v2: true},
	{name: "keystone-tempest-plugin", modules: []string{"keystone_tempest_plugin.tests.api"}, prepare: tempest(3)},
	{name: "keystoneclient-v3", modules: []string{"keystoneclient.tests.functional.v3"}, prepare: openrc("3")},
	{name: "openstackclient-v3", modules: []string{"openstackclient.tests.functional.identity.v3"}, prepare: openrc("3")},
	{name: "openstackclient-v2", modules: []string{"openstackclient.tests.functional.identity.v2"}, prepare: openrc("2"), v2: true},
}

// modes are the values of api_compat that the suites are run with, each with a server of its own.
var modes = []string{"kilo", "later"}

// modesOf are the modes to run a suite in.
func modesOf(v2 bool) []string {
	if v2 {
		return modes[:1]
	}
	return modes
}

// keystoneConf is what the suites want in keystone.conf.
func keystoneConf(mode string) string {
	return "[DEFAULT]\napi_compat = " + mode + "\n[os_inherit]\nenabled = true\n"
}

// tempest writes its configuration.
func tempest(version int) func(t *testing.T, c *cloud.Cloud) []string {
	return func(t *testing.T, c *cloud.Cloud) []string {
		t.Helper()
		conf := fmt.Sprintf(`[DEFAULT]
log_file = %[1]s/tempest.log
[oslo_concurrency]
lock_path = %[1]s/locks
[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = %[2]s
admin_project_name = admin
admin_domain_name = Default
create_isolated_networks = false
tempest_roles = member
[identity]
uri = %[3]s/v2.0
uri_v3 = %[3]s/v3
auth_version = v%[4]d
region = RegionOne
v2_admin_endpoint_type = adminURL
v3_endpoint_type = public
default_domain_id = default
[identity-feature-enabled]
api_v2 = %[5]t
api_v2_admin = %[5]t
api_v3 = %[6]t
trust = true
application_credentials = false
access_rules = false
project_tags = false
security_compliance = false
[service_available]
cinder = false
glance = false
neutron = false
nova = false
swift = false
`, c.Dir, c.AdminPassword, c.Keystone, version, version == 2, version == 3)
		must(t, os.WriteFile(c.File("tempest.conf"), []byte(conf), 0o600))
		return []string{"TEMPEST_CONFIG_DIR=" + c.Dir, "TEMPEST_CONFIG=tempest.conf"}
	}
}

// openrc is the environment that the other clients read, and a clouds.yaml.
func openrc(version string) func(t *testing.T, c *cloud.Cloud) []string {
	return func(t *testing.T, c *cloud.Cloud) []string {
		t.Helper()
		url, project, domains := c.Keystone+"/v3", "project_name: admin", "      user_domain_id: default\n      project_domain_id: default\n"
		if version == "2" {
			url, project, domains = c.Keystone+"/v2.0", "tenant_name: admin", ""
		}
		must(t, os.WriteFile(c.File("clouds.yaml"), fmt.Appendf(nil, `clouds:
  devstack-admin:
    auth:
      auth_url: %s
      username: admin
      password: %s
      %s
%s    identity_api_version: '%s'
    region_name: RegionOne
    interface: admin
  anna:
    auth:
      auth_url: %[1]s
      username: anna
      password: looking-glass
      user_domain_name: two
      project_name: top
      project_domain_name: two
    identity_api_version: '3'
    region_name: RegionOne
  anna-on-domain:
    auth: {auth_url: '%[1]s', username: anna, password: looking-glass, user_domain_name: two, domain_name: two}
    identity_api_version: '3'
    region_name: RegionOne
`, url, c.AdminPassword, project, domains, version), 0o600))
		return []string{"OS_CLIENT_CONFIG_FILE=" + c.File("clouds.yaml")}
	}
}

// expected is one line of a suite's file.
type expected struct {
	outcome, pattern, reason string
	used                     bool
}

// readExpected reads the lines of a suite's file that hold in a mode.
func readExpected(t *testing.T, name, mode string) []*expected {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "suites", name+".txt"))
	must(t, err)
	var list []*expected
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		of, outcome, alone := strings.Cut(fields[0], ":")
		if !alone {
			of, outcome = mode, fields[0]
		}
		if len(fields) != 3 || outcome != "failed" && outcome != "out" || !slices.Contains(modes, of) {
			t.Fatalf("%s.txt: %q is not [MODE:]OUTCOME PATTERN REASON", name, line)
		}
		if of == mode {
			list = append(list, &expected{outcome: outcome, pattern: fields[1], reason: fields[2]})
		}
	}
	return list
}

// needSuites skips what runs others' test suites, unless it is asked for.
func needSuites(t *testing.T) {
	t.Helper()
	if os.Getenv("AUTHPROXY_TEST_SUITES") != "1" {
		t.Skip("takes long; AUTHPROXY_TEST_SUITES=1 runs it")
	}
}

// TestSuites runs the clients' own test suites against a fresh keystone-all each, in each mode that makes a difference.
func TestSuites(t *testing.T) {
	needSuites(t)
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			for _, mode := range modesOf(s.v2) {
				t.Run(mode, func(t *testing.T) {
					t.Parallel()
					s.run(t, mode)
				})
			}
		})
	}
}

func (s suite) run(t *testing.T, mode string) {
	t.Helper()
	interpreter := python(t, s.modules...)
	c := newCloud(t, func(c *cloud.Cloud) {
		c.KeystoneExtra = keystoneConf(mode)
	})
	list := readExpected(t, s.name, mode)
	var in strings.Builder
	args := append([]string{"run.py"}, s.modules...)
	if s.script != "" {
		args = []string{"tour.py"}
		text, err := os.ReadFile(filepath.Join("testdata", "suites", s.script))
		must(t, err)
		in.Write(text)
	}
	for _, e := range list {
		if e.outcome == "out" {
			in.WriteString(e.pattern + "\n")
		}
	}
	args[0] = filepath.Join("testdata", "suites", args[0])
	cmd := exec.CommandContext(t.Context(), interpreter, args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"HOME=" + c.Dir, "PYTHONDONTWRITEBYTECODE=1"}, s.prepare(t, c))
	cmd.Stdin = strings.NewReader(in.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if os.Getenv("SUITE_VERBOSE") != "" {
		t.Log(stderr.String())
	}
	compare(t, list, string(text))
}

// compare tells what passed, and fails the test for what did not and was not known to.
func compare(t *testing.T, list []*expected, text string) {
	t.Helper()
	known := func(test string, outcomes ...string) *expected {
		for _, e := range list {
			if ok, err := path.Match(e.pattern, test); err != nil || ok && slices.Contains(outcomes, e.outcome) {
				e.used = true
				return e
			}
		}
		return nil
	}
	passed, failed, out := 0, 0, 0
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4)
		if len(fields) != 4 || fields[0] != "RESULT" {
			continue
		}
		outcome, test, said := fields[1], fields[2], fields[3]
		switch e := known(test, "failed", "out"); {
		case outcome == "passed" && e != nil:
			t.Errorf("%s passes now: its line %q can go", test, e.pattern)
			passed++
		case outcome == "passed":
			passed++
		case outcome == "out" && e != nil:
			t.Logf("out of reach: %s: %s", test, e.reason)
			out++
		case outcome == "skipped" || outcome == "out":
			t.Logf("out of reach: %s: %s", test, said)
			out++
		case e != nil:
			t.Logf("fails: %s: %s (%s)", test, e.reason, said)
			failed++
		default:
			t.Errorf("%s: %s", test, said)
			failed++
		}
	}
	for _, e := range list {
		if !e.used {
			t.Errorf("no test fits the line %q", e.pattern)
		}
	}
	if passed+failed == 0 {
		t.Error("no test was run")
	}
	t.Logf("%d passed, %d failed, %d out of reach", passed, failed, out)
}
