package server_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/keystone/server"
)

const (
	oauth1Path = "/v3/OS-OAUTH1/"
	tokensPath = "/v3/auth/tokens"
)

// key is the secrets that a request is signed with; the token may be "".
type key struct{ consumer, consumerSecret, token, tokenSecret string }

// sign is the header Authorization for a request without query. changes replace parameters; "" takes one out. A signature
// among them stays as it is.
func (k key) sign(method, address string, at time.Time, changes map[string]string) string {
	escape := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
	p := map[string]string{"oauth_consumer_key": k.consumer, "oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": fmt.Sprint(at.Unix()),
		"oauth_nonce": rand.Text(), "oauth_version": "1.0"}
	if k.token != "" {
		p["oauth_token"] = k.token
	}
	for name, value := range changes {
		if p[name] = value; value == "" {
			delete(p, name)
		}
	}
	if p["oauth_signature"] == "" {
		var pairs []string
		for name, value := range p {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
		slices.Sort(pairs)
		h := hmac.New(sha1.New, []byte(k.consumerSecret+"&"+k.tokenSecret))
		fmt.Fprint(h, method, "&", escape(address), "&", escape(strings.Join(pairs, "&")))
		p["oauth_signature"] = base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	header := "OAuth "
	for i, name := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			header += ", "
		}
		header += name + `="` + escape(p[name]) + `"`
	}
	return header
}

// signedPost sends a signed POST.
func (c *cloud) signedPost(k key, path string, body any, changes map[string]string, headers ...string) *answer {
	c.t.Helper()
	return c.do("POST", path, "", body, append(headers, "Authorization", k.sign("POST", c.public.URL+path, c.clock.Now(), changes))...)
}

// form is the token in an answer.
func (a *answer) form() (token, secret string) {
	a.t.Helper()
	values, err := url.ParseQuery(a.text)
	if err != nil || a.header.Get("Content-Type") != "application/x-www-form-urlencoded" || values.Get("oauth_token") == "" {
		a.t.Fatalf("%s: %q, %v", a.what, a.text, err)
	}
	return values.Get("oauth_token"), values.Get("oauth_token_secret")
}

var byOAuth1 = obj{"auth": obj{"identity": obj{"methods": []string{"oauth1"}, "oauth1": obj{}}}}

// granting is a cloud in which alice, who has role admin there too, may grant what she has.
type granting struct {
	*trusting
	k key // of a consumer
}

func newGranting(t *testing.T, provider string, lines ...string) *granting {
	c := &granting{trusting: newTrusting(t, provider, lines...)}
	adminRole := c.do("GET", "/v3/roles?name=admin", c.admin, nil).at("roles").([]any)[0].(obj)["id"].(string)
	c.do("PUT", c.grant(c.alice, adminRole), c.admin, nil).want(204)
	c.aliceToken = c.loginID(c.alice, obj{"project": obj{"id": c.project}}).want(201).token()
	a := c.do("POST", oauth1Path+"consumers", c.admin, obj{"consumer": obj{"description": "x"}}).want(201)
	c.k = key{consumer: a.str("consumer", "id"), consumerSecret: a.str("consumer", "secret")}
	return c
}

func (c *granting) requestToken() key {
	c.t.Helper()
	k := c.k
	k.token, k.tokenSecret = c.signedPost(k, oauth1Path+"request_token", nil, nil, "Requested-Project-Id", c.project).want(201).form()
	return k
}

func (c *granting) authorize(k key, roles ...string) string {
	c.t.Helper()
	list := []obj{}
	for _, role := range roles {
		list = append(list, obj{"id": role})
	}
	return c.do("PUT", oauth1Path+"authorize/"+k.token, c.aliceToken, obj{"roles": list}).want(200).str("token", "oauth_verifier")
}

// access is the key of an access token for alice's role member.
func (c *granting) access() key {
	c.t.Helper()
	k := c.requestToken()
	verifier := c.authorize(k, c.member)
	k.token, k.tokenSecret = c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(201).form()
	return k
}

