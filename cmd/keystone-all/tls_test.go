package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

// tlsServer is a running server with TLS that asks all clients for a certificate, whose files tests replace.
type tlsServer struct {
	t               *testing.T
	dir, url, admin string
	roots           *x509.CertPool
}

// put replaces a file in one step.
func (s *tlsServer) put(name string, text []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// hangup has the server look at its files.
func (s *tlsServer) hangup() {
	s.t.Helper()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// logged waits for a line in the log that holds all of these texts.
func (s *tlsServer) logged(texts ...string) {
	s.t.Helper()
	s.await("a line in the log with "+strings.Join(texts, " and "), func() bool {
		log, err := os.ReadFile(filepath.Join(s.dir, "keystone.log"))
		if err != nil {
			s.t.Fatal(err)
		}
	lines:
		for line := range strings.Lines(string(log)) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

func (s *tlsServer) await(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("there is no %s", what)
		}
	}
}

// client makes connections of its own and shows that certificate.
func (s *tlsServer) client(pair tls.Certificate, change func(*tls.Config)) *http.Client {
	config := &tls.Config{RootCAs: s.roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// served is the serial number of the certificate that the server shows to a client.
func (s *tlsServer) served(c *http.Client, url string) (string, error) {
	res, err := c.Get(url + "/v3")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	return res.TLS.PeerCertificates[0].SerialNumber.String(), nil
}

func pairOf(t *testing.T, s *certstest.Signer) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(s.CertPEM, s.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestTLSFilesChange replaces certificate, key and client CAs of a running server, with bad ones and with good ones.
func TestTLSFilesChange(t *testing.T) {
	ca, otherCA := certstest.New(t), certstest.New(t, certstest.Subject("Another CA"))
	forServer := certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	forClient := certstest.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	first, second := ca.Issue(t, certstest.ECDSAP256, forServer), ca.Issue(t, certstest.ECDSAP256, forServer)
	ours, others := pairOf(t, ca.Issue(t, certstest.ECDSAP256, forClient)), pairOf(t, otherCA.Issue(t, certstest.ECDSAP256, forClient))

	s := &tlsServer{t: t, dir: t.TempDir(), roots: x509.NewCertPool()}
	s.roots.AddCert(ca.Cert)
	s.put("cert.pem", first.CertPEM)
	s.put("key.pem", first.KeyPEM)
	s.put("clients.pem", ca.CertPEM())
	conf := configure(t, "uuid")
	add(t, conf, strings.ReplaceAll("[eventlet_server_ssl]\nenable = true\ncert_required = true\ncertfile = DIR/cert.pem\nkeyfile = DIR/key.pem\nca_certs = DIR/clients.pem\n",
		"DIR", s.dir))
	urls, _ := startLogging(t, filepath.Join(s.dir, "keystone.log"), "--config-file", conf)
	s.url, s.admin = strings.Replace(urls["public"], "127.0.0.1", "localhost", 1), strings.Replace(urls["admin"], "127.0.0.1", "localhost", 1)
	shows := func(c *http.Client, want *certstest.Signer) {
		t.Helper()
		for _, url := range []string{s.url, s.admin} {
			if got, err := s.served(c, url); err != nil || got != want.Cert.SerialNumber.String() {
				t.Errorf("%s shows certificate %s, %v; want %s", url, got, err, want.Cert.SerialNumber)
			}
		}
	}

	old := s.client(ours, nil)
	shows(old, first)
	shows(s.client(ours, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), first)
	if _, err := s.served(s.client(ours, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), s.url); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	for name, pair := range map[string]tls.Certificate{"none": {}, "that of another CA": others} {
		if _, err := s.served(s.client(pair, nil), s.url); err == nil {
			t.Errorf("let in with certificate %s", name)
		}
	}

	// Half a certificate, then one that the key does not fit.
	for _, bad := range [][]byte{first.CertPEM[:len(first.CertPEM)/2], second.CertPEM} {
		s.put("cert.pem", bad)
		s.hangup()
		s.logged("level=ERROR", "what was loaded before stays in use", "what=listener", filepath.Join(s.dir, "cert.pem"))
		shows(s.client(ours, nil), first)
		if err := os.Truncate(filepath.Join(s.dir, "keystone.log"), 0); err != nil {
			t.Fatal(err)
		}
	}

	s.put("key.pem", second.KeyPEM) // and now the key fits
	s.hangup()
	s.logged("level=INFO", "files changed and are in use", "what=listener")
	shows(s.client(ours, nil), second)
	shows(old, first) // the connections that were there go on

	// Another CA for clients.
	s.put("clients.pem", otherCA.CertPEM())
	s.hangup()
	s.await("way in for clients of the new CA", func() bool { _, err := s.served(s.client(others, nil), s.url); return err == nil })
	if _, err := s.served(s.client(ours, nil), s.url); err == nil {
		t.Error("clients of the CA that was taken away are let in")
	}
}
