package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authproxy/examples/cloud"

	_ "github.com/gophercloud/gophercloud/v2" // go.mod says which version; its tests are run, and no program has it
)

// gophercloudTests are where gophercloud has acceptance tests for the Identity API, by version.
const gophercloudTests = "github.com/gophercloud/gophercloud/v2/internal/acceptance/openstack/identity/"

// oneTest is the outcome of a test, as go test -v prints it.
var oneTest = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (Test\w+)`)

// TestGophercloud runs gophercloud's own acceptance tests against a fresh keystone-all, in each mode that makes a difference.
func TestGophercloud(t *testing.T) {
	needSuites(t)
	dir := t.TempDir()
	for version, list := range map[string]string{"v3": "gophercloud", "v2": "gophercloud-v2"} {
		program := filepath.Join(dir, version+".test")
		build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "acceptance", "-o", program, gophercloudTests+version)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, mode := range modesOf(version == "v2") {
			t.Run(version+"/"+mode, func(t *testing.T) {
				t.Parallel()
				runGophercloud(t, program, list, version, mode)
			})
		}
	}
}

func runGophercloud(t *testing.T, program, listed, version, mode string) {
	t.Helper()
	c := newCloud(t, func(c *cloud.Cloud) {
		c.KeystoneExtra = keystoneConf(mode) + "[oauth1]\nenforce_ssl = false\n" // one of the tests sends secrets over http
	})
	list := readExpected(t, listed, mode)
	addCompute(t, c)
	addMember(t, c)
	var skip []string
	for _, e := range list {
		if e.outcome == "out" {
			skip = append(skip, "^"+strings.ReplaceAll(e.pattern, "*", ".*")+"$")
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.skip", strings.Join(skip, "|"))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OS_") }),
		"OS_USERNAME=admin", "OS_PASSWORD="+c.AdminPassword, "OS_REGION_NAME=RegionOne")
	if version == "v2" {
		namesV2(t, c)
		cmd.Env = append(cmd.Env, "OS_AUTH_URL="+c.Keystone+"/v2.0/", "OS_IDENTITY_API_VERSION=2.0", "OS_TENANT_ID="+adminProject(t, c))
	} else {
		cmd.Env = append(cmd.Env, "OS_AUTH_URL="+c.Keystone+"/v3", "OS_PROJECT_NAME=admin", "OS_DOMAIN_ID=default")
	}
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended { // its status tells of failed tests
		t.Fatal(err)
	}
	names, err := exec.CommandContext(t.Context(), program, "-test.list", ".").Output()
	must(t, err)
	outcomes := map[string]string{}
	said := map[string]string{}
	last := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if m := oneTest.FindStringSubmatch(line); m != nil {
			outcomes[m[2]] = map[string]string{"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}[m[1]]
			said[m[2]], last = last, ""
		} else if strings.Contains(line, "_test.go:") || strings.Contains(line, "identity.go:") {
			last = line
		}
	}
	var results strings.Builder
	for _, name := range strings.Fields(string(names)) {
		outcome, ran := outcomes[name]
		if !ran {
			outcome = "out"
		}
		fmt.Fprintf(&results, "RESULT\t%s\t%s\t%s\n", outcome, name, strings.ReplaceAll(said[name], "\t", " "))
	}
	compare(t, list, results.String())
}

// adminProject is the id of the administrator's project.
func adminProject(t *testing.T, c *cloud.Cloud) string {
	t.Helper()
	admin, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	_, text := call(t, http.MethodGet, c.Keystone+"/v3/projects?name=admin", admin, "", http.StatusOK)
	var found struct{ Projects []struct{ ID string } }
	must(t, json.Unmarshal([]byte(text), &found))
	if len(found.Projects) != 1 {
		t.Fatalf("%d projects named admin", len(found.Projects))
	}
	return found.Projects[0].ID
}

// namesV2 has the catalog name the Identity API v2.0, as it did in Kilo's time: gophercloud asks there what it is told.
func namesV2(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	admin, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	_, text := call(t, http.MethodGet, c.Keystone+"/v3/endpoints", admin, "", http.StatusOK)
	var found struct{ Endpoints []struct{ ID, URL string } }
	must(t, json.Unmarshal([]byte(text), &found))
	for _, e := range found.Endpoints {
		if base, ok := strings.CutSuffix(e.URL, "/v3"); ok {
			call(t, http.MethodPatch, c.Keystone+"/v3/endpoints/"+e.ID, admin, `{"endpoint":{"url":"`+base+`/v2.0"}}`, http.StatusOK)
		}
	}
}

// addCompute puts a compute service with an endpoint into the catalog, which one of the tests looks for.
func addCompute(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	admin, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	var made struct{ Service struct{ ID string } }
	_, text := call(t, http.MethodPost, c.Keystone+"/v3/services", admin, `{"service":{"type":"compute","name":"nova"}}`, http.StatusCreated)
	must(t, json.Unmarshal([]byte(text), &made))
	call(t, http.MethodPost, c.Keystone+"/v3/endpoints", admin,
		`{"endpoint":{"service_id":"`+made.Service.ID+`","interface":"public","url":"http://nova.example.com/"}}`, http.StatusCreated)
}

// addMember gives the administrator the role member on all projects of the default domain: one of the tests delegates it. Later
// Keystones have it follow from the role admin.
func addMember(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	admin, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	_, text := call(t, http.MethodGet, c.Keystone+"/v3/roles?name=member", admin, "", http.StatusOK)
	var found struct{ Roles []struct{ ID string } }
	must(t, json.Unmarshal([]byte(text), &found))
	_, text = call(t, http.MethodGet, c.Keystone+"/v3/users?name=admin", admin, "", http.StatusOK)
	var users struct{ Users []struct{ ID string } }
	must(t, json.Unmarshal([]byte(text), &users))
	if len(found.Roles) != 1 || len(users.Users) != 1 {
		t.Fatalf("%d roles named member and %d users named admin", len(found.Roles), len(users.Users))
	}
	call(t, http.MethodPut, c.Keystone+"/v3/OS-INHERIT/domains/default/users/"+users.Users[0].ID+"/roles/"+found.Roles[0].ID+"/inherited_to_projects",
		admin, "", http.StatusNoContent)
}
