package server_test

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// homeOf is the resources of a JSON home document by relation.
func homeOf(t *testing.T, document any) map[string]any {
	t.Helper()
	resources, ok := document.(map[string]any)["resources"].(map[string]any)
	if !ok || len(resources) == 0 {
		t.Fatalf("document %v", document)
	}
	return resources
}

func (c *cloud) home(path string, accept string) map[string]any {
	c.t.Helper()
	a := c.do("GET", path, "", nil, "Accept", accept).want(200)
	if got := a.header.Get("Content-Type"); got != "application/json-home" {
		c.t.Errorf("%s: content type %s", a.what, got)
	}
	var document any
	if err := json.Unmarshal([]byte(a.text), &document); err != nil {
		c.t.Fatal(err)
	}
	return homeOf(c.t, document)
}

// TestHome compares the document with the recorded one: what is in both is the same, and what is in ours alone is named here.
func TestHome(t *testing.T) {
	const root = "http://docs.openstack.org/api/openstack-identity/3/"
	beyondKilo := []string{
		"ext/OS-INHERIT/1.0/rel/project_group_roles_inherited_to_projects",
		"ext/OS-INHERIT/1.0/rel/project_user_roles_inherited_to_projects",
		"ext/OS-EP-FILTER/1.0/rel/project_endpoint_groups",
	}
	c := newCloud(t, "uuid", "[os_inherit]", "enabled = true")
	ours := map[string]map[string]any{"json home root": c.home("/", "application/json-home"), "json home v3": c.home("/v3/", "application/json-home")}
	f, err := os.Open(golden)
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("the recording is not here: %v", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	compared := 0
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		mine, ok := ours[e.Name]
		if !ok {
			continue
		}
		compared++
		recorded := homeOf(t, e.Body)
		for rel, resource := range mine {
			want, there := recorded[rel]
			if !there {
				extra := false
				for _, name := range beyondKilo {
					extra = extra || rel == root+name
				}
				if !extra {
					t.Errorf("%s: %s is not in the recording: %v", e.Name, rel, resource)
				}
			} else if !reflect.DeepEqual(resource, want) {
				t.Errorf("%s: %s:\n got %v\nwant %v", e.Name, rel, resource, want)
			}
		}
		for rel := range recorded {
			if _, there := mine[rel]; !there && !strings.Contains(rel, "/ext/OS-") {
				t.Logf("%s: no %s yet", e.Name, rel)
			}
		}
	}
	if compared != len(ours) {
		t.Errorf("%d documents compared, want %d", compared, len(ours))
	}
}

func TestHomeIsAskedFor(t *testing.T) {
	c := newCloud(t, "uuid")
	for accept, want := range map[string]bool{
		"application/json-home":                               true,
		"application/json-home, application/json":             true,
		"application/json;q=0.5, Application/JSON-Home;q=0.6": true,
		"application/json, application/json-home;q=0.9":       false,
		"application/json-home;q=0":                           false,
		"application/json-home;q=x":                           false,
		"*/*":                                                 false,
		"application/*":                                       false,
		",;,":                                                 false,
		"":                                                    false,
	} {
		a := c.do("GET", "/v3", "", nil, "Accept", accept).want(200)
		if got := a.header.Get("Content-Type") == "application/json-home"; got != want {
			t.Errorf("Accept %q: %s", accept, a.header.Get("Content-Type"))
		}
	}
	if a := c.do("HEAD", "/", "", nil, "Accept", "application/json-home").want(200); a.text != "" {
		t.Error("HEAD has a body")
	}
	for rel := range c.home("/v3", "application/json-home") {
		if strings.Contains(rel, "OS-INHERIT") {
			t.Errorf("%s is there, though it is off", rel)
		}
	}
}
