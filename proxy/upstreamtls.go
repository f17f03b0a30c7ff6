package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Protocols that an upstream may be spoken to in.
const (
	HTTP1 = "http/1.1"
	H2    = "h2"  // HTTP/2 over TLS
	H2C   = "h2c" // HTTP/2 without TLS, known to be spoken there
)

// CheckProtocol says whether an upstream from ParseUpstream can be spoken to in a protocol; "" is HTTP1.
func CheckProtocol(protocol string, upstream *url.URL) error {
	switch {
	case protocol == HTTP1 || protocol == "":
	case protocol == H2 && upstream.Scheme != "https":
		return errors.New("h2 goes over TLS, which takes an https upstream; write h2c for one without")
	case protocol == H2C && upstream.Scheme == "https":
		return errors.New("h2c goes without TLS, which an https upstream has; write h2")
	case protocol != H2 && protocol != H2C:
		return fmt.Errorf("%q: want %s, %s or %s", protocol, HTTP1, H2, H2C)
	}
	return nil
}

// dialTLS makes connections to an https upstream, each with the files that are in use at the time.
func (o TransportOptions) dialTLS(upstream *url.URL, dial dialFunc) dialFunc {
	name, protocol := upstream.Hostname(), HTTP1
	if o.Protocol == H2 {
		protocol = "h2"
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLS != nil {
			config = o.TLS().Clone()
		}
		config.ServerName, config.NextProtos = name, []string{protocol}
		lower, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		conn := tls.Client(lower, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, lower.Close())
		}
		if o.Protocol == H2 && conn.ConnectionState().NegotiatedProtocol != protocol {
			return nil, errors.Join(errors.New("the upstream does not speak HTTP/2"), conn.Close())
		}
		return conn, nil
	}
}

const handshakeTimeout = 10 * time.Second

// http2 says whether the options are for an upstream that is spoken to in HTTP/2.
func (o TransportOptions) http2() bool { return o.Protocol == H2 || o.Protocol == H2C }

// protocols are those of a Transport: one, so that nothing is guessed.
func (o TransportOptions) protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!o.http2())
	p.SetHTTP2(o.Protocol == H2)
	p.SetUnencryptedHTTP2(o.Protocol == H2C)
	return p
}

// http2Config finds out about connections that have died with many streams on them.
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
}
