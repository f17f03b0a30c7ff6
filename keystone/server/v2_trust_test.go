package server_test

import "testing"

// TestTrustV2 logs in by a trust with the API v2.0: its trustee alone, for its project alone, and users of the default domain alone.
func TestTrustV2(t *testing.T) {
	for _, provider := range []string{"uuid", "pki"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			c := newTrusting(t, provider)
			project := c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "of-default"}}).want(201).str("project", "id")
			other := c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "other"}}).want(201).str("project", "id")
			carol := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "carol", "password": "pw"}}).want(201).str("user", "id")
			c.do("PUT", "/v3/projects/"+project+"/users/"+c.alice+"/roles/"+c.member, c.admin, nil).want(204)
			id := c.trust(obj{"project_id": project, "trustee_user_id": carol, "remaining_uses": 2})
			outside := c.trust(obj{"trustee_user_id": carol}) // for a project of another domain
			byPassword := func(userID, trustID string, more obj) *answer {
				auth := obj{"passwordCredentials": obj{"userId": userID, "password": "pw"}, "trust_id": trustID}
				for name, v := range more {
					auth[name] = v
				}
				return c.do("POST", "/v2.0/tokens", "", obj{"auth": auth})
			}
			byPassword(c.alice, id, nil).want(403)
			byPassword(carol, id, obj{"tenantId": other}).want(403)
			byPassword(carol, "none", nil).want(401)
			byPassword(carol, outside, nil).want(401)
			a := byPassword(carol, id, obj{"tenantId": project}).want(200)
			if a.str("access", "trust", "id") != id || a.str("access", "user", "id") != c.alice || a.str("access", "token", "tenant", "id") != project {
				t.Errorf("got %s", a.text)
			}
			unscoped := c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"passwordCredentials": obj{"userId": carol, "password": "pw"}}}).want(200).str("access", "token", "id")
			byToken := obj{"auth": obj{"token": obj{"id": unscoped}, "trust_id": id, "tenantName": "of-default"}}
			b := c.do("POST", "/v2.0/tokens", "", byToken).want(200)
			c.do("POST", "/v2.0/tokens", "", byToken).want(403) // it was good for two
			// What was delegated is not exchanged.
			c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": b.str("access", "token", "id")}}}).want(403)
		})
	}
}
