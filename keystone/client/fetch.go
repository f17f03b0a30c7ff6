package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"authproxy/certs"
)

// Fetch gets the signing certificates and the CA certificates as PEM, without a token: OS-SIMPLE-CERT of v3, and where v3 has
// none, /v2.0/certificates. It is a certs.Source. The error wraps certs.ErrNoPKI where both answer 403, 404 or 410. ca is nil
// where the service has signing certificates only.
func (c *Client) Fetch(ctx context.Context) (signing, ca []byte, err error) {
	a, err := c.certificates(ctx, c.endpoints.Load().v3+"/OS-SIMPLE-CERT/certificates")
	if err != nil {
		return nil, nil, err
	}
	if a.status == http.StatusNotFound && !c.confirmed.Load() && c.discover(ctx) {
		if a, err = c.certificates(ctx, c.endpoints.Load().v3+"/OS-SIMPLE-CERT/certificates"); err != nil {
			return nil, nil, err
		}
	}
	caURL, v3Status := c.endpoints.Load().v3+"/OS-SIMPLE-CERT/ca", a.status
	if saysNoPKI(a.status) {
		if a, err = c.certificates(ctx, c.endpoints.Load().v2+"/certificates/signing"); err != nil {
			return nil, nil, err
		}
		caURL = c.endpoints.Load().v2 + "/certificates/ca"
	}
	switch {
	case saysNoPKI(a.status):
		return nil, nil, fmt.Errorf("fetching certificates: %w (v3 answered %d, v2.0 %d)", certs.ErrNoPKI, v3Status, a.status)
	case a.status != http.StatusOK:
		return nil, nil, answered("fetching the signing certificates", a.status)
	}
	signing = a.body
	if a, err = c.certificates(ctx, caURL); err != nil {
		return nil, nil, err
	}
	switch {
	case saysNoPKI(a.status):
		c.log.Debug("the Identity service has signing certificates but no CA certificate", "status", a.status)
		return signing, nil, nil
	case a.status != http.StatusOK:
		return nil, nil, answered("fetching the CA certificates", a.status)
	}
	return signing, a.body, nil
}

func (c *Client) certificates(ctx context.Context, url string) (answer, error) {
	return c.send(ctx, call{doing: "fetching certificates", method: http.MethodGet, url: url, limit: maxCertificates, timeout: c.options.Timeout})
}

// saysNoPKI are the answers of Keystones that have given up PKI: 403 and 410 since Pike, 404 where the route is gone.
func saysNoPKI(status int) bool {
	return status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusGone
}

// maxURLToken is the longest token that is put into a URL, where Identity API v2.0 wants it.
const maxURLToken = 6 << 10

// speaksV2 says whether logins, validations and the revocation list are those of Identity API v2.0.
func (c *Client) speaksV2() bool {
	return c.options.Version == "v2.0" || c.options.Version == "" && c.endpoints.Load().noV3
}

// api is the URL of the version that is spoken.
func (c *Client) api() string {
	if c.speaksV2() {
		return c.endpoints.Load().v2
	}
	return c.endpoints.Load().v3
}

// accessRules says that whoever asks enforces the access rules of application credentials. Without it Keystone does not know
// tokens that have some.
var accessRules = http.Header{"Openstack-Identity-Access-Rules": {"1"}}

