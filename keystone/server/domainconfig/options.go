package domainconfig

import (
	"maps"
	"slices"
	"strings"
)

// option is one that a domain can have.
type option struct {
	secret bool
	// standard is its value where nobody says otherwise.
	standard any
}

// options are those that a domain can have, by group and name: Kilo's, and those that came later.
var options = map[string]map[string]option{
	"identity": {
		"driver":     {standard: "sql"},
		"list_limit": {},
	},
	"ldap": {
		"password": {secret: true},

		"url": {standard: "ldap://localhost"}, "user": {}, "suffix": {standard: "cn=example,cn=com"},
		"use_dumb_member": {standard: false}, "dumb_member": {standard: "cn=dumb,dc=nonexistent"}, "allow_subtree_delete": {standard: false},
		"query_scope": {standard: "one"}, "page_size": {standard: 0}, "alias_dereferencing": {standard: "default"},
		"debug_level": {}, "chase_referrals": {},

		"user_tree_dn": {}, "user_filter": {}, "user_objectclass": {standard: "inetOrgPerson"},
		"user_id_attribute": {standard: "cn"}, "user_name_attribute": {standard: "sn"}, "user_mail_attribute": {standard: "mail"},
		"user_description_attribute": {standard: "description"}, "user_pass_attribute": {standard: "userPassword"},
		"user_enabled_attribute": {standard: "enabled"}, "user_enabled_invert": {standard: false}, "user_enabled_mask": {standard: 0},
		"user_enabled_default": {standard: "True"}, "user_attribute_ignore": {standard: []string{"default_project_id", "tenants"}},
		"user_default_project_id_attribute": {},
		"user_allow_create":                 {standard: true}, "user_allow_update": {standard: true}, "user_allow_delete": {standard: true},
		"user_enabled_emulation": {standard: false}, "user_enabled_emulation_dn": {}, "user_enabled_emulation_use_group_config": {standard: false},
		"user_additional_attribute_mapping": {standard: []string{}},

		"group_tree_dn": {}, "group_filter": {}, "group_objectclass": {standard: "groupOfNames"},
		"group_id_attribute": {standard: "cn"}, "group_name_attribute": {standard: "ou"}, "group_member_attribute": {standard: "member"},
		"group_members_are_ids": {standard: false}, "group_desc_attribute": {standard: "description"}, "group_attribute_ignore": {standard: []string{}},
		"group_allow_create": {standard: true}, "group_allow_update": {standard: true}, "group_allow_delete": {standard: true},
		"group_additional_attribute_mapping": {standard: []string{}},

		"tls_cacertfile": {}, "tls_cacertdir": {}, "use_tls": {standard: false}, "tls_req_cert": {standard: "demand"},
		"use_pool": {standard: false}, "pool_size": {standard: 10}, "pool_retry_max": {standard: 3}, "pool_retry_delay": {standard: 0.1},
		"pool_connection_timeout": {standard: -1}, "pool_connection_lifetime": {standard: 600},
		"use_auth_pool": {standard: false}, "auth_pool_size": {standard: 100}, "auth_pool_connection_lifetime": {standard: 60},
	},
}

func groups() string { return strings.Join(slices.Sorted(maps.Keys(options)), ", ") }

// Standard is what counts for a part where a domain says nothing, without secrets. The part's domain does not matter.
func Standard(p Part) (Config, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if options[p.Group][p.Option].secret {
		return nil, refused("option %s in group %s is a secret", p.Option, p.Group)
	}
	c := Config{}
	for group, all := range options {
		for name, o := range all {
			s := Setting{Group: group, Option: name, Value: o.standard}
			if p.fits(s) && !o.secret {
				c.put(s)
			}
		}
	}
	return c, nil
}
