package token

import "authproxy/keystone"

// trust takes the trust that a token came from.
func (d *decoder) trust() {
	if d.null() {
		return
	}
	trust := new(keystone.Trust)
	d.t.Trust = trust
	userID := func(what string, into *string) {
		d.members(what, func(name string) {
			if name == "id" {
				*into = d.text(what + ".id")
				return
			}
			d.skip()
		})
	}
	d.members("OS-TRUST:trust", func(name string) {
		switch name {
		case "id":
			trust.ID = d.text("trust.id")
		case "impersonation":
			trust.Impersonation = d.truth("trust.impersonation")
		case "trustor_user":
			userID("trustor_user", &trust.TrustorUserID)
		case "trustee_user":
			userID("trustee_user", &trust.TrusteeUserID)
		default:
			d.skip()
		}
	})
}

func (d *decoder) oauth1() {
	if d.null() {
		return
	}
	o := new(keystone.OAuth1)
	d.t.OAuth1 = o
	d.members("OS-OAUTH1", func(name string) {
		switch name {
		case "consumer_id":
			o.ConsumerID = d.text("consumer_id")
		case "access_token_id":
			o.AccessTokenID = d.text("access_token_id")
		default:
			d.skip()
		}
	})
}

// applicationCredential takes what a credential's tokens may be used for. Rules that cannot be understood make the token none:
// they were written to take rights away.
func (d *decoder) applicationCredential() {
	d.members("application_credential", func(name string) {
		if name != "access_rules" {
			d.skip()
			return
		}
		if d.null() {
			return
		}
		d.t.AccessRules = make([]keystone.AccessRule, 0, 4)
		d.elements("access_rules", func() {
			var rule keystone.AccessRule
			if d.peek() != '{' {
				d.wrong("an access rule is not an object")
			}
			d.object(func(name string) {
				switch name {
				case "service":
					rule.Service = d.text("access_rule.service")
				case "method":
					rule.Method = d.text("access_rule.method")
				case "path":
					rule.Path = d.text("access_rule.path")
				default:
					d.skip()
				}
			})
			d.want(rule.Service, "access_rule.service")
			d.want(rule.Method, "access_rule.method")
			d.want(rule.Path, "access_rule.path")
			d.t.AccessRules = append(d.t.AccessRules, rule)
		})
	})
}
