// Package server answers the HTTP requests of the Identity API, v3 and v2.0.
//
// One file holds one resource; errors become status codes in errors.go and nowhere else. What is allowed to whom is the
// business of package policy, what is right to store that of the subsystems' packages below this one.
package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone/peer"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/oauth1"
	"authproxy/keystone/server/policies"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/server/trust"
	"authproxy/validate/bind"
)

// DefaultMaxBody is the largest request body in bytes (max_request_body_size).
const DefaultMaxBody = 114688

// DefaultMaxParam is the longest id or name of a login by the API v2.0, and id by v3, in bytes (max_param_size).
const DefaultMaxParam = 64

// Policy has the rule that decides who may do an action.
type Policy interface {
	Rule(action string) policy.Rule
}

// Server is the Identity API over its subsystems.
type Server struct {
	Identity       *identity.Manager
	Assignment     *assignment.Manager
	Catalog        *catalog.Manager
	Tokens         *tokens.Manager
	Policy         Policy
	Credentials    *credential.Manager
	Policies       *policies.Manager
	EndpointFilter *endpointfilter.Manager
	OAuth1         *oauth1.Manager
	Federation     *federation.Manager
	DomainConfig   *domainconfig.Manager
	// Trusts is nil where there are none ([trust] enabled).
	Trusts *trust.Manager

	// Peers says who sends a request; nil where nothing does.
	Peers Peers
	// Negotiate says that Peers accepts Kerberos tickets, which clients are then asked for.
	Negotiate bool

	// Fronts are reverse proxies that say in X-Forwarded-For where requests come from.
	Fronts peer.Fronts

	// Audit logs an event for each login and change.
	Audit bool

	// OAuth1InClear takes OAuth's method PLAINTEXT over plain http too.
	OAuth1InClear bool
	// AnonymousSignatures lets everybody ask whose a request is that was signed with an EC2 key.
	AnonymousSignatures bool

	// AdminToken, if set, is a token that may do everything.
	AdminToken string
	// RevokeByID is false where the revocation list is switched off ([token] revoke_by_id).
	RevokeByID bool
	// MemberRole is given by the API v2.0 to users on their own tenant; assignment.DefaultMemberRole where it is zero.
	MemberRole assignment.MemberRole
	// MaxParam is the longest id or name in bytes that a login may name; DefaultMaxParam where it is 0.
	MaxParam int
	// MaxBody is the largest request body in bytes; DefaultMaxBody where it is 0.
	MaxBody int64
	Log     *slog.Logger
	// ListLimits bound lists, by section of keystone.conf. The one of "" bounds those whose section is not there; 0 is no bound.
	ListLimits map[string]int
	// Later adds what clients of later releases look for to answers.
	Later bool
	// Metrics takes the figures of all handlers; nil for none. A registerer takes one Server.
	Metrics prometheus.Registerer

	metrics *metrics
}

// Peers finds out who sends a request, beside its tokens. *peer.Identifier does. A ticket counts once: it is asked once for each
// request.
type Peers interface {
	Identify(r *http.Request) (who bind.Peer, answer string, err error)
	// Attributes are what a front end that is trusted says of who sends a request; nil from anybody else.
	Attributes(r *http.Request) (map[string]string, error)
}

// Listener is what differs between the public and the admin port.
type Listener struct {
	// Admin is set for the admin port, which alone has what administrators do by the API v2.0.
	Admin bool
	// Endpoint is the URL to name in links (public_endpoint, admin_endpoint); "" means that of the request.
	Endpoint string
	// PublicEndpoint is the URL that a 401 sends clients to; "" means Endpoint.
	PublicEndpoint string
}

// later adds attributes that Kilo's answers did not have, where they are asked for.
func (s *Server) later(attributes, more map[string]any) map[string]any {
	if s.Later {
		maps.Copy(attributes, more)
	}
	return attributes
}

// call is one request on its way.
type call struct {
	s      *Server
	l      Listener
	w      http.ResponseWriter
	r      *http.Request
	id     string
	route  string // the path with its variables' names
	caller policy.Credentials
	read   *readBody
	// waited is how long the call waited for something to happen because its client asked for that.
	waited time.Duration
	// object is the id of what the call made, loginUser that of whom it logs in; for the audit event.
	object, loginUser string
	// sender is who sends the request, once that was asked.
	sender *bind.Peer
}

// handler answers a call; an error that it returns is answered by (*call).fail.
type handler func(c *call) error

func (c *call) ctx() context.Context { return c.r.Context() }

