package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// trailing answers with the body and trailers of the request, and trailers of its own.
func trailing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Known")
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %q %v %v %q", r.Proto, r.Host, body, r.Trailer, err, r.Header["Upgrade"])
	w.(http.Flusher).Flush() // with a Content-Length, HTTP/1.1 has no place for trailers
	w.Header().Set("X-Known", "yes")
	w.Header().Set(http.TrailerPrefix+"X-Late", "too")
}

// HTTP/2 to the upstream, by TLS and without, over TCP and over a unix socket: trailers go both ways, but for those that a client
// must not send as headers; an upgrade is no longer one.
func TestHTTP2ToTheUpstream(t *testing.T) {
	encrypted := httptest.NewUnstartedServer(http.HandlerFunc(trailing))
	encrypted.EnableHTTP2 = true
	encrypted.StartTLS()
	defer encrypted.Close()
	roots := x509.NewCertPool()
	roots.AddCert(encrypted.Certificate())

	plain := func(network, address string) string {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(trailing), Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		s.Protocols.SetUnencryptedHTTP2(true)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		t.Cleanup(func() {
			s.Close()
			<-served
		})
		return l.Addr().String()
	}

	for name, tt := range map[string]struct{ upstream, protocol string }{
		"h2":            {encrypted.URL, H2},
		"h2c":           {"http://" + plain("tcp", "127.0.0.1:0"), H2C},
		"h2c by socket": {"unix:" + plain("unix", filepath.Join(t.TempDir(), "s")), H2C},
	} {
		target, err := ParseUpstream(tt.upstream, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckProtocol(tt.protocol, target); err != nil {
			t.Error(err)
		}
		transport := NewTransport(target, TransportOptions{Protocol: tt.protocol, TLS: func() *tls.Config { return &tls.Config{RootCAs: roots} }})
		defer transport.CloseIdleConnections()
		g := newRigOn(t, newUpstream(t), func(h *Handler) { h.Upstream, h.Transport, h.UpstreamHTTP2 = target, transport, true })
		res, body := g.raw("POST /x HTTP/1.1\r\nHost: front\r\nX-Auth-Token: alice\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: close\r\n" +
			"Trailer: X-Check, X-Roles, X_User_Id, X-Auth-Token, X-Forwarded-For, X-Identity-Status\r\n\r\n" +
			"2\r\nhi\r\n0\r\nX-Check: 1234\r\nX-Roles: admin\r\nX_User_Id: root\r\nX-Auth-Token: other\r\nX-Forwarded-For: 1.1.1.1\r\nX-Identity-Status: Confirmed\r\nX-Unsaid: x\r\n\r\n")
		if want := `HTTP/2.0 front "hi" map[X-Check:[1234]] <nil> []`; body != want {
			t.Errorf("%s: the upstream saw %s, want %s", name, body, want)
		}
		if res.Trailer.Get("X-Known") != "yes" || res.Trailer.Get("X-Late") != "too" {
			t.Errorf("%s: trailers of the answer: %v", name, res.Trailer)
		}
		res, body = g.raw("GET /x HTTP/1.1\r\nHost: front\r\nX-Auth-Token: alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTrailer: X-Check\r\n\r\n")
		if want := `HTTP/2.0 front "" map[] <nil> []`; res.StatusCode != 200 || body != want {
			t.Errorf("%s, an upgrade: %d %s", name, res.StatusCode, body)
		}
	}
}

// Over HTTP/1.1 those of the answer pass too; those of the request do not, since some servers read them as headers.
func TestTrailersOverHTTP1(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		got.body = readBody(t, r, got)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Known\r\n\r\n2\r\nok\r\n0\r\nX-Known: yes\r\nX-Late: too\r\n\r\n")
		up.got <- got
	}
	g := newRigOn(t, up, nil)
	res, body := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nTE: trailers\r\nConnection: close\r\n\r\n")
	if body != "ok" || res.Trailer.Get("X-Known") != "yes" || res.Trailer.Get("X-Late") != "too" {
		t.Errorf("%q, trailers %v", body, res.Trailer)
	}
}

func TestCheckProtocol(t *testing.T) {
	for _, tt := range []struct{ upstream, protocol, want string }{
		{"http://127.0.0.1:1", HTTP1, ""}, {"https://h", HTTP1, ""}, {"https://h", H2, ""}, {"unix:/x", H2C, ""},
		{"http://127.0.0.1:1", H2, "write h2c"}, {"unix:/x", H2, "write h2c"}, {"https://h", H2C, "write h2"}, {"https://h", "h3", "want http/1.1"}, {"https://h", "", ""},
	} {
		target, err := ParseUpstream(tt.upstream, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckProtocol(tt.protocol, target); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: %v", tt.protocol, tt.upstream, err)
		}
	}
}
