package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// refusedPause is how long a refused login is not tried again: strangers' tokens cause logins, and many wrong passwords
	// in a row lock an account. failedPause is the same for a service that was not to be reached.
	refusedPause = 30 * time.Second
	failedPause  = time.Second
	// forcedPause is the least time between two logins because of a 401.
	forcedPause = 10 * time.Second
)

var (
	errNoLogin = errors.New("the proxy has nothing to log in with")
	errRefused = errors.New("it refuses the proxy's own token, even one of a new login")

	errStaticRefused = errors.New("it refuses the static token (admin_token), which cannot be renewed here")
)

// ownToken is what the last logins came to. Client.mu guards it.
type ownToken struct {
	text    string
	renewAt time.Time // ahead of expires
	expires time.Time

	failure     error
	failedUntil time.Time
	forcedAt    time.Time
}

// Token is the service token of the proxy itself. It logs in when there is none, or when less than a quarter of its life (at
// most two minutes) is left; if that fails, the old one serves until it expires. However many callers there are, one login is
// under way at a time; each caller waits for it no longer than its ctx lasts.
func (c *Client) Token(ctx context.Context) (string, error) { return c.token(ctx, "") }

// OwnTokenText is the last token that the proxy got for itself, "" before the first login. It shows in which form (PKI, PKIZ
// or an id) this Identity service issues tokens. It is a secret.
func (c *Client) OwnTokenText() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own.text
}

// token is an own token other than stale, one that was answered with 401.
func (c *Client) token(ctx context.Context, stale string) (string, error) {
	const doing = "logging in"
	switch {
	case !c.options.logsIn():
		return "", unavailable(doing, errNoLogin)
	case c.options.StaticToken != "" && stale == c.options.StaticToken:
		return "", unavailable(doing, errStaticRefused)
	case c.options.StaticToken != "":
		return c.options.StaticToken, nil
	}
	for {
		if text, err, known := c.kept(stale); known {
			return text, err
		}
		// The login outlives the caller who began it, for the sake of those who joined; it ends by its own timeouts.
		flight := c.logins.DoChan("", func() (any, error) { return c.renew(stale) })
		select {
		case <-ctx.Done():
			return "", ended(doing, ctx)
		case result := <-flight:
			if result.Err != nil {
				return "", result.Err
			}
			// Another caller's flight may have found the token good that this one cannot use.
			if text := result.Val.(string); text != stale {
				return text, nil
			}
		}
	}
}

// kept answers from memory: a good token, or a failure that is too fresh to try again.
func (c *Client) kept(stale string) (text string, err error, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	usable := c.own.text != "" && c.own.text != stale
	switch {
	case usable && now.Before(c.own.renewAt):
		return c.own.text, nil, true
	case now.Before(c.own.failedUntil):
		if usable && now.Before(c.own.expires) {
			return c.own.text, nil, true
		}
		return "", c.own.failure, true
	case stale != "" && c.own.text == stale && now.Sub(c.own.forcedAt) < forcedPause && !c.own.forcedAt.IsZero():
		return "", unavailable("logging in", errRefused), true
	}
	return "", nil, false
}

