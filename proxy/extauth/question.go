package extauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"authproxy/keystone/peer"
	"authproxy/proxy/headers"
)

// A question is what a trusted front end says about a request of its own.
type question struct {
	by                way
	method, uri, host string
	client            netip.Addr // the zero Addr: not known
	header            http.Header
	names             []string // of the header, as they came
}

// headerQuestion reads a question about the request that two headers and a host name.
func headerQuestion(r *http.Request, by way, method, uri string, fronts peer.Fronts) (q question, err error) {
	q = question{by: by, host: r.Host, client: clientOf(r.Header, fronts), header: r.Header.Clone()}
	if q.method, err = one(r.Header, method); err != nil {
		return q, err
	}
	if q.uri, err = one(r.Header, uri); err != nil {
		return q, err
	}
	// They are the front end's. Such headers as a client sends count against rules for anonymous requests.
	delete(q.header, method)
	delete(q.header, uri)
	if by == byForwarded {
		q.host, err = one(r.Header, "X-Forwarded-Host")
	}
	return q, err
}

// prefixQuestion reads a question that is the request itself, but for a prefix before its path.
func prefixQuestion(r *http.Request, uri string, fronts peer.Fronts) question {
	q := question{by: byPrefix, method: r.Method, uri: uri, host: r.Host, client: clientOf(r.Header, fronts), header: r.Header.Clone()}
	for name := range r.Header {
		q.names = append(q.names, name)
	}
	splitTokens(q.header)
	return q
}

// one gives the value of a header that a front end has to write: a second one would be the client's.
func one(h http.Header, name string) (string, error) {
	switch values := h[name]; {
	case len(values) == 1 && values[0] != "":
		return values[0], nil
	case len(values) > 1:
		return "", fmt.Errorf("%s comes more than once: the front end adds to the client's, and has to overwrite it", name)
	}
	return "", fmt.Errorf("%s is missing", name)
}

// splitTokens takes apart what Envoy has joined: the same header twice. No token has a comma.
func splitTokens(h http.Header) {
	for _, name := range []string{headers.AuthToken, headers.ServiceToken, headers.StorageToken} {
		if values := h[name]; len(values) == 1 && strings.Contains(values[0], ",") {
			h[name] = strings.Split(values[0], ",")
		}
	}
}

// clientOf gives the address that the front end got the request from: in X-Forwarded-For the last one that is no front end's.
func clientOf(h http.Header, fronts peer.Fronts) netip.Addr {
	hops := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil || !fronts.Contains(addr) {
			return addr
		}
	}
	return netip.Addr{}
}

// parseHop reads an address, with a port or without.
func parseHop(text string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.Unmap(), nil
	}
	addr, err := netip.ParseAddrPort(text)
	return addr.Addr().Unmap(), err
}

// request makes the request that the question is about. Nothing in it is the front end's own: neither its address nor its
// certificate.
func (q *question) request(ctx context.Context) (*http.Request, error) {
	if !isToken(q.method) {
		return nil, fmt.Errorf("%q is no method", q.method)
	}
	if q.uri != "*" && !strings.HasPrefix(q.uri, "/") {
		return nil, errors.New("the URI begins with no slash")
	}
	u, err := url.ParseRequestURI(q.uri)
	if err != nil {
		return nil, errors.New("the URI cannot be parsed")
	}
	r := &http.Request{
		Method: q.method, URL: u, RequestURI: q.uri, Host: q.host, Header: q.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
	}
	if q.client.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(q.client, 0).String()
	}
	return r.WithContext(ctx), nil
}

// isToken says whether a text is a token in the sense of RFC 9110, section 5.6.2, as methods are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
