// Package proxy is the HTTP side of authproxy: it takes tokens off a request, asks a Validator about them, puts identity
// headers on and passes the request to the upstream.
//
// An upstream behind it believes the identity headers, so they are removed from every request first, in whatever spelling
// and whatever is decided later (proxy/headers has the table).
package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone/peer"
	"authproxy/proxy/anonymous"
	"authproxy/proxy/headers"
	"authproxy/proxy/relay"
	"authproxy/validate"
	"authproxy/validate/bind"
)

// Validator decides about tokens. *validate.Validator is one.
type Validator interface {
	// Validate fails with an error that wraps validate.ErrInvalid or validate.ErrUnavailable.
	Validate(ctx context.Context, r validate.Request) (*validate.Verified, error)
}

// Peers tells who sends a request, besides its tokens. *peer.Identifier does.
type Peers interface {
	// Identify is asked at most once about a request. answer is a value for WWW-Authenticate in the answer, "" for none; the
	// error says what was tried and did not hold.
	Identify(r *http.Request) (who bind.Peer, answer string, err error)
}

// Handler is the proxy. Its exported fields are set before the first request and not changed after it. Validator and
// Upstream are needed; for the others the zero value is the strict or common choice.
type Handler struct {
	// Route is the name under which the Handler's requests are counted, where there are several.
	Route     string
	Validator Validator
	// Upstream is where requests go, from ParseUpstream.
	Upstream *url.URL
	// UpstreamHTTP2 says that the Transport speaks it, so that trailers go both ways, and upgrades do not exist.
	UpstreamHTTP2 bool
	// Relay carries requests to the upstream; by default it is NewRelay(Upstream, TransportOptions{}).
	Relay *relay.Client
	// Transport, if it is set, does so instead of Relay, by way of the standard library's ReverseProxy.
	Transport http.RoundTripper

	// AnswerOnly is for front ends that ask, and pass requests on themselves: what would go to the upstream is answered with 200,
	// and with the identity headers in the answer. Upstream is not needed.
	AnswerOnly bool

	// DelayAuthDecision passes on requests whose tokens do not hold, marked X-Identity-Status: Invalid, and leaves the
	// decision to the upstream.
	DelayAuthDecision bool
	// ChallengeURI is the Identity URL that a 401 names in WWW-Authenticate; "" names none.
	ChallengeURI string
	// ServiceTokenRoles are the roles one of which makes a token a service token; "service" by default.
	ServiceTokenRoles []string
	// InsecureServiceTokenRolesOptional takes any valid token for a service token (service_token_roles_required = false).
	InsecureServiceTokenRolesOptional bool
	// Headers says what goes into identity headers.
	Headers headers.Options
	// Bind is the mode of token binding here; nil: that of the Validator.
	Bind *bind.Mode
	// RequiredRoles are the roles one of which a user needs; nil: any user may come.
	RequiredRoles []string
	// Prefix is what a Router has taken off the path; the upstream is told in X-Forwarded-Prefix.
	Prefix string
	// Anonymous are the requests that need no token; nil: none. The upstream gets them without any token and without a word
	// on identity.
	Anonymous *anonymous.Rules
	// StripAlso are further headers that clients must not send, in any spelling.
	StripAlso []string

	// Guard gives the secret by which the upstream knows the proxy, sent in GuardHeader; nil: none is sent. A GuardHeader that
	// is not headers.Reserved anyway belongs into StripAlso.
	Guard       func() string
	GuardHeader string
	// ForwardedFrom are the front ends whose X-Forwarded- headers and Forwarded are believed and added to; nil: those on this
	// machine, and whoever connects to a unix socket. From any other peer the headers are its own invention, and are dropped.
	ForwardedFrom *peer.Fronts
	// Peers tells who sends a request, for tokens that are bound; nil: nobody knows.
	Peers Peers
	// Negotiate says that Peers does Kerberos: a token bound to it is answered with a challenge, and "Authorization:
	// Negotiate", which then is for the proxy, is not passed on.
	Negotiate bool
	// InsecureServiceTokenSkipsBind leaves the user token's binding unchecked beside a valid service token with one of
	// ServiceTokenRoles, as auth_token does beside any.
	InsecureServiceTokenSkipsBind bool

	// Streams closes long exchanges when their tokens end; nil: they go on.
	Streams *Streams

	// DrainBytes and DrainTime bound how much of a chunked upload is read, and for how long, before it is answered without
	// the upstream having taken it; 64 MiB and 30 s by default. A client that writes all before it reads, as glanceclient
	// does, would else see a broken pipe instead of the answer.
	DrainBytes int64
	DrainTime  time.Duration
	// RetryAfter is what a 503 tells clients to wait; 5 s by default.
	RetryAfter time.Duration

	Metrics *Metrics     // nil: not kept
	Log     *slog.Logger // nil: discarded

	once         sync.Once
	forwarder    forwarder
	scheme, host string
	challenge    string
	retryAfter   string
	saidTooLarge atomic.Bool
	saidBroken   atomic.Bool
}

func (h *Handler) prepare() {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Metrics == nil {
		h.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if len(h.ServiceTokenRoles) == 0 {
		h.ServiceTokenRoles = []string{"service"}
	}
	if h.DrainBytes == 0 {
		h.DrainBytes = 64 << 20
	}
	if h.DrainTime == 0 {
		h.DrainTime = 30 * time.Second
	}
	if h.RetryAfter == 0 {
		h.RetryAfter = 5 * time.Second
	}
	for _, rule := range h.Anonymous.Names() {
		h.Metrics.anonymous.WithLabelValues(h.Route, rule)
	}
	h.challenge = challenge(h.ChallengeURI)
	h.retryAfter = seconds(h.RetryAfter)
	if h.AnswerOnly {
		h.forwarder = answers{}
		return
	}
	h.scheme, h.host = target(h.Upstream)
	switch {
	case h.Transport != nil:
		h.forwarder = newReverse(h)
	case h.Relay == nil:
		h.Relay = NewRelay(h.Upstream, TransportOptions{})
		fallthrough
	default:
		h.forwarder = newDirect(h)
	}
}

// A forwarder passes an accepted request to the upstream, and its answer to the client. Both that there are keep to one set
// of rules: what goes out is what forward.go says.
type forwarder interface {
	forward(w http.ResponseWriter, r *http.Request, x *exchange)
}

// exchange is one request on its way through.
type exchange struct {
	w       http.ResponseWriter
	verdict verdict
	stream  *stream // nil: not watched
	upload  *upload // nil: no request body
	sent    time.Time
	code    int
	outcome outcome
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.prepare)
	x := &exchange{w: w}
	h.Metrics.inFlight.Add(1)
	defer func() { // also when the connection is aborted by a panic
		h.Metrics.inFlight.Add(-1)
		h.Metrics.request(x.code, x.outcome)
	}()

	h.judge(r, &x.verdict)
	h.logVerdict(r, x.verdict)
	if a, refused := h.answerFor(x.verdict); refused {
		x.code, x.outcome = a.code, a.outcome
		h.dismiss(w, r)
		a.write(w)
		return
	}
	x.outcome = x.verdict.outcome()
	r, done := h.interruptible(x, r)
	defer done()
	if r.Body != nil && r.ContentLength != 0 && !isWhole(r) {
		x.upload = &upload{body: r.Body, chunked: r.ProtoMajor == 1 && r.ContentLength < 0 && r.Header.Get("Expect") == ""}
	}
	h.forwarder.forward(w, r, x)
}