// renew logs in and keeps what comes of it. There is one at a time.
func (c *Client) renew(stale string) (string, error) {
	if text, err, known := c.kept(stale); known {
		return text, err // somebody was faster
	}
	c.mu.Lock()
	if stale != "" && c.own.text == stale { // nobody else is to be sent into a 401 with it
		c.own.renewAt, c.own.expires = time.Time{}, time.Time{}
	}
	c.mu.Unlock()
	fresh, err := c.login(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if err == nil {
		fresh.forcedAt = c.own.forcedAt
		if stale != "" {
			fresh.forcedAt = now
		}
		c.own = fresh
		c.log.Info("logged in to the Identity service", "expires", fresh.expires.UTC().Format(time.RFC3339))
		return fresh.text, nil
	}
	c.own.failure, c.own.failedUntil = err, now.Add(failedPause)
	if status := statusError(0); errors.As(err, &status) && status < 500 {
		c.own.failedUntil = now.Add(refusedPause)
	}
	if c.own.text != "" && c.own.text != stale && now.Before(c.own.expires) {
		c.log.Warn("cannot log in again, the old token serves until it expires", "expires", c.own.expires.UTC().Format(time.RFC3339), "err", err)
		return c.own.text, nil
	}
	c.log.Warn("cannot log in to the Identity service", "err", err)
	return "", err
}

// login is POST /v3/auth/tokens (Identity API v3, "Authentication and token management"), or POST /v2.0/tokens. The catalog is
// left out where it can be: nobody reads it, and it makes a PKI token long.
func (c *Client) login(ctx context.Context) (ownToken, error) {
	const doing = "logging in"
	var a answer
	for again := range 2 {
		target, content := c.endpoints.Load().v3+"/auth/tokens?nocatalog", c.options.loginBody()
		if c.speaksV2() {
			target, content = c.endpoints.Load().v2+"/tokens", c.options.loginBodyV2()
		}
		body, err := json.Marshal(content)
		if err != nil {
			return ownToken{}, unavailable(doing, errors.New("the login cannot be written as JSON"))
		}
		a, err = c.send(ctx, call{doing: doing, method: http.MethodPost, url: target, body: body, limit: maxTokenBody, timeout: c.options.Timeout})
		if err != nil {
			return ownToken{}, err
		}
		misplaced := a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusMultipleChoices
		if !misplaced || again > 0 || !c.discover(ctx) {
			break
		}
	}
	switch a.status {
	case http.StatusCreated, http.StatusOK:
	case http.StatusUnauthorized:
		return ownToken{}, unavailable(doing, fmt.Errorf("%w; check the proxy's %s", statusError(a.status), c.options.means()))
	case http.StatusNotFound:
		return ownToken{}, unavailable(doing, fmt.Errorf("%w for %s; check auth_url", statusError(a.status), c.api()))
	default:
		return ownToken{}, answered(doing, a.status)
	}
	t, err := c.readLogin(a)
	if err != nil {
		return ownToken{}, unavailable(doing, err)
	}
	c.confirmed.Store(true)
	return t, nil
}

// means is what a login that was refused may have wrong.
func (o *Options) means() string {
	if o.byApplicationCredential() {
		return "application credential and its secret"
	}
	return "user, password, domain and project"
}

// readLogin takes the token out of the answer. Its end is reckoned on our own clock from its life, so that a clock that goes
// wrong there or here does no harm.
func (c *Client) readLogin(a answer) (ownToken, error) {
	var body struct {
		Token struct {
			ExpiresAt string `json:"expires_at"`
			IssuedAt  string `json:"issued_at"`
		} `json:"token"`
		Access struct {
			Token struct {
				ID       string `json:"id"`
				Expires  string `json:"expires"`
				IssuedAt string `json:"issued_at"`
			} `json:"token"`
		} `json:"access"`
	}
	malformed := json.Unmarshal(a.body, &body) != nil
	text, where, until, since := a.header.Get("X-Subject-Token"), "X-Subject-Token", body.Token.ExpiresAt, body.Token.IssuedAt
	if c.speaksV2() {
		t := body.Access.Token
		text, where, until, since = t.ID, "access.token.id", t.Expires, t.IssuedAt
	}
	switch {
	case malformed && (c.speaksV2() || sendable(text)):
		return ownToken{}, errors.New("the answer is not the JSON of a token")
	case !sendable(text):
		return ownToken{}, fmt.Errorf("the answer has no %s that can be used", where)
	}
	expires, err := parseTime(until)
	if err != nil {
		return ownToken{}, errors.New("the answer has no expiry that can be read")
	}
	now := c.now()
	life := expires.Sub(now)
	if issued, err := parseTime(since); err == nil {
		life = expires.Sub(issued)
	}
	if life <= 0 {
		return ownToken{}, errors.New("it issued a token that has already expired; compare the clocks")
	}
	return ownToken{text: text, expires: now.Add(life), renewAt: now.Add(life - min(life/4, 2*time.Minute))}, nil
}

// parseTime reads the times of token bodies: with or without a fraction, and of old Keystones without a zone, which is UTC.
func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Parse("2006-01-02T15:04:05", text)
}

// sendable says that text may stand in a header as it is: ASCII without blanks and control characters.
func sendable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