// Validate asks the service about a token, GET /v3/auth/tokens. body is the JSON of the token ({"token":{…}}), in v2.0
// {"access":{…}}. allowExpired also accepts one that expired within the service's allow_expired_window, which v2.0 knows nothing
// of. The error wraps ErrNotFound where the service says that there is no such token: a 404 that has Keystone's error body, since
// that of a load balancer says nothing about tokens.
//
// While question after question stays without an answer, most are not asked at all: see breaker.
func (c *Client) Validate(ctx context.Context, text string, allowExpired bool) (body []byte, err error) {
	const doing = "validating a token"
	if !sendable(text) {
		return nil, fmt.Errorf("%s: %w: it holds bytes that no token has", doing, ErrNotFound)
	}
	query := url.Values{}
	if c.options.NoCatalog {
		query.Set("nocatalog", "1")
	}
	if allowExpired {
		query.Set("allow_expired", "1")
	}
	// Where a login fails nothing is known of the service's health in answering questions, and logins have pauses of their own.
	if _, err := c.token(ctx, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	r := call{doing: doing, method: http.MethodGet, url: c.endpoints.Load().v3 + "/auth/tokens", subject: text, header: accessRules, limit: maxTokenBody, timeout: c.options.Timeout}
	if len(query) > 0 {
		r.url += "?" + query.Encode()
	}
	if c.speaksV2() {
		if len(text) > maxURLToken {
			return nil, unavailable(doing, fmt.Errorf("a token of %d bytes does not fit into the URL that Identity API v2.0 takes it in", len(text)))
		}
		r.url, r.subject = c.endpoints.Load().v2+"/tokens/"+url.PathEscape(text), ""
	}
	ask, err := c.breaker.pass(c.now())
	if err != nil {
		return nil, unavailable(doing, err)
	}
	a, err := c.sendOwn(ctx, r)
	switch {
	case ctx.Err() != nil: // the caller left, which says nothing about the service
		ask.abandoned()
	case errors.Is(err, errRefused) || errors.Is(err, errStaticRefused):
		ask.answered()
	case err != nil || a.status >= 500 || a.status == http.StatusTooManyRequests:
		ask.failed(c.now())
	default:
		ask.answered()
	}
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound && isKeystoneError(a.body):
		return nil, fmt.Errorf("%s: %w", doing, ErrNotFound)
	case a.status != http.StatusOK:
		return nil, answered(doing, a.status)
	}
	return a.body, nil
}

// isKeystoneError tells {"error": {…}} from other people's pages.
func isKeystoneError(body []byte) bool {
	var e struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	return json.Unmarshal(body, &e) == nil && e.Error != nil
}

// sendOwn sends with the own token; a 401 brings one login and one more try.
func (c *Client) sendOwn(ctx context.Context, r call) (answer, error) {
	stale := ""
	for again := range 2 {
		own, err := c.token(ctx, stale)
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", r.doing, err)
		}
		r.own = own
		a, err := c.send(ctx, r)
		if err != nil || a.status != http.StatusUnauthorized {
			return a, err
		}
		if again == 0 {
			c.log.Info("the Identity service refuses the proxy's token, logging in again", "doing", r.doing)
		}
		stale = own
	}
	return answer{}, unavailable(r.doing, errRefused)
}

// discover looks in the service's version document for where its API is, and says whether that is elsewhere than was thought.
// Only paths are taken from it: its links often name hosts that cannot be reached from here, and tokens go to no other host.
func (c *Client) discover(ctx context.Context) bool {
	a, err := c.send(ctx, call{doing: "reading the API versions", method: http.MethodGet, url: c.base.String() + "/", limit: maxVersions, timeout: c.options.Timeout})
	if err != nil || a.status != http.StatusOK && a.status != http.StatusMultipleChoices {
		return false
	}
	old := c.endpoints.Load()
	found := versionPaths(a.body, c.base, *old)
	if found == *old {
		return false
	}
	c.endpoints.Store(&found)
	c.log.Info("the Identity service names other paths for its API", "v3", found.v3, "v2", found.v2)
	return true
}

// versionPaths takes the paths of v3 and v2.0 out of a version document, and keeps the old ones where it names none. Scheme
// and host stay those of base.
func versionPaths(document []byte, base *url.URL, old endpoints) endpoints {
	var body struct {
		Versions struct {
			Values []struct {
				ID    string `json:"id"`
				Links []struct {
					Rel  string `json:"rel"`
					Href string `json:"href"`
				} `json:"links"`
			} `json:"values"`
		} `json:"versions"`
	}
	if json.Unmarshal(document, &body) != nil {
		return old
	}
	found := old
	var v2, v3 bool
	for _, v := range body.Versions.Values {
		for _, link := range v.Links {
			u, err := url.Parse(link.Href)
			if err != nil || link.Rel != "self" || !strings.HasPrefix(u.Path, "/") {
				continue // a path without a slash in front would become a part of the host
			}
			here := (&url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(u.Path, "/")}).String()
			switch {
			case strings.HasPrefix(v.ID, "v3"):
				found.v3, v3 = here, true
			case strings.HasPrefix(v.ID, "v2"):
				found.v2, v2 = here, true
			}
		}
	}
	found.noV3 = v2 && !v3
	return found
}
