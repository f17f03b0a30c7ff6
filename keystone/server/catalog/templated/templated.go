// Package templated is the catalog out of a file that the operator writes ([catalog] driver = templated).
//
// The file has lines of the form
//
//	catalog.REGION.TYPE.name = Identity Service
//	catalog.REGION.TYPE.publicURL = http://keystone.example.com:$(public_port)s/v2.0
//
// and likewise internalURL and adminURL. In URLs $(tenant_id)s and %(tenant_id)s stand for variables as in the SQL catalog. An _ in
// TYPE is read as - ("object_store"), as in Keystone. Empty lines and those that begin with # do not count. Who wants to change
// anything by the API gets fault.NotImplemented.
package templated

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// Store is the catalog of a file. It is empty before the first Load.
type Store struct {
	File string

	loaded atomic.Pointer[content]
}

// content is what a file says. It does not change.
type content struct {
	regions   []catalog.Region
	services  []catalog.Service
	endpoints []catalog.Endpoint
}

const maxFile = 4 << 20

// Load reads the file. What was loaded before stays in use where it cannot be read or is wrong.
func (s *Store) Load() error {
	f, err := os.Open(s.File)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s is larger than %d bytes", s.File, maxFile)
	}
	c, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s:%w", s.File, err)
	}
	s.loaded.Store(c)
	return nil
}

// interfaces are what an endpoint's key says it is.
var interfaces = map[string]string{"publicURL": "public", "internalURL": "internal", "adminURL": "admin"}

// parse reads the text of a file. Errors begin with the number of a line.
func parse(text []byte) (*content, error) {
	regions, services := map[string]bool{}, map[string]catalog.Service{}
	endpoints := map[string]catalog.Endpoint{}
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		path := strings.Split(strings.TrimSpace(key), ".")
		value = strings.TrimSpace(value)
		if !ok || len(path) != 4 || path[0] != "catalog" || path[1] == "" || path[2] == "" || value == "" {
			return nil, fmt.Errorf("%d: want catalog.REGION.TYPE.KEY = VALUE", number)
		}
		region, kind := path[1], strings.ReplaceAll(path[2], "_", "-")
		service, there := services[kind]
		if !there {
			service = catalog.Service{ID: identifier(kind), Type: kind, Enabled: true, Extra: map[string]any{}}
		}
		switch face := interfaces[path[3]]; {
		case path[3] == "name":
			service.Extra["name"] = value
		case face == "":
			return nil, fmt.Errorf("%d: the last word of a key is name, publicURL, internalURL or adminURL, not %q", number, path[3])
		default:
			id := identifier(region, kind, face)
			if _, twice := endpoints[id]; twice {
				return nil, fmt.Errorf("%d: %s is there twice", number, strings.TrimSpace(key))
			}
			endpoints[id] = catalog.Endpoint{ID: id, ServiceID: service.ID, RegionID: region, Interface: face, URL: value, Enabled: true}
		}
		regions[region], services[kind] = true, service
	}
	c := &content{services: slices.Collect(maps.Values(services)), endpoints: slices.Collect(maps.Values(endpoints))}
	for _, id := range slices.Sorted(maps.Keys(regions)) {
		c.regions = append(c.regions, catalog.Region{ID: id})
	}
	slices.SortFunc(c.services, func(a, b catalog.Service) int { return strings.Compare(a.Type, b.Type) })
	slices.SortFunc(c.endpoints, func(a, b catalog.Endpoint) int {
		return cmp.Or(strings.Compare(a.ServiceID, b.ServiceID), strings.Compare(a.RegionID, b.RegionID), strings.Compare(a.Interface, b.Interface))
	})
	return c, nil
}

// identifier is the same on each server that has the same file.
func identifier(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func (s *Store) content() *content {
	if c := s.loaded.Load(); c != nil {
		return c
	}
	return &content{}
}

// pick is the objects that fit, the first of them where not all are wanted.
func pick[T any](all []T, where filter.List, attribute func(T, string) string) []T {
	list := []T{}
	for _, v := range all {
		if most := where.Most(); most > 0 && len(list) == most {
			break
		}
		if where.Fits(func(name string) string { return attribute(v, name) }) {
			list = append(list, v)
		}
	}
	return list
}

// find is the object with an id.
func find[T any](all []T, kind, id string, of func(T) string) (T, error) {
	for _, v := range all {
		if of(v) == id {
			return v, nil
		}
	}
	var none T
	return none, fault.NotFound{Kind: kind, ID: id}
}

// Write refuses: what would be in the transaction is a change.
func (s *Store) Write(context.Context, func(ctx context.Context) error) error { return errFixed }

func (s *Store) Region(_ context.Context, id string) (catalog.Region, error) {
	return find(s.content().regions, "region", id, func(r catalog.Region) string { return r.ID })
}

func (s *Store) Regions(_ context.Context, where filter.List) ([]catalog.Region, error) {
	return pick(s.content().regions, where, func(r catalog.Region, _ string) string { return r.ParentID }), nil
}

func (s *Store) Service(_ context.Context, id string) (catalog.Service, error) {
	v, err := find(s.content().services, "service", id, func(v catalog.Service) string { return v.ID })
	v.Extra = maps.Clone(v.Extra)
	return v, err
}

func (s *Store) Services(_ context.Context, where filter.List) ([]catalog.Service, error) {
	list := pick(s.content().services, where, func(v catalog.Service, name string) string {
		if name == "type" {
			return v.Type
		}
		return v.Name()
	})
	for i := range list {
		list[i].Extra = maps.Clone(list[i].Extra)
	}
	return list, nil
}

func (s *Store) Endpoint(_ context.Context, id string) (catalog.Endpoint, error) {
	return find(s.content().endpoints, "endpoint", id, func(e catalog.Endpoint) string { return e.ID })
}

func (s *Store) Endpoints(_ context.Context, where filter.List) ([]catalog.Endpoint, error) {
	return pick(s.content().endpoints, where, func(e catalog.Endpoint, name string) string {
		return map[string]string{"interface": e.Interface, "service_id": e.ServiceID, "region_id": e.RegionID, "legacy_id": e.LegacyID}[name]
	}), nil
}

// errFixed answers whoever wants to change something.
var errFixed = fault.NotImplemented{What: "The catalog of this server comes from a file ([catalog] template_file) and cannot be changed by the API."}

func (s *Store) AddRegion(context.Context, catalog.Region) error     { return errFixed }
func (s *Store) PutRegion(context.Context, catalog.Region) error     { return errFixed }
func (s *Store) RemoveRegion(context.Context, string) error          { return errFixed }
func (s *Store) AddService(context.Context, catalog.Service) error   { return errFixed }
func (s *Store) PutService(context.Context, catalog.Service) error   { return errFixed }
func (s *Store) RemoveService(context.Context, string) error         { return errFixed }
func (s *Store) AddEndpoint(context.Context, catalog.Endpoint) error { return errFixed }
func (s *Store) PutEndpoint(context.Context, catalog.Endpoint) error { return errFixed }
func (s *Store) RemoveEndpoint(context.Context, string) error        { return errFixed }
