package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseUpstream(t *testing.T) {
	tests := map[string]struct {
		insecure bool
		want     string // the URL, or part of the error
		bad      bool
	}{
		"http://127.0.0.1:9292":       {want: "http://127.0.0.1:9292"},
		"http://127.8.9.10:9292/":     {want: "http://127.8.9.10:9292/"},
		"http://[::1]:9292/base/path": {want: "http://[::1]:9292/base/path"},
		"http://localhost:9292":       {want: "http://localhost:9292"},
		"https://image.example":       {want: "https://image.example"},
		"unix:/run/glance.sock":       {want: "unix:///run/glance.sock"},
		"unix:///run/glance.sock":     {want: "unix:///run/glance.sock"},

		"http://192.0.2.1:9292":          {want: "--insecure-upstream", bad: true},
		"http://localhost.example:9292":  {want: "--insecure-upstream", bad: true},
		"http://127.0.0.1.example:9292":  {want: "--insecure-upstream", bad: true},
		"http://0.0.0.0:9292":            {want: "--insecure-upstream", bad: true},
		"unix:run/glance.sock":           {want: "absolute path", bad: true},
		"unix:":                          {want: "absolute path", bad: true},
		"127.0.0.1:9292":                 {want: "upstream", bad: true},
		"":                               {want: "want http://host:port", bad: true},
		"ftp://127.0.0.1":                {want: "want http://host:port", bad: true},
		"http://":                        {want: "want http://host:port", bad: true},
		"http://:9292":                   {want: "want http://host:port", bad: true},
		"http://user:secret@127.0.0.1":   {want: "user name and password", bad: true},
		"http://127.0.0.1/?x=1":          {want: "no query", bad: true},
		"http://127.0.0.1/#x":            {want: "no query", bad: true},
		"http://127.0.0.1:80:80":         {want: "upstream", bad: true},
		"https://user:secret@x.example/": {want: "user name and password", bad: true},
	}
	for text, tt := range tests {
		u, err := ParseUpstream(text, tt.insecure)
		switch {
		case tt.bad && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: error %v, want one with %q", text, err, tt.want)
		case tt.bad && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: the error tells the password: %v", text, err)
		case !tt.bad && (err != nil || u.String() != tt.want):
			t.Errorf("%q: %v, %v; want %q", text, u, err, tt.want)
		}
	}
	if u, err := ParseUpstream("http://192.0.2.1:9292", true); err != nil || u.Host != "192.0.2.1:9292" {
		t.Errorf("with insecurePlaintext: %v, %v", u, err)
	}
}

func TestUnixSocketUpstream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	up := serveUpstream(t, l)
	g := newRigOn(t, newUpstream(t), func(h *Handler) {
		if h.Upstream, err = ParseUpstream("unix:"+path, false); err != nil {
			t.Fatal(err)
		}
	})
	res, body := g.raw("GET /v2//x?y HTTP/1.1\r\nHost: image.example\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
	if res.StatusCode != 200 || body != "ok" {
		t.Fatalf("%v %q", res, body)
	}
	if got := up.next(); got.line != "GET /v2//x?y HTTP/1.1" || got.cgi()["HOST"] != "image.example" {
		t.Errorf("%v", got)
	}
}

func TestBasePath(t *testing.T) {
	up := newUpstream(t)
	for base, want := range map[string]string{"/base": "/base/a%2Fb//c?d", "/b%2Fase/": "/b%2Fase/a%2Fb//c?d", "/": "/a%2Fb//c?d"} {
		g := newRigOn(t, up, func(h *Handler) {
			var err error
			if h.Upstream, err = url.Parse(up.url() + base); err != nil {
				t.Fatal(err)
			}
		})
		g.raw("GET /a%2Fb//c?d HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
		if got := up.next(); got.line != "GET "+want+" HTTP/1.1" {
			t.Errorf("%s: %q, want %q", base, got.line, want)
		}
	}
}

// An https upstream is verified, and gets its requests by HTTP/1.1 with the client's Host.
func TestTLSUpstream(t *testing.T) {
	var host, proto string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, proto = r.Host, r.Proto
		_, _ = io.WriteString(w, "tls")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	target, err := ParseUpstream(server.URL, false)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, tt := range map[string]struct {
		roots  *x509.CertPool
		status int
	}{"known": {roots, 200}, "unknown": {nil, 502}} {
		g := newRigOn(t, newUpstream(t), func(h *Handler) {
			h.Upstream = target
			useClient(t, h, TransportOptions{TLS: func() *tls.Config { return &tls.Config{RootCAs: tt.roots} }})
		})
		res, _ := g.raw("GET / HTTP/1.1\r\nHost: front\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, tt.status)
		}
	}
	if host != "front" || proto != "HTTP/1.1" {
		t.Errorf("host %q by %s", host, proto)
	}
}

func TestUpstreamIgnoresProxyVariables(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	u, err := ParseUpstream("http://192.0.2.2:80", true)
	if err != nil {
		t.Fatal(err)
	}
	if NewTransport(u, TransportOptions{}).Proxy != nil {
		t.Error("identity headers would go by way of a proxy")
	}
}

func TestKeepAlive(t *testing.T) {
	for _, off := range []bool{false, true} {
		up := newUpstream(t)
		g := newRigOn(t, up, func(h *Handler) { useClient(t, h, TransportOptions{DisableKeepAlives: off}) })
		g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
		if said := up.next().cgi()["CONNECTION"]; (said == "close") != off {
			t.Errorf("DisableKeepAlives %v: Connection: %q", off, said)
		}
	}
}

// An upstream that answers an upload early and closes: writing goes on to succeed, and the answer can be read.
func TestConnectionOutlivesItsWritingSide(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 4))
		}
		if err == nil {
			_, err = io.WriteString(c, "answer")
		}
		if err == nil {
			err = c.(*net.TCPConn).SetLinger(0) // closing resets the connection
		}
		closed <- errors.Join(err, c.Close())
	}()
	target, err := ParseUpstream("http://"+l.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewTransport(target, TransportOptions{}).DialContext(t.Context(), "tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "head"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(c, got[:1]); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for range 3 { // a plain connection fails here
		if n, err := c.Write(make([]byte, 1000)); n != 1000 || err != nil {
			t.Fatalf("wrote %d: %v", n, err)
		}
	}
	if _, err := io.ReadFull(c, got[1:]); err != nil || string(got) != "answer" {
		t.Errorf("read %q: %v", got, err)
	}
	if _, err := c.Read(got); err == nil {
		t.Error("a connection that is gone reads without an error")
	}
	c.Close()
	if _, err := c.Write(got); err == nil {
		t.Error("a closed connection is written to without an error")
	}
}
