package proxy

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"authproxy/keystone"
	"authproxy/proxy/headers"
	"authproxy/validate"
	"authproxy/validate/bind"
)

// Reasons of the proxy's own, beside those of package validate.
const (
	// DuplicateHeader: a token header came more than once. Which one an upstream would read is anybody's guess.
	DuplicateHeader validate.Reason = "duplicate_header"
	// HeaderSafety: the token is good, but what it says cannot be put into headers.
	HeaderSafety validate.Reason = "header_safety"
	// ServiceRole: the service token has none of service_token_roles.
	ServiceRole validate.Reason = "service_role"
	// SameToken: one token came as user and as service token.
	SameToken validate.Reason = "same_token"
	// BadMethod: CONNECT, which asks for a tunnel past the proxy.
	BadMethod validate.Reason = "bad_method"
	// RequiredRole: the user has none of the roles of which the route asks for one.
	RequiredRole validate.Reason = "required_role"
	// NoRoute: the request fits no route.
	NoRoute validate.Reason = "no_route"
	// AmbiguousPath: servers read the path in more ways than one, and it depends on that which route it fits.
	AmbiguousPath validate.Reason = "ambiguous_path"
)

var ownReasons = []validate.Reason{DuplicateHeader, HeaderSafety, ServiceRole, SameToken, BadMethod, RequiredRole, NoRoute, AmbiguousPath}

// verdict is what the tokens of one request come to.
type verdict struct {
	// anonymous is the rule by which the request needs no token, "" for none; the rest then is empty.
	anonymous string
	// user and service are nil for a token that does not hold or is not there.
	user, service *headers.Identity
	// userErr and serviceErr say why; serviceErr is nil where no service token came.
	userErr, serviceErr error
	// forbidden is set for a user whose token holds, but who lacks a required role: 403.
	forbidden error
	// unfit is set for a request that is not answered on its tokens' merits: 400 or 501.
	unfit error
	// userText and serviceText are the tokens, for their digests in the log.
	userText, serviceText string

	// expires is when the user's token ends; mayBeExpired, that a service token lets it count for longer.
	expires      time.Time
	mayBeExpired bool

	// sender finds out, once, who sends the request; nil where nobody can.
	sender func() bind.Peer
	// Of the sender, if he had to be identified: the value of WWW-Authenticate that he is to get, and what did not hold.
	negotiated string
	peerErr    error
}

// outcome is what becomes of a request that is passed on.
func (v verdict) outcome() outcome {
	switch {
	case v.anonymous != "":
		return passedAnonymous
	case v.user != nil:
		return confirmed
	}
	return passedInvalid
}

// wantsKerberos says that a ticket could have made the difference.
func (v verdict) wantsKerberos() bool {
	return errors.Is(v.userErr, bind.ErrKerberos) || errors.Is(v.serviceErr, bind.ErrKerberos)
}

func refuse(reason validate.Reason, cause error) error {
	return &validate.Error{Reason: reason, Cause: cause}
}

// judge asks about the tokens of a request: first the service token, since it may let the user's be expired.
func (h *Handler) judge(r *http.Request, v *verdict) {
	if r.Method == http.MethodConnect {
		v.unfit = refuse(BadMethod, nil)
		return
	}
	if r.URL.Opaque != "" { // "GET mailto:x": the upstream would get a line that is no request's
		v.unfit = refuse(AmbiguousPath, errors.New("the request target has no path"))
		return
	}
	if v.anonymous = h.Anonymous.Match(r); v.anonymous != "" {
		h.Metrics.anonymous.WithLabelValues(h.Route, v.anonymous).Inc()
		return
	}
	for _, name := range []string{headers.AuthToken, headers.ServiceToken, headers.StorageToken} {
		if len(r.Header[name]) > 1 {
			v.unfit = refuse(DuplicateHeader, errors.New(name))
			return
		}
	}
	v.userText = userToken(r.Header)
	v.serviceText = first(r.Header[headers.ServiceToken])

	if v.sender == nil {
		v.sender = h.sender(r, v)
	}
	sender, client := v.sender, h.clientOf(r)
	var service *validate.Verified
	trusted := false // the service token has one of the roles that make one
	if v.serviceText != "" {
		service, v.service, trusted, v.serviceErr = h.judgeService(r, v.serviceText, v.userText, sender, client)
		if v.serviceErr != nil && !h.DelayAuthDecision && errors.Is(v.serviceErr, validate.ErrInvalid) {
			return // refused whatever the user token is
		}
	}
	if v.userText == "" {
		v.userErr = refuse(validate.Missing, nil)
		return
	}
	user, err := h.Validator.Validate(r.Context(), validate.Request{
		Token: v.userText, AllowExpired: trusted, Identify: sender, InsecureSkipBind: trusted && h.InsecureServiceTokenSkipsBind,
		Bind: h.Bind, Client: client,
		Method: r.Method, Path: r.URL.Path, SkipAccessRules: trusted,
	})
	if err != nil {
		v.userErr = err
		return
	}
	if service != nil && sameToken(user.Token, service.Token) {
		v.service, v.serviceErr = nil, refuse(SameToken, errors.New("both tokens have one audit id"))
	}
	v.expires, v.mayBeExpired = user.Token.ExpiresAt, trusted
	v.user, v.userErr = h.userIdentity(user)
	if len(h.RequiredRoles) > 0 && !hasRole(user.Token, h.RequiredRoles) {
		v.forbidden = refuse(RequiredRole, nil)
	}
}

