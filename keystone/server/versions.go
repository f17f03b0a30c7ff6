package server

import (
	"net/http"
)

// versionRoutes tell clients which APIs are here. Only v3 is; Kilo's is version 3.4.
func (s *Server) versionRoutes(r routes) {
	r.on("GET HEAD", "/", orHome(r.Router, "/v3", func(c *call) error {
		c.reply(http.StatusMultipleChoices, map[string]any{"versions": map[string]any{"values": []any{c.version3()}}})
		return nil
	}))
	r.on("GET HEAD", "/v3", orHome(r.Router, "", func(c *call) error {
		c.reply(http.StatusOK, map[string]any{"version": c.version3()})
		return nil
	}))
}

func (c *call) version3() any {
	return map[string]any{
		"id": "v3.4", "status": "stable", "updated": "2015-03-30T00:00:00Z",
		"links": []any{map[string]any{"rel": "self", "href": c.base() + "/v3/"}},
		"media-types": []any{map[string]any{
			"base": "application/json", "type": "application/vnd.openstack.identity-v3+json",
		}},
	}
}
