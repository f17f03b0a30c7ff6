package server_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTemplatedCatalog: a catalog from a file is in tokens of both APIs, is listed, and cannot be changed.
func TestTemplatedCatalog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.templates")
	if err := os.WriteFile(file, []byte("catalog.RegionOne.compute.publicURL = http://h:$(compute_port)s/v2/$(tenant_id)s\n"+
		"catalog.RegionOne.compute.adminURL = http://admin/v2/%(tenant_id)s\ncatalog.RegionOne.compute.name = nova\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCloud(t, "pki", "[catalog]", "driver = keystone.catalog.backends.templated.Catalog", "template_file = "+file)
	v3 := c.login("admin", adminPassword, onProject("admin"))
	admin, tenant := v3.token(), v3.str("token", "project", "id")
	service := v3.at("token", "catalog").([]any)[0].(obj)
	if service["type"] != "compute" || service["name"] != "nova" || service["id"] != nil || len(service["endpoints"].([]any)) != 2 {
		t.Errorf("v3: %v", service)
	}
	endpoint := service["endpoints"].([]any)[1].(obj)
	if endpoint["url"] != "http://h:8774/v2/"+tenant || endpoint["interface"] != "public" || endpoint["region"] != "RegionOne" || endpoint["id"] != nil {
		t.Errorf("v3: %v", endpoint)
	}
	v2 := c.loginV2("admin", adminPassword, "tenantName", "admin").at("access", "serviceCatalog").([]any)[0].(obj)
	urls := v2["endpoints"].([]any)[0].(obj)
	if v2["name"] != "nova" || urls["publicURL"] != "http://h:8774/v2/"+tenant || urls["adminURL"] != "http://admin/v2/"+tenant || urls["id"] != nil {
		t.Errorf("v2.0: %v", v2)
	}
	serviceID := c.do("GET", "/v3/services", admin, nil).want(200).at("services").([]any)[0].(obj)["id"].(string)
	endpointID := c.do("GET", "/v3/endpoints?interface=public", admin, nil).want(200).at("endpoints").([]any)[0].(obj)["id"].(string)
	c.do("GET", "/v3/services/"+serviceID, admin, nil).want(200)
	c.do("GET", "/v3/regions/RegionOne", admin, nil).want(200)
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/v3/services", obj{"service": obj{"type": "x"}}}, {"PATCH", "/v3/services/" + serviceID, obj{"service": obj{"type": "x"}}}, {"DELETE", "/v3/services/" + serviceID, nil},
		{"POST", "/v3/endpoints", obj{"endpoint": obj{"interface": "public", "service_id": "x", "url": "x"}}}, {"PATCH", "/v3/endpoints/" + endpointID, obj{"endpoint": obj{"url": "x"}}},
		{"DELETE", "/v3/endpoints/" + endpointID, nil}, {"POST", "/v3/regions", obj{"region": obj{}}}, {"PUT", "/v3/regions/new", obj{"region": obj{}}},
		{"PATCH", "/v3/regions/RegionOne", obj{"region": obj{}}}, {"DELETE", "/v3/regions/RegionOne", nil},
		{"POST", "/v2.0/OS-KSADM/services", obj{"OS-KSADM:service": obj{"type": "x"}}}, {"DELETE", "/v2.0/OS-KSADM/services/" + serviceID, nil},
		{"POST", "/v2.0/endpoints", obj{"endpoint": obj{"service_id": serviceID, "publicurl": "x"}}}, {"DELETE", "/v2.0/endpoints/" + endpointID, nil},
	} {
		a := c.onAdmin(try.method, try.path, admin, try.body)
		if a.status != 501 || a.at("error", "title") != "Not Implemented" {
			t.Errorf("%s: %d %s", a.what, a.status, a.text)
		}
	}
}