// base is the URL of the server as the client sees it, without a slash at its end.
func (c *call) base() string {
	if c.l.Endpoint != "" {
		return strings.TrimRight(c.l.Endpoint, "/")
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

// address is where the request comes from: of what X-Forwarded-For says, that which was written by a front that is trusted to. It is
// "" for a client on a unix socket.
func (c *call) address() string {
	remote, err := netip.ParseAddrPort(c.r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := remote.Addr()
	var said []string
	for _, line := range c.r.Header.Values("X-Forwarded-For") {
		said = append(said, strings.Split(line, ",")...)
	}
	for i := len(said) - 1; i >= 0 && c.s.Fronts.Contains(address); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(said[i]))
		if err != nil {
			break
		}
		address = next
	}
	return address.String()
}

// authenticate finds out who the caller is by X-Auth-Token.
func (c *call) authenticate() error {
	text := c.r.Header.Get("X-Auth-Token")
	switch {
	case text == "":
		return fault.Unauthorized{Why: "no X-Auth-Token"}
	case len(c.r.Header.Values("X-Auth-Token")) > 1: // whoever stands in front may have looked at another one
		return fault.Unauthorized{Why: "more than one X-Auth-Token"}
	}
	if c.s.isAdminToken(text) {
		c.caller = policy.Credentials{Admin: true}
		return nil
	}
	record, err := c.s.Tokens.Validate(c.ctx(), text, false)
	if fault.IsNotFound(err) {
		return fault.Unauthorized{Why: "X-Auth-Token is not valid"}
	}
	if err != nil {
		return err
	}
	if c.caller.Token, err = record.Decode(); err != nil {
		return err
	}
	if c.caller.GroupIDs, err = record.FederatedGroups(); err != nil {
		return err
	}
	return c.checkBind(c.caller.Token.Bind)
}

// checkBind says whether a token with this bind may be used by who sends the request.
func (c *call) checkBind(bound map[string]string) error {
	var who bind.Peer
	if len(bound) > 0 && c.s.Tokens.BindMode != bind.Disabled {
		who = c.peer()
	}
	err := c.s.Tokens.BindMode.Check(bound, who)
	if err != nil {
		return fault.Unauthorized{Why: err.Error(), Negotiate: errors.Is(err, bind.ErrKerberos)}
	}
	return nil
}

// peer is who sends the request. The answer to a ticket is put on the answer to the request.
func (c *call) peer() bind.Peer {
	if c.sender == nil {
		var who bind.Peer
		if c.s.Peers != nil {
			var answer string
			var err error
			if who, answer, err = c.s.Peers.Identify(c.r); err != nil {
				c.s.log().Info("what says who sends the request does not hold", slog.String("request_id", c.id), slog.Any("cause", err))
			}
			if answer != "" {
				c.w.Header().Add("WWW-Authenticate", answer)
			}
		}
		c.sender = &who
	}
	return *c.sender
}

// isAdminToken compares in a time that does not depend on either text.
func (s *Server) isAdminToken(text string) bool {
	want, got := sha256.Sum256([]byte(s.AdminToken)), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && s.AdminToken != ""
}

// routes collects the routes of one listener.
type routes struct {
	*mux.Router
	s *Server
	l Listener
}

func (r routes) on(methods, path string, h handler) {
	r.Handle(path, r.s.serve(r.l, path, h)).Methods(strings.Fields(methods)...)
}

// Handler answers the requests that come to one listener. Handlers of one Server may be made in turn, not at the same time.
func (s *Server) Handler(l Listener) http.Handler { return withoutFinalSlash(s.router(l)) }

func (s *Server) router(l Listener) *mux.Router {
	if s.metrics == nil {
		s.metrics = newMetrics(s.Metrics, s.Tokens.Watch, s.Identity.Hasher)
	}
	r := routes{mux.NewRouter().UseEncodedPath().SkipClean(true), s, l}
	s.versionRoutes(r)
	s.authRoutes(r)
	s.eventRoutes(r)
	s.certificateRoutes(r)
	s.userRoutes(r)
	s.groupRoutes(r)
	s.domainRoutes(r)
	s.domainConfigRoutes(r)
	s.projectRoutes(r)
	s.roleRoutes(r)
	s.grantRoutes(r)
	s.assignmentRoutes(r)
	s.regionRoutes(r)
	s.serviceRoutes(r)
	s.endpointRoutes(r)
	s.credentialRoutes(r)
	s.policyRoutes(r)
	s.endpointFilterRoutes(r)
	s.trustRoutes(r)
	s.oauth1Routes(r)
	s.federationRoutes(r)
	s.routesV2(r)
	unknown := s.serve(l, "unknown", func(*call) error { return errNoRoute })
	r.NotFoundHandler, r.MethodNotAllowedHandler = unknown, unknown
	return r.Router
}

// StopWaiting answers the requests that wait for a revocation, and lets none wait any more: to be called when the server is shut
// down.
func (s *Server) StopWaiting() {
	if s.Tokens.Watch != nil {
		s.Tokens.Watch.Stop()
	}
}

// withoutFinalSlash takes one slash off the end of the path, as Keystone does: /v3/users/ is /v3/users.
func withoutFinalSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); len(p) > 1 && strings.HasSuffix(p, "/") { // %2F is part of an id
			u := *r.URL
			u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
			copied := *r
			copied.URL = &u
			r = &copied
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

func (s *Server) maxParam() int {
	if s.MaxParam == 0 {
		return DefaultMaxParam
	}
	return s.MaxParam
}

func (s *Server) memberRole() assignment.MemberRole {
	if s.MemberRole == (assignment.MemberRole{}) {
		return assignment.DefaultMemberRole
	}
	return s.MemberRole
}

// listLimit is how many objects a list of that section holds at most, 0 for any number.
func (s *Server) listLimit(section string) int {
	if limit, ok := s.ListLimits[section]; ok {
		return limit
	}
	return s.ListLimits[""]
}

func (s *Server) maxBody() int64 {
	if s.MaxBody == 0 {
		return DefaultMaxBody
	}
	return s.MaxBody
}
