package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/certs/certstest"
)

// An upstream that lets in only who shows a certificate; certificate, key and CA are changed on both sides while all runs.
func TestUpstreamTLS(t *testing.T) {
	p, dir := newPKI(t), t.TempDir()
	cert, key, roots := filepath.Join(dir, "c.pem"), filepath.Join(dir, "c.key"), filepath.Join(dir, "ca.pem")
	var server *httptest.Server
	use := func(ca *certstest.CA, name string) *tls.Config {
		t.Helper()
		s := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
			c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}))
		clients := x509.NewCertPool()
		clients.AddCert(ca.Cert)
		client := issueClient(t, ca, name)
		write(t, key, client.KeyPEM)
		write(t, cert, client.CertPEM)
		write(t, roots, ca.CertPEM())
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{s.Cert.Raw}, PrivateKey: s.Key}}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	}
	config := make(chan *tls.Config, 1)
	config <- use(certstest.New(t), "first.example.org")
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.TLS.PeerCertificates[0].DNSNames, r.Header.Get("X-User-Name"))
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := <-config
		config <- c
		c = c.Clone()
		c.NextProtos = []string{"h2", "http/1.1"}
		return c, nil
	}}
	server.StartTLS()
	defer server.Close()
	args := []string{"--upstream", server.URL, "--upstream-cafile", roots, "--upstream-certfile", cert, "--upstream-keyfile", key}
	alice := p.token("alice", auditA)
	r := offline(t, p, append(args, "--upstream-protocol", "h2")...)
	r.expect(r.data, alice, 200, "HTTP/2.0 [first.example.org] alice")

	second := use(certstest.New(t), "second.example.org")
	<-config
	config <- second
	r.eventually("the new files are in use on both sides", func() bool {
		code, text := r.get(r.data, alice)
		return code == 200 && strings.Contains(text, "[second.example.org]")
	})
	write(t, key, []byte("junk"))
	r.eventually("told of", func() bool {
		_, text := r.get(r.admin+"/metrics", "")
		return strings.Contains(text, `authproxy_files_stale{what="upstream TLS"} 1`)
	})
	r.expect(r.data, alice, 200, "HTTP/2.0 [second.example.org] alice")
	r.stop()
	r.end()

	use(certstest.New(t), "stranger.example.org") // whom the upstream does not know, nor he it
	r = offline(t, p, args...)
	r.expect(r.data, alice, 502, "did not answer")
}
