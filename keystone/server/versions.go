package server

import (
	"net/http"
)

// versionRoutes tell clients which APIs are here: v2.0, and v3 as of Kilo, which is version 3.4.
func (s *Server) versionRoutes(r routes) {
	r.on("GET HEAD", "/", orHome(r.Router, "/v3", func(c *call) error {
		c.reply(http.StatusMultipleChoices, map[string]any{"versions": map[string]any{"values": []any{c.version2(), c.version3()}}})
		return nil
	}))
	r.on("GET HEAD", "/v3", orHome(r.Router, "", func(c *call) error {
		c.reply(http.StatusOK, map[string]any{"version": c.version3()})
		return nil
	}))
	r.on("GET HEAD", "/v2.0", func(c *call) error {
		c.reply(http.StatusOK, map[string]any{"version": c.version2()})
		return nil
	})
}

func (c *call) version2() any {
	return map[string]any{
		"id": "v2.0", "status": "stable", "updated": "2014-04-17T00:00:00Z",
		"links": []any{
			map[string]any{"rel": "self", "href": c.base() + "/v2.0/"},
			map[string]any{"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
		},
		"media-types": []any{map[string]any{
			"base": "application/json", "type": "application/vnd.openstack.identity-v2.0+json",
		}},
	}
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
