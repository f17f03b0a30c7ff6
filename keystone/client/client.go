// Package client is the HTTP client of one Identity service: it logs the proxy in, validates tokens online, and fetches
// signing certificates and the revocation list.
//
// A Client keeps to the host it was given: the service's token and the user's token go nowhere else, whatever redirects or
// version documents say. Every answer is bounded in size and time. No error and no log record holds the text of a token, the
// password, or words of the service's answers, which often repeat the token that was asked about.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

var (
	// ErrNotFound says that the Identity service does not know the token (404): it is invalid, expired or revoked.
	ErrNotFound = errors.New("the Identity service does not know this token")
	// ErrUnavailable says that no answer was to be had that decides the question. Every error of a Client wraps it, but for
	// ErrNotFound, certs.ErrNoPKI and those of New.
	ErrUnavailable = errors.New("the Identity service cannot say")
)

// Options say where the Identity service is, who logs in there, and how patient a Client is. Only AuthURL is needed.
type Options struct {
	// AuthURL is the service's base URL; a version ("/v3", "/v2.0") and a slash at its end do not matter.
	AuthURL string

	// The login by password, by application credential or by a token of the operator's. With none of them there is no login, and
	// only certificates can be fetched. A Username needs one of its domain's two names, but for Identity API v2.0.
	Username, UserID             string
	Password                     string
	UserDomainID, UserDomainName string
	// An application credential is named by its id, or by its name and its user. It brings its own scope.
	ApplicationCredentialID, ApplicationCredentialName string
	ApplicationCredentialSecret                        string
	// StaticToken is used as it is and never renewed (admin_token).
	StaticToken string
	// The scope: a project, a domain, the system ("all"), a trust, or the user's default. A ProjectName needs one of its domain's
	// two names.
	ProjectID, ProjectName             string
	ProjectDomainID, ProjectDomainName string
	DomainID, DomainName               string
	SystemScope, TrustID               string

	// Version is the version of the Identity API for logging in, validating and the revocation list: "v3", "v2.0", or "" for v3
	// unless the service says that it has v2.0 only.
	Version string

	// CAFile holds the CAs that may sign the server's certificate (PEM); the system's where it is "".
	CAFile string
	// CertFile and KeyFile are for TLS client authentication (PEM). They are read again for each connection, so that they can
	// be renewed. KeyFile may be "" where CertFile holds the key as well.
	CertFile, KeyFile string
	// Insecure leaves the server's certificate unverified.
	Insecure bool
	// HTTPClient, if set, sends the requests; then the TLS options must be unset and ConnectTimeout has no effect. Its
	// CheckRedirect is not used.
	HTTPClient *http.Client

	// ConnectTimeout bounds one attempt to connect, and the TLS handshake; default 5 s.
	ConnectTimeout time.Duration
	// Timeout bounds one request from its start to the last byte of the answer; default 10 s.
	Timeout time.Duration
	// ListTimeout does the same for the revocation list and for events, which may be long; default 15 min. Whoever asks for them
	// bounds how slowly they may come (package pace).
	ListTimeout time.Duration
	// Retries is how often a request is sent again that found no connection.
	Retries int
	// MaxListSize bounds the answer with the revocation list, in bytes; default 256 MiB.
	MaxListSize int64
	// NoCatalog leaves the catalog out of validated tokens.
	NoCatalog bool

	// Now is the clock, time.Now where nil.
	Now func() time.Time
	// Log gets what an operator should know; nothing is logged where nil.
	Log *slog.Logger
}

// Bounds of answers in bytes.
const (
	maxTokenBody    = 1 << 20
	maxCertificates = 1 << 20
	maxVersions     = 1 << 20
	maxList         = 256 << 20
)

// Client talks to one Identity service. It is safe for concurrent use.
type Client struct {
	options Options
	http    *http.Client
	log     *slog.Logger
	now     func() time.Time
	base    *url.URL // AuthURL without version and slash

	endpoints atomic.Pointer[endpoints]
	// confirmed is set once a login went well: from then on a 404 is an answer, and no reason to look for the API elsewhere.
	confirmed atomic.Bool

	breaker breaker
	logins  singleflight.Group
	mu      sync.Mutex
	own     ownToken
}

// endpoints are the URLs of the API's versions, without a slash at the end. noV3 says that the service told of v2.0 alone.
type endpoints struct {
	v3, v2 string
	noV3   bool
}

