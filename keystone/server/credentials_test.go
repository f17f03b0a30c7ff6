package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	c := newTrusting(t, "uuid")
	blob := `{"access": "A", "secret": "a-secret-in-a-blob"}`
	ec2 := func(changes obj) obj {
		o := obj{"type": "ec2", "blob": blob, "user_id": c.alice, "project_id": c.project}
		for name, v := range changes {
			if o[name] = v; v == nil {
				delete(o, name)
			}
		}
		return obj{"credential": o}
	}
	a := c.do("POST", "/v3/credentials", c.admin, ec2(obj{"note": "x"})).want(201)
	sum := sha256.Sum256([]byte("A"))
	id := a.str("credential", "id")
	if id != hex.EncodeToString(sum[:]) || a.str("credential", "blob") != blob || a.str("credential", "note") != "x" {
		t.Errorf("made %s", a.text)
	}
	c.do("POST", "/v3/credentials", c.admin, ec2(nil)).want(409, "Conflict occurred attempting to store credential - Duplicate Entry")
	cert := c.do("POST", "/v3/credentials", c.admin, ec2(obj{"type": "cert", "blob": "not JSON", "project_id": nil})).want(201)
	if cert.at("credential", "project_id") != nil || len(cert.str("credential", "id")) != 32 {
		t.Errorf("made %s", cert.text)
	}
	for _, test := range []struct {
		changes obj
		status  int
	}{
		{obj{"blob": nil}, 400}, {obj{"type": nil}, 400}, {obj{"user_id": nil}, 400}, {obj{"project_id": nil}, 400},
		{obj{"blob": obj{"access": "B"}}, 400}, {obj{"blob": "a-secret-in-a-blob"}, 400}, {obj{"blob": "[]"}, 400}, {obj{"blob": "{}"}, 400},
		{obj{"blob": `{"access": 1}`}, 400}, {obj{"user_id": "none", "type": "cert"}, 404}, {obj{"project_id": "none", "type": "cert"}, 404}, {obj{"type": ""}, 400},
	} {
		a := c.do("POST", "/v3/credentials", c.admin, ec2(test.changes))
		if a.status != test.status || strings.Contains(a.text, "a-secret") {
			t.Errorf("%v: %d, want %d: %s", test.changes, a.status, test.status, a.text)
		}
	}
	for query, n := range map[string]int{"": 2, "?user_id=" + c.alice: 2, "?type=ec2": 1, "?type=ec2&user_id=" + c.bob: 0, "?user_id=" + c.bob: 0} {
		if list := c.do("GET", "/v3/credentials"+query, c.admin, nil).want(200).at("credentials").([]any); len(list) != n {
			t.Errorf("%s: %d credentials, want %d", query, len(list), n)
		}
	}
	path := "/v3/credentials/" + id
	c.do("HEAD", path, c.admin, nil).want(200)
	for name, change := range map[string]obj{
		"user": {"user_id": c.bob}, "no project": {"project_id": nil}, "type": {"type": "cert"}, "blob": {"blob": "x"},
		"trust": {"blob": `{"access": "A", "secret": "s", "trust_id": "t"}`},
	} {
		if a := c.do("PATCH", path, c.admin, obj{"credential": change}); a.status != 400 {
			t.Errorf("changing the %s: %d, want 400", name, a.status)
		}
	}
	if a := c.do("PATCH", path, c.admin, obj{"credential": obj{"blob": `{"access": "A", "secret": "new"}`}}).want(200); !strings.Contains(a.str("credential", "blob"), "new") {
		t.Errorf("changed: %s", a.text)
	}
	certPath := "/v3/credentials/" + cert.str("credential", "id")
	c.do("PATCH", certPath, c.admin, obj{"credential": obj{"type": "ec2"}}).want(400)
	c.do("PATCH", certPath, c.admin, obj{"credential": obj{"type": "ec2", "project_id": c.project}}).want(400) // its blob is none
	c.do("PATCH", certPath, c.admin, obj{"credential": obj{"user_id": c.bob, "type": "totp", "blob": "y"}}).want(200)
	c.do("PATCH", certPath, c.admin, obj{"credential": obj{"user_id": "none"}}).want(404)

	// Only administrators, and nobody by a token that was delegated: not even one with the role admin.
	c.do("GET", "/v3/credentials", c.aliceToken, nil).want(403)
	c.do("GET", path, "", nil).want(401)
	adminRole := c.do("GET", "/v3/roles?name=admin", c.admin, nil).at("roles").([]any)[0].(obj)["id"].(string)
	c.do("PUT", c.grant(c.alice, adminRole), c.admin, nil).want(204)
	byTrust := c.loginID(c.bob, onTrust(c.trust(obj{"roles": []obj{{"id": adminRole}}}))).want(201).token()
	c.do("GET", "/v3/users", byTrust, nil).want(200)
	for _, r := range [][2]string{{"GET", "/v3/credentials"}, {"GET", path}, {"PATCH", path}, {"DELETE", path}, {"POST", "/v3/credentials"},
		{"GET", "/v3/users/" + c.alice + "/credentials/OS-EC2"}, {"POST", "/v3/users/" + c.alice + "/credentials/OS-EC2"},
		{"GET", "/v3/users/" + c.alice + "/credentials/OS-EC2/A"}, {"DELETE", "/v3/users/" + c.alice + "/credentials/OS-EC2/A"}} {
		var body any
		if r[0] == "POST" || r[0] == "PATCH" {
			body = ec2(obj{"tenant_id": c.project})
		}
		if a := c.do(r[0], r[1], byTrust, body); a.status != 403 {
			t.Errorf("%s by a trust: %d, want 403", a.what, a.status)
		}
	}

	c.do("DELETE", path, c.admin, nil).want(204)
	c.do("DELETE", path, c.admin, nil).want(404)
	c.do("DELETE", "/v3/users/"+c.bob, c.admin, nil).want(204)
	c.do("GET", certPath, c.admin, nil).want(404)
	if strings.Contains(c.log.String(), "a-secret") {
		t.Error("a blob is in the log")
	}
}

