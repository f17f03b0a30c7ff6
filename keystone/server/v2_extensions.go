package server

import (
	"net/http"
	"slices"

	"authproxy/keystone/server/fault"
)

// extension is a part of the API beyond its core, as v2.0 lists them.
type extension struct {
	alias, name, description, updated string
	public, admin                     bool // the ports that it is on
}

var extensions = []extension{
	{"OS-EC2", "OpenStack EC2 API", "OpenStack EC2 Credentials backend.", "2013-07-07T12:00:0-00:00", true, true},
	{"OS-EP-FILTER", "OpenStack Keystone Endpoint Filter API", "OpenStack Keystone Endpoint Filter API.", "2013-07-23T12:00:0-00:00", false, true},
	{"OS-FEDERATION", "OpenStack Federation APIs", "OpenStack Identity Providers Mechanism.", "2013-12-17T12:00:0-00:00", true, true},
	{"OS-KSADM", "OpenStack Keystone Admin", "OpenStack extensions to Keystone v2.0 API enabling Administrative Operations.", "2013-07-11T17:14:00-00:00", false, true},
	{"OS-KSCRUD", "OpenStack Keystone User CRUD", "OpenStack extensions to Keystone v2.0 API enabling User Operations.", "2013-07-07T12:00:0-00:00", true, false},
	{"OS-OAUTH1", "OpenStack OAUTH1 API", "OpenStack OAuth 1.0a Delegated Auth Mechanism.", "2013-07-07T12:00:0-00:00", true, true},
	{"OS-REVOKE", "OpenStack Revoke API", "OpenStack revoked token reporting mechanism.", "2014-02-24T20:51:0-00:00", true, true},
	{"OS-SIMPLE-CERT", "OpenStack Simple Certificate API", "OpenStack simple certificate retrieval extension", "2014-01-20T12:00:0-00:00", true, true},
	{"s3tokens", "OpenStack S3 API", "OpenStack S3 API.", "2013-07-07T12:00:0-00:00", false, true},
}

func (e extension) body() map[string]any {
	return map[string]any{
		"name": e.name, "namespace": "http://docs.openstack.org/identity/api/ext/" + e.alias + "/v1.0", "alias": e.alias,
		"updated": e.updated, "description": e.description,
		"links": []any{map[string]any{"rel": "describedby", "type": "text/html", "href": "https://github.com/openstack/identity-api"}},
	}
}

func (s *Server) extensionRoutesV2(r routes) {
	here := slices.DeleteFunc(slices.Clone(extensions), func(e extension) bool { return r.l.Admin && !e.admin || !r.l.Admin && !e.public })
	r.on("GET HEAD", "/v2.0/extensions", func(c *call) error {
		list := []any{}
		for _, e := range here {
			list = append(list, e.body())
		}
		c.reply(http.StatusOK, map[string]any{"extensions": map[string]any{"values": list}})
		return nil
	})
	r.on("GET HEAD", "/v2.0/extensions/{alias}", func(c *call) error {
		alias := c.param("alias")
		at := slices.IndexFunc(here, func(e extension) bool { return e.alias == alias })
		if at < 0 {
			return fault.NotFound{ID: alias}
		}
		c.reply(http.StatusOK, map[string]any{"extension": here[at].body()})
		return nil
	})
}
