package proxy

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"authproxy/proxy/paths"
	"authproxy/validate"
)

// Route is one way through a Router.
type Route struct {
	// Hosts and Path say which requests take the route: those for one of the hosts (nil: any), in lower case and without port,
	// beneath the path ("": any), by whole segments. Path has no slash at its end.
	Hosts []string
	Path  string
	// StripPrefix takes Path off before the Handler sees the request.
	StripPrefix bool
	Handler     *Handler
}

// Router sends each request to the Handler of the route that fits it best: one for its host before those for any host, then the
// one with the longest path. What fits none is a 404.
//
// A request whose path could be read so that it fits another route is a 400: one route may ask for more than another.
type Router struct {
	routes   []Route
	byHost   bool
	fallback *Handler
	mux      *mux.Router
}

// NewRouter makes a Router of at least one route. The figures and the log of what fits no route are those of the first Handler.
func NewRouter(routes []Route) *Router {
	rt := &Router{routes: slices.Clone(routes), fallback: routes[0].Handler, mux: mux.NewRouter().SkipClean(true)}
	slices.SortStableFunc(rt.routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(min(len(b.Hosts), 1), min(len(a.Hosts), 1)), cmp.Compare(len(b.Path), len(a.Path)))
	})
	for _, route := range rt.routes {
		rt.byHost = rt.byHost || len(route.Hosts) > 0
		rt.mux.NewRoute().MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
			return route.serves(hostOf(r)) && paths.Under(r.URL.Path, route.Path)
		}).Handler(route.handler())
	}
	rt.mux.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt.refuse(w, r, NoRoute, answer{code: http.StatusNotFound, outcome: noRoute, contentType: applicationJSON, body: noRouteBody})
	})
	return rt
}

func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		rt.fallback.ServeHTTP(w, r) // which refuses it
		return
	}
	if !rt.settled(r) {
		rt.refuse(w, r, AmbiguousPath, answer{code: http.StatusBadRequest, outcome: badRequest, contentType: plainText, body: ambiguousBody})
		return
	}
	rt.mux.ServeHTTP(w, r)
}

// settled says whether there is no doubt about the route.
func (rt *Router) settled(r *http.Request) bool {
	host := hostOf(r)
	if rt.byHost && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") != "" {
		return false
	}
	for i := range rt.routes {
		if route := &rt.routes[i]; route.Path != "" && route.serves(host) && !paths.Settled(r.URL, route.Path) {
			return false
		}
	}
	return true
}

func (rt *Router) refuse(w http.ResponseWriter, r *http.Request, reason validate.Reason, a answer) {
	h := rt.fallback
	h.once.Do(h.prepare)
	h.Metrics.refusal(reason)
	h.Metrics.request(a.code, a.outcome)
	h.Log.LogAttrs(r.Context(), slog.LevelDebug, "request fits no route", slog.String("reason", string(reason)),
		slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.URL.Path), slog.String("peer", r.RemoteAddr))
	h.dismiss(w, r)
	a.write(w)
}

func (route *Route) serves(host string) bool {
	return len(route.Hosts) == 0 || slices.Contains(route.Hosts, host)
}

// handler is the route's Handler, behind what the route does to requests.
func (route *Route) handler() http.Handler {
	h := route.Handler
	if route.StripPrefix {
		h.Prefix = route.Path
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.once.Do(h.prepare)
		h.Metrics.routes.WithLabelValues(h.Route).Inc()
		if route.StripPrefix {
			r = stripped(r, route.Path)
		}
		// Some services take these for the path that was meant, which another route was not asked about.
		for name := range r.Header {
			switch strings.ReplaceAll(strings.ToLower(name), "_", "-") {
			case "x-original-url", "x-rewrite-url":
				delete(r.Header, name)
			}
		}
		h.ServeHTTP(w, r)
	})
}

// stripped is the request without a prefix that its path is known to lie beneath.
func stripped(r *http.Request, prefix string) *http.Request {
	u := *r.URL
	u.Path = u.Path[len(prefix):]
	raw := r.URL.EscapedPath() // where the prefix may be spelled with encoded letters
	for range strings.Count(prefix, "/") {
		i := strings.IndexByte(raw[1:], '/')
		if i < 0 {
			raw = ""
			break
		}
		raw = raw[1+i:]
	}
	u.RawPath = raw
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	out := *r
	out.URL, out.RequestURI = &u, u.RequestURI()
	return &out
}

// hostOf is the host that a request is for, in lower case, without port and without a dot at its end.
func hostOf(r *http.Request) string {
	u := url.URL{Host: r.Host}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}
