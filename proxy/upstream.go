package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"authproxy/proxy/relay"
)

// ParseUpstream reads where requests go: http://host:port, https://host, either with a path that is put before the
// request's own, or unix:/path/of/a/socket.
//
// Whoever reaches the upstream past the proxy, or can read and change what passes between them, can be anyone: plain http
// to anything but loopback therefore takes insecurePlaintext.
func ParseUpstream(text string, insecurePlaintext bool) (*url.URL, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if path = "/" + strings.TrimLeft(path, "/"); path == "/" || !strings.HasPrefix(text, "unix:/") {
			return nil, fmt.Errorf("upstream %q: a socket is written unix:/path, with an absolute path", text)
		}
		return &url.URL{Scheme: "unix", Path: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("upstream %q: want http://host:port, https://host:port or unix:/path", text)
	case u.User != nil:
		return nil, errors.New("upstream: user name and password are not possible in this URL")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("upstream %q: want no query and no fragment", text)
	case u.Scheme == "http" && !insecurePlaintext && !loopback(u.Hostname()):
		return nil, fmt.Errorf("upstream %q: identity headers would cross the network in plain text, where anyone can write them; "+
			"use https, a unix socket or a loopback address, or say --insecure-upstream if that network is closed to others", text)
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// target is the scheme and host that outgoing URLs get. The host of a socket is only a name for the connection pool.
func target(upstream *url.URL) (scheme, host string) {
	if upstream.Scheme == "unix" {
		return "http", "localhost"
	}
	return upstream.Scheme, upstream.Host
}

// TransportOptions are the choices that an operator has about the connections to the upstream.
type TransportOptions struct {
	// DisableKeepAlives closes the connection after each request, for servers that close it without saying so
	// (uwsgi's http-socket).
	DisableKeepAlives bool
	// TLS gives what an https upstream is verified and convinced by, anew for each connection; nil stands for the system's CAs.
	TLS func() *tls.Config
	// Protocol is HTTP1, H2 or H2C; HTTP1 by default.
	Protocol string
	// DialTimeout bounds the making of a connection; 5 s by default.
	DialTimeout time.Duration
}

const (
	// maxIdle lets every connection that was needed wait for its next request, unless a busy hour has had very many; those that
	// are not needed again are closed after idleTimeout. With fewer the rest would be made anew each time, at twice the cost.
	maxIdle     = 10_000
	idleTimeout = 60 * time.Second
	// continueTimeout is how long a client's Expect: 100-continue waits for the upstream's word before the body goes out unasked.
	continueTimeout = 30 * time.Second
	maxAnswerHead   = 1 << 20
)

func (o TransportOptions) dialer(upstream *url.URL) dialFunc {
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	dialer := &net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}
	if upstream.Scheme == "unix" {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", upstream.Path)
		}
	}
	return dialer.DialContext
}

// NewRelay makes the Client for an upstream from ParseUpstream, over HTTP/1.1.
func NewRelay(upstream *url.URL, o TransportOptions) *relay.Client {
	dial, port := o.dialer(upstream), upstream.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[upstream.Scheme]
	}
	if upstream.Scheme == "https" {
		dial = o.dialTLS(upstream, dial)
	}
	address := net.JoinHostPort(upstream.Hostname(), port)
	return &relay.Client{
		DisableKeepAlives: o.DisableKeepAlives,
		MaxIdle:           maxIdle, IdleTimeout: idleTimeout, MaxHead: maxAnswerHead, ContinueTimeout: continueTimeout,
		Dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", address) },
	}
}

// Renewable is a Transport whose connections can be made anew: those of HTTP/2 in particular are never without a request while there
// is enough to do, and would be used for ever.
type Renewable struct {
	new     func() *http.Transport
	current atomic.Pointer[http.Transport]
}

// NewRenewable makes a Renewable of what NewTransport gives for the same arguments.
func NewRenewable(upstream *url.URL, o TransportOptions) *Renewable {
	t := &Renewable{new: func() *http.Transport { return NewTransport(upstream, o) }}
	t.current.Store(t.new())
	return t
}

func (t *Renewable) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

// Renew sees to it that requests which begin from now on use connections that are made from now on. Requests under way go on.
func (t *Renewable) Renew() { t.current.Swap(t.new()).CloseIdleConnections() }

// CloseIdle closes the connections that wait for their next request.
func (t *Renewable) CloseIdle() { t.current.Load().CloseIdleConnections() }

// NewTransport makes the Transport for an upstream from ParseUpstream.
func NewTransport(upstream *url.URL, o TransportOptions) *http.Transport {
	dial := o.dialer(upstream)
	if !o.http2() { // there, many requests share a connection, and one that cannot be written to is of no use to any
		dial = patient(dial)
	}
	return &http.Transport{
		Proxy:               nil, // identity headers go to the upstream, not by way of $HTTP_PROXY
		DialContext:         dial,
		DialTLSContext:      o.dialTLS(upstream, dial),
		Protocols:           o.protocols(),
		HTTP2:               http2Config(),
		DisableKeepAlives:   o.DisableKeepAlives,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
		// Else the transport asks for gzip itself and unpacks stored objects on the way: body, length and ETag disagree.
		DisableCompression:    true,
		ExpectContinueTimeout: continueTimeout,
		// A PKI token and a catalog leave in one segment train rather than in 4 KiB steps.
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         16 << 10,
		MaxResponseHeaderBytes: maxAnswerHead,
	}
}