func TestEC2Credentials(t *testing.T) {
	c := newTrusting(t, "uuid")
	many := "/v3/users/" + c.alice + "/credentials/OS-EC2"
	a := c.do("POST", many, c.aliceToken, obj{"tenant_id": c.project}).want(201)
	access := a.str("credential", "access")
	if a.str("credential", "user_id") != c.alice || a.str("credential", "tenant_id") != c.project || len(a.str("credential", "secret")) != 32 || a.at("credential", "trust_id") != nil {
		t.Errorf("made %s", a.text)
	}
	for _, token := range []string{c.aliceToken, c.admin} {
		if got := c.do("GET", many+"/"+access, token, nil).want(200); got.str("credential", "secret") != a.str("credential", "secret") {
			t.Errorf("got %s", got.text)
		}
		if list := c.do("GET", many, token, nil).want(200).at("credentials").([]any); len(list) != 1 {
			t.Errorf("%d, want 1", len(list))
		}
	}
	// The same thing through /credentials.
	list := c.do("GET", "/v3/credentials?type=ec2", c.admin, nil).want(200).at("credentials").([]any)
	var blob struct{ Access, Secret string }
	if err := json.Unmarshal([]byte(list[0].(obj)["blob"].(string)), &blob); err != nil || blob.Access != access || blob.Secret != a.str("credential", "secret") {
		t.Errorf("blob %v, %v", blob, err)
	}
	bob := c.loginID(c.bob, nil).want(201).token()
	ofBob := "/v3/users/" + c.bob + "/credentials/OS-EC2"
	for _, method := range []string{"GET", "DELETE"} {
		c.do(method, many+"/"+access, bob, nil).want(403)
		c.do(method, many+"/none", bob, nil).want(403)
		c.do(method, many+"/none", c.aliceToken, nil).want(404)
		c.do(method, ofBob+"/"+access, bob, nil).want(404) // as a key that nobody has
		c.do(method, ofBob+"/"+access, c.admin, nil).want(404)
	}
	c.do("POST", many, bob, obj{"tenant_id": c.project}).want(403)
	c.do("POST", ofBob, bob, obj{"tenant_id": c.project}).want(201) // good for nothing until he has a role there
	c.do("POST", many, c.aliceToken, obj{"tenant_id": "none"}).want(404)
	c.do("POST", many, c.aliceToken, obj{}).want(400)
	c.do("DELETE", many+"/"+access, c.aliceToken, nil).want(204)
	c.do("GET", many+"/"+access, c.admin, nil).want(404)
}
