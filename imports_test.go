// Package authproxy has no code of its own: this test keeps the picture of its packages true.
package authproxy

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// list asks the go command about all packages of the module.
func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := make(map[string]listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, "authproxy/")] = p
	}
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	return packages
}

// layers is the way down that imports may go: a package may import those of its own line and of the lines below. A package
// stands in the line of the longest name that it is, or lies under.
var layers = []string{
	"cmd", "examples",
	"proxy",
	"keystone/server",
	"keystone/client",
	"keystone/config",
	"keystone/peer",
	"validate",
	"revocation",
	"certs",
	"keystone/token",
	"certs/cms",
	"certs/reload", "certs/privatedir",
	"keystone",
}

func layer(name string) int {
	at := -1
	for i, prefix := range layers {
		if (name == prefix || strings.HasPrefix(name, prefix+"/")) && (at < 0 || len(prefix) > len(layers[at])) {
			at = i
		}
	}
	return at
}

func TestImportsPointDown(t *testing.T) {
	for name, p := range list(t) {
		at := layer(name)
		if at < 0 {
			if name != "authproxy" {
				t.Errorf("%s stands in no layer: put it into the picture", name)
			}
			continue
		}
		for _, path := range p.Imports {
			below, ours := strings.CutPrefix(path, "authproxy/")
			if ours && layer(below) < at {
				t.Errorf("%s imports %s, which lies above it", name, below)
			}
		}
	}
}

// TestNoHTTP: what decides about tokens must not be able to serve or to ask the network by itself.
func TestNoHTTP(t *testing.T) {
	packages := list(t)
	for _, name := range []string{"certs", "certs/cms", "revocation", "revocation/events", "validate", "validate/bind", "validate/sharedcache", "keystone/token", "keystone",
		"keystone/strictjson", "certs/privatedir", "revocation/pace"} {
		p, ok := packages[name]
		if !ok {
			t.Errorf("there is no package %s", name)
		}
		if slices.Contains(p.Imports, "net/http") {
			t.Errorf("%s imports net/http", name)
		}
	}
}

// TestVocabularyIsPure: keystone holds words, and needs nothing but the standard library for that.
func TestVocabularyIsPure(t *testing.T) {
	for _, path := range list(t)["keystone"].Imports {
		if strings.Contains(path, ".") || strings.HasPrefix(path, "authproxy/") {
			t.Errorf("keystone imports %s", path)
		}
	}
}

// TestProgramsAreApart: the proxy does not carry the identity backend, and client and server of the Identity API do not know
// each other but by what goes over the wire.
func TestProgramsAreApart(t *testing.T) {
	packages := list(t)
	for name, never := range map[string]string{
		"cmd/authproxy":       "authproxy/keystone/server",
		"cmd/keystone-all":    "authproxy/proxy",
		"cmd/keystone-manage": "authproxy/proxy",
		"keystone/server":     "authproxy/keystone/client",
		"keystone/client":     "authproxy/keystone/server",
	} {
		p, ok := packages[name]
		if !ok {
			t.Errorf("there is no package %s", name)
		}
		for _, dep := range p.Deps {
			if dep == never || strings.HasPrefix(dep, never+"/") {
				t.Errorf("%s links %s", name, dep)
			}
		}
	}
}

// TestKerberosStaysApart: gokrb5 pulls much in, and is linked by what accepts tickets and by the programs that have it do so, and
// by nothing that decides about tokens.
func TestKerberosStaysApart(t *testing.T) {
	may := []string{"keystone/peer/spnego", "cmd/authproxy", "cmd/keystone-all"}
	linked := 0
	for name, p := range list(t) {
		links := slices.ContainsFunc(p.Deps, func(dep string) bool { return strings.HasPrefix(dep, "github.com/jcmturner/") })
		switch {
		case links && !slices.Contains(may, name):
			t.Errorf("%s links gokrb5", name)
		case links:
			linked++
		}
	}
	if linked != len(may) {
		t.Errorf("%d packages link gokrb5, not %d: this test looks for the wrong thing", linked, len(may))
	}
}
