package proxy

import (
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"authproxy/keystone/peer"
	"authproxy/proxy/headers"
)

// A fieldSet takes the header fields of a request on their way to the upstream.
type fieldSet interface{ add(name, value string) }

// pass gives out the fields of a client's request that go to the upstream, and X-Forwarded-: not those of framing and of
// upgrades, and not those of the identity, which are for the forwarder to add. The tokens of an anonymous request, which nobody
// has looked at, do not go there.
//
// A client that lists token headers in Connection does not have them taken off: services need them.
func (h *Handler) pass(in *http.Request, anonymous bool, out fieldSet) {
	ip, trusted := h.cameFrom(in)
	listed := in.Header["Connection"]
	var hasHost, hasProto bool
	for name, values := range in.Header {
		if headers.IsToken(name) {
			if !anonymous {
				addAll(out, name, values)
			}
			continue
		}
		if hopByHop(name) || headers.Reserved(name, h.StripAlso...) {
			continue
		}
		// What came from a trusted front end is kept and added to; from any other peer these are the client's own invention.
		// Spellings that only an upstream would take for these names never pass.
		if forwarding, canonical := headers.IsForwarding(name); forwarding {
			if !trusted || !canonical {
				continue
			}
			switch name {
			case "X-Forwarded-For", "X-Forwarded-Prefix", "Forwarded":
				continue // below
			case "X-Forwarded-Host":
				hasHost = true
			case "X-Forwarded-Proto":
				hasProto = true
			}
			addAll(out, name, values)
			continue
		}
		switch {
		case len(listed) > 0 && isListed(listed, name):
		case name == "Authorization" && h.Negotiate && slices.ContainsFunc(values, isNegotiate):
			// All of it: with a second value nobody was identified.
		default:
			addAll(out, name, values)
		}
	}
	if te := in.Header["Te"]; len(te) > 0 && hasToken(te, "trailers") {
		out.add("Te", "trailers")
	}
	h.passForwarded(in, ip, trusted, out)
	if !hasHost && in.Host != "" {
		out.add("X-Forwarded-Host", in.Host)
	}
	switch {
	case hasProto:
	case in.TLS != nil:
		out.add("X-Forwarded-Proto", "https")
	default:
		out.add("X-Forwarded-Proto", "http")
	}
	if h.Guard != nil {
		out.add(h.GuardHeader, h.Guard())
	}
}

// passForwarded gives out the fields in which each hop adds to what the ones before it said.
func (h *Handler) passForwarded(in *http.Request, ip string, trusted bool, out fieldSet) {
	var addresses, elements, prefixes []string
	if trusted {
		addresses, elements, prefixes = in.Header["X-Forwarded-For"], in.Header["Forwarded"], in.Header["X-Forwarded-Prefix"]
	}
	switch {
	case ip == "":
		addAll(out, "X-Forwarded-For", addresses)
		addAll(out, "Forwarded", elements)
	case len(addresses) > 0:
		out.add("X-Forwarded-For", strings.Join(addresses, ", ")+", "+ip)
	default:
		out.add("X-Forwarded-For", ip)
	}
	if ip != "" && len(elements) > 0 {
		out.add("Forwarded", strings.Join(elements, ", ")+", "+forwardedElement(ip, in.TLS != nil))
	}
	if h.Prefix != "" {
		out.add("X-Forwarded-Prefix", strings.Join(prefixes, "")+h.Prefix)
	} else {
		addAll(out, "X-Forwarded-Prefix", prefixes)
	}
}

func addAll(out fieldSet, name string, values []string) {
	for _, v := range values {
		out.add(name, v)
	}
}

// hopByHop says whether a field is for one connection (RFC 9110, section 7.6.1), or is written anew for the next one.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings", "Host", "Content-Length":
		return true
	}
	return false
}

// isListed says whether Connection lists a field.
func isListed(connection []string, name string) bool {
	for _, list := range connection {
		for option := range strings.SplitSeq(list, ",") {
			if option = textproto.TrimString(option); option != "" && textproto.CanonicalMIMEHeaderKey(option) == name {
				return true
			}
		}
	}
	return false
}

func hasToken(values []string, token string) bool {
	for _, list := range values {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(item), token) {
				return true
			}
		}
	}
	return false
}

// upgradeOf gives the protocol that a client may switch to, "" for none: WebSocket and nothing else. An upstream that took
// "Upgrade: h2c" would give the client a connection on which further requests come past the proxy, with any identity. ok is
// false where the header names no protocol at all.
func upgradeOf(r *http.Request) (protocol string, ok bool) {
	values := r.Header["Upgrade"]
	if len(values) == 0 || !hasToken(r.Header["Connection"], "upgrade") {
		return "", true
	}
	protocol = values[0]
	for i := range len(protocol) {
		if protocol[i] < ' ' || protocol[i] > '~' {
			return "", false
		}
	}
	if r.Method != http.MethodGet || !strings.EqualFold(protocol, "websocket") {
		return "", true
	}
	return protocol, true
}

// peerOf gives the address of the peer, "" for a unix socket, and whether it is on this machine.
func peerOf(remoteAddr string) (ip string, local bool) {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return "", true
	}
	return host, loopback(host)
}

func isNegotiate(authorization string) bool {
	_, ok := peer.Negotiate(authorization)
	return ok
}

// answered notes that the upstream has answered, and leaves the answer's header as it is, but for a challenge on a 401.
func (h *Handler) answered(x *exchange, code int, header http.Header) {
	x.code = code
	h.watch(x, code, header)
	h.Metrics.upstreamSeconds.observe(time.Since(x.sent))
	if _, ok := header["Content-Type"]; !ok {
		x.w.Header()["Content-Type"] = nil // or net/http guesses one from the body
	}
	if code == http.StatusUnauthorized {
		for _, challenge := range h.challenges(x.verdict) { // beside the upstream's own, if it has one
			header.Add("WWW-Authenticate", challenge)
		}
	}
	if x.verdict.negotiated != "" {
		header.Add("WWW-Authenticate", x.verdict.negotiated)
		header.Set("Persistent-Auth", "false") // a ticket is for one request, not for the connection
	}
}

// upstreamFailed answers when there is no answer to pass on.
func (h *Handler) upstreamFailed(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	a := answer{code: http.StatusBadGateway, outcome: upstreamError, contentType: plainText, body: badGatewayBody}
	level := slog.LevelWarn
	switch {
	case x.sent.IsZero(): // an Upgrade header that is no protocol name
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