func TestConsumers(t *testing.T) {
	c := newGranting(t, "uuid")
	path := oauth1Path + "consumers/" + c.k.consumer
	a := c.do("GET", path, c.admin, nil).want(200)
	if a.str("consumer", "description") != "x" || strings.Contains(a.text, "secret") || a.str("consumer", "links", "self") != c.public.URL+path {
		t.Errorf("got %s", a.text)
	}
	if a := c.do("PATCH", path, c.admin, obj{"consumer": obj{"description": "y", "note": "z"}}).want(200); a.str("consumer", "description") != "y" || a.str("consumer", "note") != "z" || strings.Contains(a.text, "secret") {
		t.Errorf("changed %s", a.text)
	}
	if a := c.do("GET", oauth1Path+"consumers", c.admin, nil).want(200); len(a.at("consumers").([]any)) != 1 || strings.Contains(a.text, "secret") {
		t.Errorf("all: %s", a.text)
	}
	c.do("PATCH", path, c.admin, obj{"consumer": obj{"secret": "mine"}}).want(400)
	c.do("POST", oauth1Path+"consumers", c.admin, obj{"consumer": obj{"secret": "mine"}}).want(400)
	c.do("POST", oauth1Path+"consumers", c.admin, obj{"consumer": obj{"description": 1}}).want(400)
	bob := c.loginID(c.bob, nil).want(201).token()
	c.do("GET", path, bob, nil).want(403)
	c.do("POST", oauth1Path+"consumers", bob, obj{"consumer": obj{}}).want(403)
	c.do("DELETE", path, c.admin, nil).want(204)
	c.do("GET", path, c.admin, nil).want(404)
	c.signedPost(c.k, oauth1Path+"request_token", nil, nil, "Requested-Project-Id", c.project).want(401)
	if strings.Contains(c.log.String(), c.k.consumerSecret) {
		t.Error("the secret is in the log")
	}
}

func TestOAuth1Login(t *testing.T) {
	c := newGranting(t, "pki")
	k := c.access()
	a := c.signedPost(k, tokensPath, byOAuth1, nil).want(201)
	if a.str("token", "user", "id") != c.alice || a.str("token", "project", "id") != c.project || fmt.Sprint(a.at("token", "methods")) != "[oauth1]" ||
		fmt.Sprint(a.at("token", "OS-OAUTH1")) != fmt.Sprint(obj{"access_token_id": k.token, "consumer_id": k.consumer}) {
		t.Errorf("token %s", a.text)
	}
	if roles := a.at("token", "roles").([]any); len(roles) != 1 || roles[0].(obj)["id"] != c.member {
		t.Errorf("roles %v", roles)
	}
	if got := c.do("GET", tokensPath+"?nocatalog", c.admin, nil, "X-Subject-Token", a.token()).want(200); got.str("token", "OS-OAUTH1", "access_token_id") != k.token {
		t.Errorf("validated %s", got.text)
	}
	// Whatever scope is asked for, it is that of the access token.
	scoped := obj{"auth": obj{"identity": obj{"methods": []string{"oauth1"}, "oauth1": obj{}}, "scope": obj{"domain": obj{"id": "default"}}}}
	if got := c.signedPost(k, tokensPath, scoped, nil).want(201); got.str("token", "project", "id") != c.project || got.at("token", "domain") != nil {
		t.Errorf("scope: %s", got.text)
	}
	both := func(userID string) obj {
		o := byUserID(userID, nil)
		identity := o["auth"].(obj)["identity"].(obj)
		identity["methods"], identity["oauth1"] = []string{"password", "oauth1"}, obj{}
		return o
	}
	c.signedPost(k, tokensPath, both(c.alice), nil).want(201)
	c.signedPost(k, tokensPath, both(c.bob), nil).want(401)

	// With such a token nothing is done that outlives it.
	for _, r := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/v3/users/" + c.alice + "/password", obj{"user": obj{"original_password": "pw", "password": "new"}}},
		{"POST", trustsPath, c.wish(nil)},
		{"GET", trustsPath + "?trustor_user_id=" + c.alice, nil},
		{"PUT", oauth1Path + "authorize/" + c.requestToken().token, obj{"roles": []obj{{"id": c.member}}}},
		{"GET", "/v3/users/" + c.alice + "/OS-OAUTH1/access_tokens", nil},
		{"GET", "/v3/credentials", nil},
		{"GET", oauth1Path + "consumers", nil},
	} {
		if got := c.do(r.method, r.path, a.token(), r.body); got.status != 403 {
			t.Errorf("%s: %d, want 403", got.what, got.status)
		}
	}
	c.do("POST", tokensPath, "", byToken(a.token(), nil)).want(403)

	// It ends with the access token, and a role that is gone is not made up for.
	c.do("DELETE", c.grant(c.alice, c.member), c.admin, nil).want(204)
	c.wantRevoked(a)
	c.signedPost(k, tokensPath, byOAuth1, nil).want(403)
	c.do("PUT", c.grant(c.alice, c.member), c.admin, nil).want(204)
	c.wantValid(c.signedPost(k, tokensPath, byOAuth1, nil).want(201))
	c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"enabled": false}}).want(200)
	c.signedPost(k, tokensPath, byOAuth1, nil).want(401)
	c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"enabled": true}}).want(200)
	c.do("PATCH", "/v3/projects/"+c.project, c.admin, obj{"project": obj{"enabled": false}}).want(200)
	c.signedPost(k, tokensPath, byOAuth1, nil).want(401)
	log := c.log.String()
	if strings.Contains(log, k.tokenSecret) || strings.Contains(log, k.consumerSecret) {
		t.Error("a secret is in the log")
	}
}