// New checks the options and reads the TLS files. It opens no connection.
func New(o Options) (*Client, error) {
	base, err := baseURL(o.AuthURL)
	if err != nil {
		return nil, fmt.Errorf("auth_url: %w", err)
	}
	if err := o.checkLogin(); err != nil {
		return nil, err
	}
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.ListTimeout = cmp.Or(o.ListTimeout, 15*time.Minute)
	o.MaxListSize = cmp.Or(o.MaxListSize, maxList)
	c := &Client{options: o, log: o.Log, now: o.Now, base: base}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.http, err = o.newHTTPClient(); err != nil {
		return nil, err
	}
	c.endpoints.Store(&endpoints{v3: base.String() + "/v3", v2: base.String() + "/v2.0"})
	return c, nil
}

// Close closes idle connections. The Client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// String names the service, so that a Client can be printed without its password.
func (c *Client) String() string { return "identity service at " + c.base.String() }

// Format is String for every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// baseURL takes the version and the slash off.
func baseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text repeats the URL, which may hold a password
		return nil, errors.New("this is not a URL; write one like https://identity.example.com:5000")
	case u.User != nil:
		return nil, errors.New("the URL holds a user name or password; take it out, they have options of their own")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is not a URL of http or https with a host", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q has a ? or # in it, which an endpoint cannot have", text)
	}
	path := strings.TrimRight(u.Path, "/")
	for _, version := range []string{"/v3", "/v2.0"} {
		if cut, ok := strings.CutSuffix(path, version); ok {
			path = strings.TrimRight(cut, "/")
			break
		}
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}, nil
}

// logsIn says whether there is anything to log in with.
func (o *Options) logsIn() bool {
	return o.StaticToken != "" || o.byApplicationCredential() || o.Username != "" || o.UserID != ""
}

func (o *Options) byApplicationCredential() bool {
	return o.ApplicationCredentialID != "" || o.ApplicationCredentialName != ""
}

func (o *Options) checkLogin() error {
	scopes := 0
	for _, given := range []bool{o.ProjectID != "" || o.ProjectName != "", o.DomainID != "" || o.DomainName != "", o.SystemScope != "", o.TrustID != ""} {
		if given {
			scopes++
		}
	}
	switch {
	case o.Version != "" && o.Version != "v3" && o.Version != "v2.0":
		return fmt.Errorf("version %q of the Identity API is not known; write v3 or v2.0", o.Version)
	case o.StaticToken != "" && !sendable(o.StaticToken):
		return errors.New("the static token holds bytes that no header can carry")
	case o.StaticToken != "" || !o.logsIn():
		return nil
	case scopes > 1:
		return errors.New("the login has more than one scope: keep one of project, domain, system and trust")
	case o.byApplicationCredential():
		switch {
		case o.ApplicationCredentialSecret == "":
			return errors.New("the login has an application credential but no secret")
		case o.ApplicationCredentialID == "" && o.UserID == "" && (o.Username == "" || o.UserDomainID == "" && o.UserDomainName == ""):
			return errors.New("the login names an application credential without its user: give its id, or the user's id, or the user's name and domain")
		case scopes > 0:
			return errors.New("an application credential brings its own scope; take the project's, domain's, system's and trust's options away")
		case o.Version == "v2.0":
			return errors.New("version v2.0 of the Identity API knows no application credentials")
		}
		return nil
	case o.Password == "":
		return errors.New("the login has a user but no password")
	case o.SystemScope != "" && o.SystemScope != "all":
		return fmt.Errorf("system_scope %q is not known; it is all", o.SystemScope)
	case o.Version == "v2.0":
		if o.DomainID != "" || o.DomainName != "" || o.SystemScope != "" {
			return errors.New("version v2.0 of the Identity API knows projects as scope only")
		}
		return nil
	case o.UserID == "" && o.UserDomainID == "" && o.UserDomainName == "":
		return errors.New("the login has a user name without the id or name of its domain")
	case o.ProjectID == "" && o.ProjectName != "" && o.ProjectDomainID == "" && o.ProjectDomainName == "":
		return errors.New("the login has a project name without the id or name of its domain")
	}
	return nil
}

// unavailable wraps what went wrong while doing something.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}

// answered is unavailable for an answer whose status does not help. Its body stays out, since it may repeat a token.
func answered(doing string, status int) error {
	return unavailable(doing, statusError(status))
}

// statusError is an HTTP status that was not expected.
type statusError int

func (s statusError) Error() string {
	text := fmt.Sprintf("it answered %d", int(s))
	if name := http.StatusText(int(s)); name != "" {
		text += " " + name
	}
	return text
}

// ended is unavailable for a caller who did not wait any longer.
func ended(doing string, ctx context.Context) error { return unavailable(doing, context.Cause(ctx)) }
