// Package extauth answers front ends that ask, for each request of theirs, whether it may pass and who sends it: nginx
// (auth_request), Traefik (ForwardAuth), Caddy (forward_auth) and Envoy (ext_authz, over HTTP and gRPC).
//
// The verdict is the proxy's own. What differs is that the front end passes the request on, with the client's headers in it, so
// each name of the table of identity headers is overwritten or removed there: the samples in examples/extauth do so.
package extauth

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"authproxy/keystone/peer"
	"authproxy/proxy/headers"
)

// A way is how a front end asks; the text is a metric label. Each way reads the original request from one place only: what other
// front ends would say elsewhere may come from the client.
type way string

const (
	// byOriginal: X-Original-Method, X-Original-URI and Host. The answer has every name of the table, empty where there is no value.
	byOriginal way = "original"
	// byForwarded: X-Forwarded-Method, X-Forwarded-Uri and X-Forwarded-Host. The answer has the names that have a value.
	byForwarded way = "forwarded"
	// byPrefix is Envoy's HTTP service: method, Host and what stands behind the prefix in the path are the request's. The answer
	// has the names that have a value, and tells Envoy to remove the others.
	byPrefix way = "prefix"
	byGRPC   way = "grpc"
	// nobody is who may not ask, or asks for nothing that is here.
	nobody way = "none"
)

// Paths for the ways over HTTP.
const (
	OriginalPath  = "/auth"
	ForwardedPath = "/auth/forwarded"
	EnvoyPrefix   = "/auth/envoy"
)

// removeHeader tells Envoy's HTTP service client which headers of the request to remove.
const removeHeader = "X-Envoy-Auth-Headers-To-Remove"

// Options are what a Handler is made of. Proxy and Fronts are needed.
type Options struct {
	// Proxy judges: a proxy.Handler that is AnswerOnly, or a proxy.Router of such. It is to believe nobody's X-Forwarded-.
	Proxy http.Handler
	// Fronts are those who may ask. Their word on the original request counts.
	Fronts peer.Fronts
	// StripAlso are further headers that the upstream must not get from clients; removed where the front end can be told to.
	StripAlso  []string
	Registerer prometheus.Registerer // nil: no figures
	Log        *slog.Logger          // nil: discarded
}

// Handler answers over HTTP and, on HTTP/2, over gRPC.
type Handler struct {
	o        Options
	grpc     *grpc.Server
	requests *prometheus.CounterVec
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	h := &Handler{o: o, grpc: grpc.NewServer(), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authproxy_auth_requests_total",
		Help: "Questions of front ends, by how they ask and by the status of the answer.",
	}, []string{"by", "code"})}
	for _, by := range []way{byOriginal, byForwarded, byPrefix, byGRPC} {
		h.requests.WithLabelValues(string(by), "200")
	}
	o.Registerer.MustRegister(h.requests)
	register(h.grpc, h)
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.o.Fronts.Trust(r) {
		h.o.Log.Warn("a peer asks for verdicts that is no trusted front end; name it in --auth-trusted-peers or --auth-trusted-peer-names",
			slog.String("peer", r.RemoteAddr))
		h.refuse(w, nobody, http.StatusForbidden, "Only front ends may ask here.\n")
		return
	}
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		h.grpc.ServeHTTP(w, r)
		return
	}
	q, err := question{}, error(nil)
	switch behind, prefixed := strings.CutPrefix(r.RequestURI, EnvoyPrefix); {
	case prefixed && strings.HasPrefix(behind, "/"):
		q = prefixQuestion(r, behind, h.o.Fronts)
	case r.URL.Path == OriginalPath:
		q, err = headerQuestion(r, byOriginal, "X-Original-Method", "X-Original-Uri", h.o.Fronts)
	case r.URL.Path == ForwardedPath:
		q, err = headerQuestion(r, byForwarded, "X-Forwarded-Method", "X-Forwarded-Uri", h.o.Fronts)
	default:
		h.refuse(w, nobody, http.StatusNotFound, "Front ends ask at "+OriginalPath+", "+ForwardedPath+" or beneath "+EnvoyPrefix+".\n")
		return
	}
	var original *http.Request
	if err == nil {
		original, err = q.request(r.Context())
	}
	if err != nil {
		h.o.Log.Warn("a front end does not say what it asks for", slog.String("by", string(q.by)), slog.String("peer", r.RemoteAddr), slog.Any("cause", err))
		h.refuse(w, q.by, http.StatusBadRequest, "The question does not name one request: "+err.Error()+".\n")
		return
	}
	if name := lookAlike(q.header); name != "" && q.by != byPrefix { // nothing can be told to remove it
		h.o.Log.Info("request refused: the upstream could take a header of it for one of the identity", slog.String("name", name),
			slog.String("method", q.method), slog.String("path", original.URL.Path), slog.String("peer", original.RemoteAddr))
		h.refuse(w, q.by, http.StatusForbidden, "A header of the request looks like an identity header.\n")
		return
	}
	v := h.judge(original)
	h.count(q.by, v.code)
	header := w.Header()
	for name, values := range v.header {
		header[name] = values
	}
	if v.code == http.StatusOK {
		switch q.by {
		case byOriginal:
			for _, name := range names {
				if header[name] == nil {
					header[name] = []string{""}
				}
			}
		case byPrefix:
			remove := h.remove(q.names, v)
			for _, name := range remove {
				delete(header, http.CanonicalHeaderKey(name)) // those without a value
			}
			header.Set(removeHeader, strings.Join(remove, ","))
		}
	}
	w.WriteHeader(v.code)
	_, _ = w.Write(v.body.Bytes())
}

// refuse answers a question without having judged.
func (h *Handler) refuse(w http.ResponseWriter, by way, code int, text string) {
	h.count(by, code)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

func (h *Handler) count(by way, code int) {
	h.requests.WithLabelValues(string(by), strconv.Itoa(code)).Inc()
}

// judge lets the proxy decide about a request.
func (h *Handler) judge(r *http.Request) *verdict {
	v := &verdict{header: http.Header{}}
	h.o.Proxy.ServeHTTP(v, r)
	return v
}

// A verdict is the proxy's answer.
type verdict struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(code int)        { v.code = code }
func (v *verdict) Write(p []byte) (int, error) { return v.body.Write(p) }

// names are those of the table.
var names = headers.Names()

// remove lists, in lower case, what the front end has to remove from a request that may pass: the names of the table that have no
// value, whatever else of the request's headers could be taken for one of the identity, and tokens that nobody has looked at. sent
// are the names of the request's headers as they came.
func (h *Handler) remove(sent []string, v *verdict) (list []string) {
	for _, name := range names {
		if v.header.Get(name) == "" {
			list = append(list, strings.ToLower(name))
		}
	}
	anonymous := v.header.Get(names[0]) == "" // X-Identity-Status: by a rule, since all others have it
	for _, name := range sent {
		canonical := http.CanonicalHeaderKey(name)
		if headers.Reserved(canonical, h.o.StripAlso...) && v.header[canonical] == nil || anonymous && headers.IsToken(canonical) {
			list = append(list, strings.ToLower(name))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func lookAlike(h http.Header) string {
	for name := range h {
		if headers.LookAlike(name) {
			return name
		}
	}
	return ""
}