// TestOAuth1Signatures: what is signed wrongly, late or twice is refused, in each of the three signed requests.
func TestOAuth1Signatures(t *testing.T) {
	c := newGranting(t, "uuid")
	access := c.access()
	granted := c.requestToken()
	verifier := c.authorize(granted, c.member)
	for _, request := range []struct {
		path    string
		k       key
		body    any
		changes map[string]string
		headers []string
	}{
		{oauth1Path + "request_token", c.k, nil, nil, []string{"Requested-Project-Id", c.project}},
		{oauth1Path + "access_token", granted, nil, map[string]string{"oauth_verifier": verifier}, nil},
		{tokensPath, access, byOAuth1, nil, nil},
	} {
		now := c.clock.Now()
		send := func(header string) *answer {
			t.Helper()
			return c.do("POST", request.path, "", request.body, append(slices.Clone(request.headers), "Authorization", header)...)
		}
		with := func(k key, method, path string, at time.Time, changes map[string]string) string {
			all := maps.Clone(request.changes)
			if all == nil {
				all = map[string]string{}
			}
			maps.Copy(all, changes)
			return k.sign(method, c.public.URL+path, at, all)
		}
		otherSecret, otherTokenSecret, otherConsumer := request.k, request.k, request.k
		otherSecret.consumerSecret = "x"
		otherTokenSecret.tokenSecret = "x"
		otherConsumer.consumer = "x"
		for what, header := range map[string]string{
			"secret":       with(otherSecret, "POST", request.path, now, nil),
			"token secret": with(otherTokenSecret, "POST", request.path, now, nil),
			"consumer":     with(otherConsumer, "POST", request.path, now, nil),
			"method":       with(request.k, "GET", request.path, now, nil),
			"path":         with(request.k, "POST", "/v3/OS-OAUTH1/other", now, nil),
			"slash":        with(request.k, "POST", request.path+"/", now, nil),
			"late":         with(request.k, "POST", request.path, now.Add(-11*time.Minute), nil),
			"early":        with(request.k, "POST", request.path, now.Add(11*time.Minute), nil),
			"plaintext": with(request.k, "POST", request.path, now, map[string]string{"oauth_signature_method": "PLAINTEXT",
				"oauth_signature": request.k.consumerSecret + "&" + request.k.tokenSecret}),
			"no nonce":     with(request.k, "POST", request.path, now, map[string]string{"oauth_nonce": ""}),
			"no signature": with(request.k, "POST", request.path, now, map[string]string{"oauth_signature": "AA=="}),
		} {
			if a := send(header); a.status != 401 {
				t.Errorf("%s: %s: %d, want 401: %s", request.path, what, a.status, a.text)
			}
		}
		if a := send("Negotiate x"); a.status != 400 {
			t.Errorf("%s: not signed: %d, want 400", request.path, a.status)
		}
		good := with(request.k, "POST", request.path, now.Add(-9*time.Minute), nil)
		if a := c.do("POST", request.path+"?x=y", "", request.body, append(slices.Clone(request.headers), "Authorization", good)...); a.status != 401 {
			t.Errorf("%s: query: %d, want 401", request.path, a.status)
		}
		send(good).want(201)
		if a := send(good); a.status != 401 {
			t.Errorf("%s: replayed: %d, want 401", request.path, a.status)
		}
	}
}

