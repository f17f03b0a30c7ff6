// Package services tests the samples of this directory with the services that they are for.
package services

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a program of Python, which needs a module.
func run(t *testing.T, module, program string, env ...string) string {
	t.Helper()
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(t.Context(), python, "-I", "-c", "import "+module).CombinedOutput(); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatalf("%s has no module %s: %v\n%s", python, module, err, out)
		}
		t.Skipf("%s has no module %s", python, module)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", program)
	cmd.Env = append(os.Environ(), append(env, "PYTHONPATH=", "PYTHONDONTWRITEBYTECODE=1")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// TestSwift asks keystoneauth itself what it makes of headers, with the filter before it.
func TestSwift(t *testing.T) {
	got := run(t, "swift.common.middleware.keystoneauth", `
import sys
sys.path.insert(0, '.')
import swift_tokeninfo
from swift.common.middleware import keystoneauth

auth = keystoneauth.KeystoneAuth(None, {})
def app(environ, start_response):
    identity = auth._keystone_identity(environ)
    print(identity['auth_version'], identity['user_domain'] if identity['auth_version'] else '') if identity else print('nobody')
call = swift_tokeninfo.filter_factory({})(app)
headers = {'HTTP_X_USER_ID': 'u', 'HTTP_X_USER_NAME': 'bob', 'HTTP_X_PROJECT_ID': 'p', 'HTTP_X_PROJECT_NAME': 'proj', 'HTTP_X_ROLES': 'member',
           'HTTP_X_USER_DOMAIN_ID': 'd', 'HTTP_X_USER_DOMAIN_NAME': 'Dom', 'HTTP_X_PROJECT_DOMAIN_ID': 'd', 'HTTP_X_PROJECT_DOMAIN_NAME': 'Dom'}
call({**headers, 'HTTP_X_IDENTITY_STATUS': 'Confirmed'}, None)
call({**headers, 'HTTP_X_IDENTITY_STATUS': 'Invalid', 'keystone.token_info': {'token': {}}}, None)
call({}, None)
`)
	if want := "3 ('d', 'Dom')\nnobody\nnobody"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPlacement asks the application without a web server.
func TestPlacement(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "placement.conf"), fmt.Appendf(nil, `[DEFAULT]
log_file = %[1]s/placement.log
[placement_database]
connection = sqlite:///%[1]s/placement.sqlite
sync_on_startup = true
[api]
auth_strategy = keystone
`, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "placement.wsgi", `
import sys, wsgiref.util
sys.path.insert(0, '.')
from placement_wsgi import application

def ask(**headers):
    environ = {'PATH_INFO': '/resource_providers', 'HTTP_ACCEPT': 'application/json', **headers}
    wsgiref.util.setup_testing_defaults(environ)
    b''.join(application(environ, lambda status, headers, exc_info=None: print(status[:3])))
ask()
ask(HTTP_X_USER_ID='u', HTTP_X_ROLES='member', HTTP_X_PROJECT_ID='p')
ask(HTTP_X_USER_ID='u', HTTP_X_ROLES='admin', HTTP_X_PROJECT_ID='p')
`, "OS_PLACEMENT_CONFIG_DIR="+dir)
	if want := "401\n403\n200"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
