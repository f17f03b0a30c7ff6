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
	errNoLogin = errors.New("the proxy has no user to log in as")
	errRefused = errors.New("it refuses the proxy's own token, even one of a new login")
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
	if c.options.Username == "" && c.options.UserID == "" {
		return "", unavailable(doing, errNoLogin)
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

// login is POST /v3/auth/tokens (Identity API v3, "Password authentication"). The catalog is left out: nobody reads it, and it
// makes a PKI token long.
func (c *Client) login(ctx context.Context) (ownToken, error) {
	const doing = "logging in"
	body, err := json.Marshal(c.options.loginBody())
	if err != nil {
		return ownToken{}, unavailable(doing, errors.New("the login cannot be written as JSON"))
	}
	var a answer
	for again := range 2 {
		a, err = c.send(ctx, call{doing: doing, method: http.MethodPost, url: c.endpoints.Load().v3 + "/auth/tokens?nocatalog", body: body,
			limit: maxTokenBody, timeout: c.options.Timeout})
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
		return ownToken{}, unavailable(doing, fmt.Errorf("%w; check the proxy's user, password, domain and project", statusError(a.status)))
	case http.StatusNotFound:
		return ownToken{}, unavailable(doing, fmt.Errorf("%w for %s; check auth_url", statusError(a.status), c.endpoints.Load().v3))
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

// readLogin takes the token out of the answer. Its end is reckoned on our own clock from its life, so that a clock that goes
// wrong there or here does no harm.
func (c *Client) readLogin(a answer) (ownToken, error) {
	text := a.header.Get("X-Subject-Token")
	if !sendable(text) {
		return ownToken{}, errors.New("the answer has no X-Subject-Token that can be used")
	}
	var body struct {
		Token struct {
			ExpiresAt string `json:"expires_at"`
			IssuedAt  string `json:"issued_at"`
		} `json:"token"`
	}
	if json.Unmarshal(a.body, &body) != nil {
		return ownToken{}, errors.New("the answer is not the JSON of a token")
	}
	expires, err := parseTime(body.Token.ExpiresAt)
	if err != nil {
		return ownToken{}, errors.New("the answer has no expires_at that can be read")
	}
	now := c.now()
	life := expires.Sub(now)
	if issued, err := parseTime(body.Token.IssuedAt); err == nil {
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

type named struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Domain *named `json:"domain,omitempty"`
	// Password is for a user only.
	Password string `json:"password,omitempty"`
}

type loginBody struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User named `json:"user"`
			} `json:"password"`
		} `json:"identity"`
		Scope *scope `json:"scope,omitempty"`
	} `json:"auth"`
}

type scope struct {
	Project *named `json:"project,omitempty"`
	Domain  *named `json:"domain,omitempty"`
}

// pick is an object's id, or its name with the domain that makes it unique.
func pick(id, name, domainID, domainName string) *named {
	switch {
	case id != "":
		return &named{ID: id}
	case name == "":
		return nil
	}
	return &named{Name: name, Domain: pick(domainID, domainName, "", "")}
}

func (o *Options) loginBody() loginBody {
	var b loginBody
	b.Auth.Identity.Methods = []string{"password"}
	b.Auth.Identity.Password.User = *pick(o.UserID, o.Username, o.UserDomainID, o.UserDomainName)
	b.Auth.Identity.Password.User.Password = o.Password
	if s := (scope{pick(o.ProjectID, o.ProjectName, o.ProjectDomainID, o.ProjectDomainName), pick(o.DomainID, o.DomainName, "", "")}); s != (scope{}) {
		b.Auth.Scope = &s
	}
	return b
}