func TestOAuth1Replay(t *testing.T) {
	c := newGranting(t, "uuid")
	header := c.access().sign("POST", c.public.URL+tokensPath, c.clock.Now(), nil)
	var all sync.WaitGroup
	status := make([]int, 8)
	for i := range status {
		all.Go(func() { status[i] = c.do("POST", tokensPath, "", byOAuth1, "Authorization", header).status })
	}
	all.Wait()
	slices.Sort(status)
	if status[0] != 201 || status[1] != 401 {
		t.Errorf("got %v, want one 201", status)
	}
}

func TestOAuth1Handshake(t *testing.T) {
	c := newGranting(t, "uuid")
	c.signedPost(c.k, oauth1Path+"request_token", nil, nil).want(400)
	c.signedPost(c.k, oauth1Path+"request_token", nil, nil, "Requested-Project-Id", "none").want(404, "Could not find project: none")
	k := c.requestToken()
	c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": "x"}).want(401) // not granted
	authorize := func(token string, body any, status int) {
		t.Helper()
		c.do("PUT", oauth1Path+"authorize/"+k.token, token, body).want(status)
	}
	roles := func(ids ...any) obj {
		list := []obj{}
		for _, id := range ids {
			list = append(list, obj{"id": id})
		}
		return obj{"roles": list}
	}
	authorize(c.aliceToken, obj{}, 400)
	authorize(c.aliceToken, roles(), 400)
	authorize(c.aliceToken, roles(1), 400)
	authorize(c.aliceToken, obj{"roles": []obj{{"name": "none"}}}, 401)
	authorize(c.aliceToken, obj{"roles": []obj{{"name": "service"}}}, 401)
	authorize(c.aliceToken, obj{"roles": []obj{{"note": "painter"}}}, 400)
	authorize(c.aliceToken, roles(c.member, "none"), 401)
	authorize(c.admin, roles(c.member), 401) // has no role on the project
	authorize(c.loginID(c.bob, nil).token(), roles(c.member), 403)
	authorize("", roles(c.member), 401)
	authorize(c.aliceToken, obj{"roles": []obj{{"name": "painter"}}}, 200)
	first := c.authorize(k, c.member)
	verifier := c.authorize(k, c.member, c.extra)
	adminRole := c.do("GET", "/v3/roles?name=admin", c.admin, nil).at("roles").([]any)[0].(obj)["id"].(string)
	me := c.do("GET", tokensPath, c.admin, nil, "X-Subject-Token", c.admin).str("token", "user", "id")
	c.do("PUT", c.grant(me, adminRole), c.admin, nil).want(204)
	authorize(c.admin, roles(adminRole), 403) // somebody else has
	for _, wrong := range []string{first, "x", verifier + "x"} {
		c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": wrong}).want(401)
	}
	c.signedPost(k, oauth1Path+"access_token", nil, nil).want(400)
	c.signedPost(c.k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(400)
	other := c.do("POST", oauth1Path+"consumers", c.admin, obj{"consumer": obj{}}).want(201)
	stolen := key{other.str("consumer", "id"), other.str("consumer", "secret"), k.token, k.tokenSecret}
	c.signedPost(stolen, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(401)

	access := k
	access.token, access.tokenSecret = c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(201).form()
	c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(401) // once
	c.signedPost(k, tokensPath, byOAuth1, nil).want(401)                                                     // with the request token
	stolen.token, stolen.tokenSecret = access.token, access.tokenSecret
	c.signedPost(stolen, tokensPath, byOAuth1, nil).want(401)
	c.signedPost(access, tokensPath, byOAuth1, nil).want(201)

	many := "/v3/users/" + c.alice + "/OS-OAUTH1/access_tokens"
	a := c.do("GET", many, c.admin, nil).want(200)
	if list := a.at("access_tokens").([]any); len(list) != 1 || list[0].(obj)["id"] != access.token || strings.Contains(a.text, "secret") {
		t.Errorf("access tokens %s", a.text)
	}
	single := many + "/" + access.token
	if a := c.do("GET", single, c.admin, nil).want(200); a.str("access_token", "consumer_id") != k.consumer || a.str("access_token", "authorizing_user_id") != c.alice ||
		a.str("access_token", "links", "roles") != c.public.URL+single+"/roles" || strings.Contains(a.text, "secret") {
		t.Errorf("access token %s", a.text)
	}
	if list := c.do("GET", single+"/roles", c.admin, nil).want(200).at("roles").([]any); len(list) != 2 {
		t.Errorf("roles %v", list)
	}
	c.do("GET", single+"/roles/"+c.extra, c.admin, nil).want(200)
	c.do("HEAD", single+"/roles/"+c.extra, c.admin, nil).want(200)
	c.do("GET", single+"/roles/"+adminRole, c.admin, nil).want(404)
	c.do("GET", "/v3/users/"+c.bob+"/OS-OAUTH1/access_tokens/"+access.token, c.admin, nil).want(404)
	c.do("DELETE", "/v3/users/"+c.bob+"/OS-OAUTH1/access_tokens/"+access.token, c.admin, nil).want(404)
	c.do("DELETE", single, c.loginID(c.bob, nil).token(), nil).want(403)
}

func TestOAuth1Expiry(t *testing.T) {
	c := newGranting(t, "uuid", "[oauth1]", "request_token_duration = 600", "access_token_duration = 1200")
	k := c.requestToken()
	granted := c.requestToken()
	verifier := c.authorize(granted, c.member)
	access := c.access()
	a := c.signedPost(access, tokensPath, byOAuth1, nil).want(201)
	end, err := time.Parse(time.RFC3339, a.str("token", "expires_at"))
	if left := end.Sub(c.clock.Now()); err != nil || left > 1200*time.Second || left < 1100*time.Second {
		t.Errorf("the token ends in %s, %v, want it to end with its access token", left, err)
	}
	c.clock.advance(601 * time.Second)
	c.do("PUT", oauth1Path+"authorize/"+k.token, c.aliceToken, obj{"roles": []obj{{"id": c.member}}}).want(401)
	c.signedPost(granted, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(401)
	c.signedPost(access, tokensPath, byOAuth1, nil).want(201)
	c.clock.advance(601 * time.Second)
	c.signedPost(access, tokensPath, byOAuth1, nil).want(401)
	c.do("GET", "/v3/users/"+c.alice+"/OS-OAUTH1/access_tokens/"+access.token, c.admin, nil).want(404)
	if list := c.do("GET", "/v3/users/"+c.alice+"/OS-OAUTH1/access_tokens", c.admin, nil).want(200).at("access_tokens").([]any); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	forever := newGranting(t, "uuid", "[oauth1]", "request_token_duration = 0", "access_token_duration = 0")
	access = forever.access()
	forever.clock.advance(1000 * time.Hour)
	forever.signedPost(access, tokensPath, byOAuth1, nil).want(201)
}

func TestOAuth1Revocation(t *testing.T) {
	for name, test := range map[string]struct {
		trigger func(c *granting, k key)
		event   string
		again   bool
	}{
		"access token deleted": {func(c *granting, k key) {
			c.do("DELETE", "/v3/users/"+c.alice+"/OS-OAUTH1/access_tokens/"+k.token, c.admin, nil).want(204)
		}, "OS-OAUTH1:access_token_id", false},
		"consumer deleted": {func(c *granting, k key) {
			c.do("DELETE", oauth1Path+"consumers/"+k.consumer, c.admin, nil).want(204)
		}, "OS-OAUTH1:consumer_id", false},
		"password": {func(c *granting, k key) {
			c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"password": "pw"}}).want(200)
		}, "user_id", true},
		"user deleted": {func(c *granting, k key) { c.do("DELETE", "/v3/users/"+c.alice, c.admin, nil).want(204) }, "user_id", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newGranting(t, "pki")
			k, other := c.access(), c.access()
			held := c.signedPost(k, tokensPath, byOAuth1, nil).want(201)
			second := c.signedPost(other, tokensPath, byOAuth1, nil).want(201)
			before := len(c.events(""))
			test.trigger(c, k)
			happened := c.events("")[before:]
			values := map[string]string{"OS-OAUTH1:access_token_id": k.token, "OS-OAUTH1:consumer_id": k.consumer, "user_id": c.alice}
			wantEvent(t, test.event, values, happened)
			c.wantRevoked(held)
			if name == "access token deleted" {
				c.wantValid(second)
			} else {
				c.wantRevoked(second)
			}
			if test.again {
				c.wantValid(c.signedPost(k, tokensPath, byOAuth1, nil).want(201)) // most likely in the same second
			} else {
				c.signedPost(k, tokensPath, byOAuth1, nil).want(401)
			}
		})
	}
}

