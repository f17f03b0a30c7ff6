package server_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// signS3 is a request signed by version 2 of S3, as it is handed to s3tokens.
func signS3(access, secret string) obj {
	text := "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/>>>???"
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(text))
	return obj{"credentials": obj{"access": access, "token": base64.URLEncoding.EncodeToString([]byte(text)),
		"signature": base64.StdEncoding.EncodeToString(h.Sum(nil))}}
}

// signS3v4 is one signed by version 4.
func signS3v4(access, secret string, at time.Time) obj {
	day := at.UTC().Format("20060102")
	text := "AWS4-HMAC-SHA256\n" + at.UTC().Format("20060102T150405Z") + "\n" + day + "/r/s3/aws4_request\n" + strings.Repeat("0", 64)
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, "r", "s3", "aws4_request", text} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return obj{"credentials": obj{"access": access, "token": base64.StdEncoding.EncodeToString([]byte(text)), "signature": hex.EncodeToString(key)}}
}

func TestS3Tokens(t *testing.T) {
	for _, provider := range []string{"uuid", "pki"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			c := newTrusting(t, provider, "[DEFAULT]", "notification_format = cadf")
			access, secret := c.ec2Key()
			service := c.login("authproxy", servicePassword, onProject("service")).token()
			signed, later := signS3(access, secret), signS3v4(access, secret, c.clock.Now().Add(-time.Hour))
			for _, body := range []obj{signed, later, {"ec2Credentials": signed["credentials"]}, {"credential": signed["credentials"]}} {
				a := c.do("POST", "/v3/s3tokens", service, body).want(200)
				if a.str("token", "user", "id") != c.alice || a.str("token", "user", "domain", "id") == "" || a.str("token", "project", "id") != c.project ||
					a.str("token", "project", "domain", "id") == "" || len(a.at("token", "roles").([]any)) == 0 || a.token() != "" {
					t.Errorf("got %s, token %q", a.text, a.token())
				}
			}
			if a := c.do("POST", "/v3/s3tokens?nocatalog", service, signed).want(200); a.at("token", "catalog") != nil {
				t.Errorf("catalog: %s", a.text)
			}
			if log := c.log.String(); strings.Contains(log, secret) || strings.Contains(log, "token issued") && strings.Contains(log, "ec2credential") {
				t.Error("a token was issued, or the secret is in the log")
			}
			// v2.0 is about the default domain alone.
			send(t, c.cloud.admin.URL, "POST", "/v2.0/s3tokens", service, signed).want(401)

			c.do("POST", "/v3/s3tokens", "", signed).want(401)
			send(t, c.cloud.admin.URL, "POST", "/v2.0/s3tokens", "", signed).want(401)
			c.do("POST", "/v3/s3tokens", c.aliceToken, signed).want(403)
			changed := func(name string, value any) obj {
				o := obj{}
				for k, v := range signed["credentials"].(obj) {
					o[k] = v
				}
				o[name] = value
				return obj{"credentials": o}
			}
			for what, test := range map[string]struct {
				body   obj
				status int
			}{
				"wrong secret":        {signS3(access, secret+"x"), 401},
				"wrong secret, v4":    {signS3v4(access, secret+"x", c.clock.Now()), 401},
				"old":                 {signS3v4(access, secret, c.clock.Now().Add(-8*24*time.Hour)), 401},
				"unknown key":         {signS3("none", secret), 404},
				"no signature":        {changed("signature", nil), 401},
				"no access":           {changed("access", nil), 401},
				"other text":          {changed("token", "eHh4"), 401},
				"no text":             {changed("token", nil), 400},
				"not base64":          {changed("token", "!"), 400},
				"long text":           {changed("token", strings.Repeat("A", 30000)), 400},
				"a number":            {changed("signature", 1), 400},
				"nothing":             {obj{}, 400},
				"a request of EC2":    {signEC2(access, secret, c.clock.Now()), 400},
				"signature of other":  {changed("signature", later["credentials"].(obj)["signature"]), 401},
				"credentials no dict": {obj{"credentials": "x"}, 400},
			} {
				if got := c.do("POST", "/v3/s3tokens", service, test.body); got.status != test.status {
					t.Errorf("%s: %d, want %d: %s", what, got.status, test.status, got.text)
				}
			}

			// The key is good while its user and its project are enabled, the user has a role, and the key is there.
			switched := func(path, one string) {
				t.Helper()
				c.do("PATCH", path, c.admin, obj{one: obj{"enabled": false}}).want(200)
				c.do("POST", "/v3/s3tokens", service, signed).want(401)
				c.do("PATCH", path, c.admin, obj{one: obj{"enabled": true}}).want(200)
				c.do("POST", "/v3/s3tokens", service, signed).want(200)
			}
			switched("/v3/users/"+c.alice, "user")
			switched("/v3/projects/"+c.project, "project")
			for _, role := range []string{c.member, c.extra} {
				c.do("DELETE", c.grant(c.alice, role), c.admin, nil).want(204)
			}
			c.do("POST", "/v3/s3tokens", service, signed).want(401)
			c.do("PUT", c.grant(c.alice, c.member), c.admin, nil).want(204)
			c.do("POST", "/v3/s3tokens", service, signed).want(200)
			c.do("DELETE", "/v3/users/"+c.alice+"/credentials/OS-EC2/"+access, c.admin, nil).want(204)
			c.do("POST", "/v3/s3tokens", service, signed).want(404)
		})
	}
}

