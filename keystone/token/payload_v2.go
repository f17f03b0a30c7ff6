package token

import "authproxy/keystone"

// v2 takes the inside of "access" (Identity API v2.0, POST /v2.0/tokens, response), with the places where the oldest
// Keystones kept the tenant.
func (d *decoder) v2() {
	t := &d.t
	var tenant, fromUser, fromToken keystone.Project
	var username string
	d.members("access", func(name string) {
		switch name {
		case "token":
			d.members("access.token", func(name string) {
				switch name {
				case "expires":
					t.ExpiresAt = d.expiry("expires")
				case "issued_at":
					t.IssuedAt = d.instant("issued_at")
				case "audit_ids":
					t.AuditIDs = d.strings("audit_ids")
				case "tenant":
					d.members("tenant", func(name string) {
						switch name {
						case "id":
							tenant.ID = d.text("tenant.id")
						case "name":
							tenant.Name = d.text("tenant.name")
						default:
							d.skip()
						}
					})
				case "tenantId":
					fromToken.ID = d.text("tenantId")
					fromToken.Name = fromToken.ID
				case "bind":
					d.bind()
				default:
					d.skip()
				}
			})
		case "user":
			d.members("access.user", func(name string) {
				switch name {
				case "id":
					t.User.ID = d.text("user.id")
				case "name":
					t.User.Name = d.text("user.name")
				case "username":
					username = d.text("user.username")
				case "tenantId":
					fromUser.ID = d.text("user.tenantId")
				case "tenantName":
					fromUser.Name = d.text("user.tenantName")
				case "roles":
					d.roles()
				default:
					d.skip()
				}
			})
		case "serviceCatalog":
			t.V2Catalog = d.raw()
		case "metadata":
			d.metadata()
		case "trust":
			d.trustV2()
		default:
			d.skip()
		}
	})
	if t.User.Name == "" {
		t.User.Name = username
	}
	for _, p := range []keystone.Project{tenant, fromUser, fromToken} {
		if p.ID != "" {
			t.Project = &p
			break
		}
	}
}

// metadata takes the roles' ids. What is not of that shape is passed over, as the rest of it is.
func (d *decoder) metadata() {
	if d.peek() != '{' {
		d.skip()
		return
	}
	d.object(func(name string) {
		if name != "roles" || d.peek() != '[' {
			d.skip()
			return
		}
		d.array(func() {
			if id := d.loose(); id != "" {
				d.t.V2RoleIDs = append(d.t.V2RoleIDs, id)
			}
		})
	})
}

// raw takes any value and gives its text.
func (d *decoder) raw() string {
	if d.null() {
		return ""
	}
	d.peek()
	start := d.r.Offset()
	d.skip()
	if d.err != nil {
		return ""
	}
	return d.r.Since(start)
}

func (d *decoder) trustV2() {
	if d.null() {
		return
	}
	trust := new(keystone.Trust)
	d.t.Trust = trust
	d.members("trust", func(name string) {
		switch name {
		case "id":
			trust.ID = d.text("trust.id")
		case "impersonation":
			trust.Impersonation = d.truth("trust.impersonation")
		case "trustor_user_id":
			trust.TrustorUserID = d.text("trustor_user_id")
		case "trustee_user_id":
			trust.TrusteeUserID = d.text("trustee_user_id")
		default:
			d.skip()
		}
	})
}