func hasRole(t *keystone.Token, names []string) bool {
	return slices.ContainsFunc(t.Roles, func(role keystone.Role) bool { return slices.Contains(names, role.Name) })
}

// sender gives what finds out, once for both tokens, who sends the request; nil where nobody can.
func (h *Handler) sender(r *http.Request, v *verdict) func() bind.Peer {
	if h.Peers == nil {
		return nil
	}
	return sync.OnceValue(func() (who bind.Peer) {
		who, v.negotiated, v.peerErr = h.Peers.Identify(r)
		h.Metrics.identified(v.peerErr)
		return who
	})
}

func (h *Handler) judgeService(r *http.Request, text, userText string, sender func() bind.Peer, client string) (
	service *validate.Verified, id *headers.Identity, trusted bool, err error,
) {
	if text == userText {
		return nil, nil, false, refuse(SameToken, nil)
	}
	service, err = h.Validator.Validate(r.Context(), validate.Request{Token: text, Identify: sender, Bind: h.Bind, Client: client, Method: r.Method, Path: r.URL.Path})
	if err != nil {
		return nil, nil, false, err
	}
	trusted = hasRole(service.Token, h.ServiceTokenRoles)
	if !trusted && !h.InsecureServiceTokenRolesOptional {
		return nil, nil, false, refuse(ServiceRole, nil)
	}
	if id, err = h.serviceIdentity(service); err != nil {
		return nil, nil, false, err
	}
	return service, id, trusted, nil
}

// sameToken says whether two texts are one token: PKI and PKIZ forms of it differ in text only.
func sameToken(a, b *keystone.Token) bool {
	return len(a.AuditIDs) > 0 && len(b.AuditIDs) > 0 && a.AuditIDs[0] == b.AuditIDs[0]
}

// userToken is X-Auth-Token, or where that header is absent, X-Storage-Token. An empty X-Auth-Token is there: services
// would read it as such.
func userToken(h http.Header) string {
	if values, ok := h[headers.AuthToken]; ok {
		return first(values)
	}
	return first(h[headers.StorageToken])
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// prepared is what Verified.Derive keeps with a cached token: its header blocks as a user's token with and without a catalog, of
// which a route uses one, and as a service's, or why there are none. Each is made when it is first asked for.
type prepared struct {
	user, userNoCatalog, service block
}

type block struct {
	once     sync.Once
	identity *headers.Identity
	err      error
}

func newPrepared(*keystone.Token) any { return new(prepared) }

// userIdentity gives the header block of a user token.
func (h *Handler) userIdentity(v *validate.Verified) (*headers.Identity, error) {
	p := v.Derive(newPrepared).(*prepared)
	b := &p.user
	if h.Headers.OmitCatalog {
		b = &p.userNoCatalog
	}
	b.once.Do(func() {
		if b.identity, b.err = refuseUnsafe(headers.Prepare(v.Token, h.Headers)); b.err == nil {
			h.noteCatalog(b.identity.Catalog())
		}
	})
	return b.identity, b.err
}

// serviceIdentity gives that of a service token.
func (h *Handler) serviceIdentity(v *validate.Verified) (*headers.Identity, error) {
	b := &v.Derive(newPrepared).(*prepared).service
	b.once.Do(func() { b.identity, b.err = refuseUnsafe(headers.PrepareService(v.Token, h.Headers)) })
	return b.identity, b.err
}

func refuseUnsafe(id *headers.Identity, err error) (*headers.Identity, error) {
	switch {
	case errors.Is(err, headers.ErrNoProject):
		return nil, refuse(validate.NoProject, err)
	case err != nil:
		return nil, refuse(HeaderSafety, err)
	}
	return id, nil
}

// noteCatalog counts what is wrong with a catalog, once for each token, and logs it once in the life of the process.
func (h *Handler) noteCatalog(c headers.CatalogReport) {
	if c.TooLarge {
		h.Metrics.catalogs.WithLabelValues("too_large").Inc()
		if !h.saidTooLarge.Swap(true) {
			h.Log.Warn("service catalog left out: it is over the limit; raise the limit here and in the upstream, or leave catalogs out altogether",
				"bytes", c.Size, "limit", h.Headers.MaxCatalog)
		}
	}
	if c.Broken {
		h.Metrics.catalogs.WithLabelValues("broken").Inc()
	}
	if c.Skipped > 0 {
		h.Metrics.catalogs.WithLabelValues("partly_skipped").Inc()
	}
	if (c.Broken || c.Skipped > 0) && !h.saidBroken.Swap(true) {
		h.Log.Warn("service catalog is faulty: entries without a type, a URL or a known interface are left out",
			"entries", c.Skipped, "all", c.Broken)
	}
}