// TestS3Trust: a key with a trust takes one of its uses, though the service gets no token.
func TestS3Trust(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid")
	service, id := c.login("authproxy", servicePassword, onProject("service")).token(), c.trust(obj{"remaining_uses": 2})
	c.do("POST", "/v3/credentials", c.admin, obj{"credential": obj{"type": "ec2", "user_id": c.bob, "project_id": c.project,
		"blob": `{"access": "A", "secret": "s", "trust_id": "` + id + `"}`}}).want(201)
	for _, status := range []int{200, 200, 403} {
		a := c.do("POST", "/v3/s3tokens", service, signS3("A", "s")).want(status)
		if status == 200 && (a.str("token", "user", "id") != c.alice || a.token() != "") {
			t.Errorf("got %s", a.text)
		}
	}
}

// TestAnonymousSignatures: the option lets in those who have no token, and nobody with a bad one.
func TestAnonymousSignatures(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid", "[credential]", "insecure_anonymous_signatures = true")
	access, secret := c.ec2Key()
	for path, body := range map[string]obj{"/v3/s3tokens": signS3(access, secret), "/v3/ec2tokens": signEC2(access, secret, c.clock.Now())} {
		c.do("POST", path, "", body).want(200)
		c.do("POST", path, "garbage", body).want(401)
		c.do("POST", path, c.aliceToken, body).want(403)
	}
	c.do("POST", "/v3/s3tokens", "", signS3(access, secret+"x")).want(401)
}

// TestGuessingKeys: who tries out secrets has to wait, but with keys that are too long for that, which nobody can block.
func TestGuessingKeys(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid", "[security_compliance]", "login_max_delay = 60", "lockout_address_failure_attempts = 3")
	c.clock.stop()
	service := c.login("authproxy", servicePassword, onProject("service")).token()
	access, secret := c.ec2Key()
	c.do("POST", "/v3/credentials", c.admin, obj{"credential": obj{"type": "ec2", "user_id": c.alice, "project_id": c.project,
		"blob": `{"access": "weak", "secret": "secretKey"}`}}).want(201)
	for range 8 {
		c.do("POST", "/v3/s3tokens", service, signS3("weak", "x")).want(401)
		c.do("POST", "/v3/ec2tokens", service, signEC2("weak", "x", c.clock.Now())).want(401)
		c.do("POST", "/v3/s3tokens", service, signS3(access, "x")).want(401)
	}
	c.do("POST", "/v3/s3tokens", service, signS3(access, secret)).want(200)
	c.do("POST", "/v3/s3tokens", service, signS3("weak", "secretKey")).want(401)
	c.do("POST", "/v3/ec2tokens", service, signEC2("weak", "secretKey", c.clock.Now())).want(401)
	c.login("authproxy", servicePassword, onProject("service"))
	c.loginID(c.alice, nil).want(201) // by password
	c.clock.advance(61 * time.Second)
	c.do("POST", "/v3/s3tokens", service, signS3("weak", "secretKey")).want(200)
	c.do("POST", "/v3/s3tokens", service, signS3("weak", "x")).want(401) // one wrong attempt after that is free again
	c.do("POST", "/v3/s3tokens", service, signS3("weak", "secretKey")).want(200)
}
