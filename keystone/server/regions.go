package server

import (
	"fmt"
	"net/http"
	"net/url"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) regionRoutes(r routes) {
	regions := resource[catalog.Region]{
		one: "region", many: "regions", section: "catalog",
		filters: map[string]filter.Kind{"parent_region_id": filter.Text},
		create:  createRegion,
		get:     s.Catalog.Region,
		list:    s.Catalog.Regions,
		update:  updateRegion,
		remove:  s.Catalog.DeleteRegion,
		render: func(v catalog.Region) (string, map[string]any, map[string]any) {
			return v.ID, map[string]any{"description": v.Description, "parent_region_id": orNull(v.ParentID)}, v.Extra
		},
	}
	add(r, regions)
	create := guard{action: "identity:create_region", member: "region"}
	r.on("PUT", "/v3/regions/{id}", create.protect(func(c *call) error {
		o, err := regions.read(c)
		if err != nil {
			return err
		}
		id := c.param("id")
		if given, there := o["id"]; there && given != id {
			return fault.Invalid{Message: fmt.Sprintf("Conflicting region IDs specified: %q != %q", id, fmt.Sprint(given))}
		}
		o["id"] = id
		v, err := createRegion(c, o)
		if err != nil {
			return err
		}
		regions.reply(c, http.StatusCreated, v)
		return nil
	}))
}

func createRegion(c *call, o object) (catalog.Region, error) {
	f := fields{o: o}
	v := catalog.Region{
		ID: orDefault(f.text("id"), ""), Description: orDefault(f.text("description"), ""),
		ParentID: orDefault(f.text("parent_region_id"), ""), Extra: o.rest("description", "parent_region_id"),
	}
	if f.err != nil {
		return catalog.Region{}, f.err
	}
	return c.s.Catalog.CreateRegion(c.ctx(), v)
}

func updateRegion(c *call, id string, o object) (catalog.Region, error) {
	f := fields{o: o}
	change := catalog.RegionUpdate{
		Description: f.clearable("description"), ParentID: f.clearable("parent_region_id"),
		Extra: o.rest("description", "parent_region_id"),
	}
	if f.err != nil {
		return catalog.Region{}, f.err
	}
	return c.s.Catalog.UpdateRegion(c.ctx(), id, change)
}

// orNull is null in JSON for "".
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func pathEscape(id string) string { return url.PathEscape(id) }