func TestOAuth1NotOffered(t *testing.T) {
	c := newGranting(t, "uuid", "[auth]", "methods = password,token")
	c.signedPost(c.access(), tokensPath, byOAuth1, nil).want(401)
}

// TestOAuth1Plaintext: the secrets themselves count where nobody on the way can read them.
func TestOAuth1Plaintext(t *testing.T) {
	t.Parallel()
	overTLS := []string{"X-Forwarded-Proto", "https"}
	for name, test := range map[string]struct {
		lines   []string
		headers []string
		status  int
	}{
		"http":                 {nil, nil, 401},
		"a client says https":  {nil, overTLS, 401},
		"a front says https":   {[]string{"[DEFAULT]", "trusted_proxies = 127.0.0.1"}, overTLS, 201},
		"a front says http":    {[]string{"[DEFAULT]", "trusted_proxies = 127.0.0.1"}, []string{"X-Forwarded-Proto", "http"}, 401},
		"a front says both":    {[]string{"[DEFAULT]", "trusted_proxies = 127.0.0.1"}, []string{"X-Forwarded-Proto", "https, http"}, 401},
		"a front says nothing": {[]string{"[DEFAULT]", "trusted_proxies = 127.0.0.1"}, nil, 401},
		"another front":        {[]string{"[DEFAULT]", "trusted_proxies = 192.0.2.1"}, overTLS, 401},
		"http, as Kilo has it": {[]string{"[oauth1]", "enforce_ssl = false"}, nil, 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newGranting(t, "uuid", test.lines...)
			k := c.access() // by HMAC-SHA1
			plain := func(k key, changes map[string]string) map[string]string {
				all := map[string]string{"oauth_signature_method": "PLAINTEXT", "oauth_signature": k.consumerSecret + "&" + k.tokenSecret}
				maps.Copy(all, changes)
				return all
			}
			post := func(k key, path string, body any, changes map[string]string, headers ...string) *answer {
				return c.signedPost(k, path, body, plain(k, changes), append(headers, test.headers...)...)
			}
			post(k, tokensPath, byOAuth1, nil).want(test.status)
			a := post(c.k, oauth1Path+"request_token", nil, nil, "Requested-Project-Id", c.project).want(test.status)
			post(k, tokensPath, byOAuth1, map[string]string{"oauth_signature": k.consumerSecret + "&x"}).want(401)
			post(k, tokensPath, byOAuth1, map[string]string{"oauth_signature": "&"}).want(401)
			post(k, tokensPath, byOAuth1, map[string]string{"oauth_signature_method": "RSA-SHA1"}).want(401)
			if test.status != 201 {
				return
			}
			if !strings.Contains(a.text, "&oauth_expires_at=") || strings.Contains(a.text, "%") {
				t.Errorf("got %s", a.text)
			}
			granted := c.k
			granted.token, granted.tokenSecret = a.form()
			verifier := c.authorize(granted, c.member)
			access := c.k
			access.token, access.tokenSecret = post(granted, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": verifier}).want(201).form()
			post(access, tokensPath, byOAuth1, map[string]string{"oauth_nonce": "", "oauth_timestamp": ""}).want(201)
			// With a nonce it counts once.
			header := access.sign("POST", c.public.URL+tokensPath, c.clock.Now(), plain(access, nil))
			for _, status := range []int{201, 401} {
				c.do("POST", tokensPath, "", byOAuth1, append([]string{"Authorization", header}, test.headers...)...).want(status)
			}
			if strings.Contains(c.log.String(), access.tokenSecret) {
				t.Error("the secret is in the log")
			}
		})
	}
}

// TestOAuth1PlaintextTLS: a listener with TLS is private by itself.
func TestOAuth1PlaintextTLS(t *testing.T) {
	t.Parallel()
	c := newGranting(t, "uuid")
	k := c.access()
	tls := httptest.NewTLSServer(c.parts.Server.Handler(server.Listener{}))
	defer tls.Close()
	changes := map[string]string{"oauth_signature_method": "PLAINTEXT", "oauth_signature": k.consumerSecret + "&" + k.tokenSecret}
	r, err := http.NewRequestWithContext(t.Context(), "POST", tls.URL+tokensPath, strings.NewReader(`{"auth":{"identity":{"methods":["oauth1"],"oauth1":{}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", k.sign("POST", tls.URL+tokensPath, c.clock.Now(), changes))
	res, err := tls.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 201 {
		t.Errorf("got %s", res.Status)
	}
}
