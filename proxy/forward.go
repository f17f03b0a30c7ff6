package proxy

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"time"

	"authproxy/peer"
	"authproxy/proxy/headers"
)

// rewrite makes the request for the upstream: the client's own, but for the identity headers and the address. Path and
// query go on as they came, since services give meaning to "//", "..", %2F and ";", and so does Host, of which they make
// links.
func (h *Handler) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	x := exchangeOf(in.Context())

	out.URL.Scheme, out.URL.Host = h.scheme, h.host
	if base := h.Upstream; base.Scheme != "unix" && base.Path != "" && base.Path != "/" {
		out.URL.Path = strings.TrimSuffix(base.Path, "/") + in.URL.Path
		out.URL.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + in.URL.EscapedPath()
	}
	out.URL.RawQuery = in.URL.RawQuery // the ReverseProxy drops parts that it cannot parse
	out.Trailer = nil                  // not passed on, so not announced; some servers read trailers as headers
	if h.UpstreamHTTP2 {
		h.passTrailers(in, out)
	}

	headers.Strip(out.Header, h.StripAlso...)
	// A client that lists token headers in Connection has them taken off; services need them.
	for _, name := range []string{headers.AuthToken, headers.ServiceToken, headers.StorageToken} {
		if x.verdict.anonymous != "" {
			delete(out.Header, name) // nobody has looked at it
		} else if values, ok := in.Header[name]; ok {
			out.Header[name] = values
		}
	}
	if h.Negotiate && slices.ContainsFunc(out.Header["Authorization"], isNegotiate) {
		delete(out.Header, "Authorization") // all of it: with a second value nobody was identified
	}
	h.setForwarded(in, out)
	limitUpgrade(out)
	if h.UpstreamHTTP2 {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
	if h.Guard != nil {
		out.Header[h.GuardHeader] = []string{h.Guard()}
	}

	switch v := x.verdict; {
	case v.anonymous != "":
	case v.user != nil:
		v.user.Set(out.Header)
	default:
		headers.SetInvalid(out.Header)
	}
	switch v := x.verdict; {
	case v.service != nil:
		v.service.SetService(out.Header)
	case v.serviceErr != nil:
		headers.SetServiceInvalid(out.Header)
	}
	x.sent = time.Now()
}

// setForwarded sets X-Forwarded-For, -Host, -Proto, and -Prefix where one was taken off. What came from a trusted front end is
// kept and added to, and so are its other X-Forwarded- headers and Forwarded; from any other peer they are the client's own
// invention and are dropped. Spellings that only an upstream would take for these names never pass.
func (h *Handler) setForwarded(in, out *http.Request) {
	for name := range out.Header {
		if forwarding, _ := headers.IsForwarding(name); forwarding {
			delete(out.Header, name)
		}
	}
	ip, trusted := h.cameFrom(in)
	if trusted {
		for name, values := range in.Header {
			if _, canonical := headers.IsForwarding(name); canonical {
				out.Header[name] = values
			}
		}
	}
	if prior := out.Header["Forwarded"]; ip != "" && len(prior) > 0 {
		out.Header["Forwarded"] = []string{strings.Join(prior, ", ") + ", " + forwardedElement(ip, in.TLS != nil)}
	}
	if prior := out.Header["X-Forwarded-For"]; ip != "" {
		if len(prior) > 0 {
			ip = strings.Join(prior, ", ") + ", " + ip
		}
		out.Header["X-Forwarded-For"] = []string{ip}
	}
	if h.Prefix != "" {
		out.Header["X-Forwarded-Prefix"] = []string{strings.Join(out.Header["X-Forwarded-Prefix"], "") + h.Prefix}
	}
	if _, ok := out.Header["X-Forwarded-Host"]; !ok && in.Host != "" {
		out.Header["X-Forwarded-Host"] = []string{in.Host}
	}
	if _, ok := out.Header["X-Forwarded-Proto"]; !ok {
		proto := "http"
		if in.TLS != nil {
			proto = "https"
		}
		out.Header["X-Forwarded-Proto"] = []string{proto}
	}
}

// peerOf gives the address of the peer, "" for a unix socket, and whether it is on this machine.
func peerOf(remoteAddr string) (ip string, local bool) {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return "", true
	}
	return host, loopback(host)
}

// limitUpgrade lets a client switch to WebSocket and to nothing else. An upstream that took "Upgrade: h2c" would give the
// client a connection on which further requests come past the proxy, with any identity.
func limitUpgrade(out *http.Request) {
	out.Header.Del("Http2-Settings")
	upgrade, ok := out.Header["Upgrade"]
	if !ok || len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && out.Method == http.MethodGet {
		return
	}
	delete(out.Header, "Upgrade")
	delete(out.Header, "Connection")
}

func isNegotiate(authorization string) bool {
	_, ok := peer.Negotiate(authorization)
	return ok
}

// modifyResponse leaves the upstream's answer as it is, but for a challenge on a 401.
func (h *Handler) modifyResponse(res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	x.code = res.StatusCode
	h.watch(x, res.StatusCode, res.Header)
	if h.UpstreamHTTP2 {
		trailersOnly(res)
	}
	h.Metrics.upstreamSeconds.Observe(time.Since(x.sent).Seconds())
	if _, ok := res.Header["Content-Type"]; !ok {
		x.w.Header()["Content-Type"] = nil // or net/http guesses one from the body
	}
	if res.StatusCode == http.StatusUnauthorized {
		for _, challenge := range h.challenges(x.verdict) { // beside the upstream's own, if it has one
			res.Header.Add("WWW-Authenticate", challenge)
		}
	}
	if x.verdict.negotiated != "" {
		res.Header.Add("WWW-Authenticate", x.verdict.negotiated)
		res.Header.Set("Persistent-Auth", "false") // a ticket is for one request, not for the connection
	}
	if res.StatusCode >= 400 && x.upload != nil {
		h.hold(x, res)
	}
	return nil
}

// upstreamFailed answers when there is no answer to pass on.
func (h *Handler) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	a := answer{code: http.StatusBadGateway, outcome: upstreamError, contentType: plainText, body: badGatewayBody}
	level := slog.LevelWarn
	switch {
	case x.sent.IsZero():
		// The ReverseProxy itself would not have it: an Upgrade header that is no protocol name.
		a.code, a.outcome, a.body, level = http.StatusBadRequest, badRequest, badUpgradeBody, slog.LevelDebug
	case x.upload != nil && x.upload.broken.Load():
		a.code, a.outcome, a.body, level = http.StatusBadRequest, clientGone, badBodyBody, slog.LevelDebug
	case r.Context().Err() != nil:
		a.outcome, level = clientGone, slog.LevelDebug
	}
	h.Log.LogAttrs(r.Context(), level, "request not answered by the upstream", slog.Any("cause", err),
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("status", strconv.Itoa(a.code)))
	x.code, x.outcome = a.code, a.outcome
	if x.upload != nil && x.outcome == upstreamError {
		h.drop(x)
	}
	a.write(w)
}
