package templated

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"authproxy/keystone"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const sample = `# what a cloud has
catalog.RegionOne.identity.publicURL = http://h:$(public_port)s/v2.0
catalog.RegionOne.identity.adminURL = http://h:35357/v2.0
catalog.RegionOne.identity.name = Identity Service

catalog.RegionTwo.identity.publicURL = http://two/v2.0?a=b
catalog.RegionOne.object_store.publicURL = http://h/v1/AUTH_%(tenant_id)s
`

func load(t *testing.T, text string) (*Store, error) {
	t.Helper()
	s := &Store{File: filepath.Join(t.TempDir(), "catalog.templates")}
	if err := os.WriteFile(s.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, s.Load()
}

func TestBuild(t *testing.T) {
	s, err := load(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	m := &catalog.Manager{Store: s, WithoutIDs: true, Variables: map[string]string{"public_port": "5000"}}
	got, err := m.Build(t.Context(), map[string]string{"tenant_id": "p1"})
	face := func(region, kind, url string) keystone.Endpoint {
		return keystone.Endpoint{Interface: kind, Region: region, RegionID: region, URL: url}
	}
	want := keystone.Catalog{
		{Type: "identity", Name: "Identity Service", Endpoints: []keystone.Endpoint{
			face("RegionOne", "admin", "http://h:35357/v2.0"), face("RegionOne", "public", "http://h:5000/v2.0"), face("RegionTwo", "public", "http://two/v2.0?a=b")}},
		{Type: "object-store", Endpoints: []keystone.Endpoint{face("RegionOne", "public", "http://h/v1/AUTH_p1")}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := m.Build(t.Context(), nil); err != nil || len(got[1].Endpoints) != 0 {
		t.Errorf("without a tenant: %+v, %v", got, err)
	}
}

func TestLists(t *testing.T) {
	s, err := load(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	services, err := s.Services(ctx, filter.List{{Attribute: "name", Op: filter.ContainsFold, Value: "SERVICE"}})
	if err != nil || len(services) != 1 || services[0].Type != "identity" {
		t.Fatalf("%+v, %v", services, err)
	}
	if got, err := s.Service(ctx, services[0].ID); err != nil || got.Name() != "Identity Service" {
		t.Errorf("%+v, %v", got, err)
	}
	services[0].Extra["name"] = "changed"
	if got, _ := s.Service(ctx, services[0].ID); got.Name() != "Identity Service" {
		t.Error("what was given away changes the store")
	}
	endpoints, err := s.Endpoints(ctx, filter.List{{Attribute: "service_id", Value: services[0].ID}, {Attribute: "region_id", Value: "RegionOne"}})
	if err != nil || len(endpoints) != 2 {
		t.Errorf("%+v, %v", endpoints, err)
	}
	if got, err := s.Endpoint(ctx, endpoints[0].ID); err != nil || !reflect.DeepEqual(got, endpoints[0]) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.Endpoints(ctx, filter.List{filter.AtMost(1)}); err != nil || len(got) != 1 {
		t.Errorf("at most one: %+v, %v", got, err)
	}
	regions, err := s.Regions(ctx, nil)
	if err != nil || len(regions) != 2 || regions[0].ID != "RegionOne" {
		t.Errorf("%+v, %v", regions, err)
	}
	if _, err := s.Region(ctx, "none"); !errors.Is(err, fault.NotFound{Kind: "region", ID: "none"}) {
		t.Errorf("%v", err)
	}
}

func TestExample(t *testing.T) {
	s := &Store{File: "../../../../examples/default_catalog.templates"}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if services, err := s.Services(t.Context(), nil); err != nil || len(services) != 3 {
		t.Errorf("%+v, %v", services, err)
	}
}

func TestWrongFiles(t *testing.T) {
	for text, want := range map[string]string{
		"catalog.R.identity.publicURL":                                             "1: want catalog.REGION.TYPE.KEY = VALUE",
		"\n\ncatalog.R.identity = x":                                               "3: want catalog",
		"catalog.R.identity.publicURL =":                                           "1: want catalog",
		"catalogue.R.identity.publicURL = x":                                       "1: want catalog",
		"catalog.R.S.identity.publicURL = x":                                       "1: want catalog",
		"catalog.R.identity.publicUrl = x":                                         `1: the last word of a key is name, publicURL, internalURL or adminURL, not "publicUrl"`,
		"catalog.R.identity.adminURL = x\ncatalog.R.identity.adminURL = y":         "2: catalog.R.identity.adminURL is there twice",
		"catalog.R.object-store.adminURL = x\ncatalog.R.object_store.adminURL = y": "2: catalog.R.object_store.adminURL is there twice",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "catalog.templates:"+want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	s, err := load(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.File, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(); err == nil {
		t.Error("a wrong file was taken")
	}
	if got, err := s.Services(t.Context(), nil); err != nil || len(got) != 2 {
		t.Errorf("the last good file does not count: %v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("catalog.R.a_b.name = x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse(text)
		if err != nil {
			return
		}
		if again, err := parse(bytes.Clone(text)); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("another reading: %+v, %v; first %+v", again, err, c)
		}
		for _, e := range c.endpoints {
			if _, err := find(c.services, "service", e.ServiceID, func(v catalog.Service) string { return v.ID }); err != nil || e.URL == "" {
				t.Fatalf("%+v: %v", e, err)
			}
		}
	})
}
