package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/validate/bind"
)

var errStale = errors.New("stale")

// tickets is a Kerberos whose tokens are the names of principals.
type tickets struct{ accepted []string }

func (k *tickets) Accept(token []byte) (principal string, answer []byte, err error) {
	k.accepted = append(k.accepted, string(token))
	if string(token) == "stale" {
		return "", nil, errStale
	}
	return string(token), []byte("proof"), nil
}

func negotiateFor(name string) string {
	return "Negotiate " + base64.StdEncoding.EncodeToString([]byte(name))
}

var proof = "Negotiate " + base64.StdEncoding.EncodeToString([]byte("proof"))

func TestIdentify(t *testing.T) {
	realms, err := bind.ParseRealms([]string{"EXAMPLE.ORG="})
	if err != nil {
		t.Fatal(err)
	}
	fronts, err := ParseFronts([]string{"192.0.2.0/28", "2001:db8::1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const front, client = "192.0.2.7:1234", "198.51.100.1:1234"
	alice := bind.Peer{RemoteUser: "alice", AuthType: "Negotiate"}
	for name, tt := range map[string]struct {
		from   string
		header http.Header
		want   bind.Peer
		answer string
		err    string // "": none
	}{
		"nobody":                {client, nil, bind.Peer{}, "", ""},
		"ticket":                {client, http.Header{"Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, alice, proof, ""},
		"scheme in small":       {client, http.Header{"Authorization": {"negotiate  " + negotiateFor("alice@EXAMPLE.ORG")[10:]}}, alice, proof, ""},
		"ticket, other realm":   {client, http.Header{"Authorization": {negotiateFor("alice@OTHER")}}, bind.Peer{RemoteUser: "alice@OTHER", AuthType: "Negotiate"}, proof, ""},
		"ticket, not mappable":  {client, http.Header{"Authorization": {negotiateFor("alice@OTHER@EXAMPLE.ORG")}}, bind.Peer{}, "", "cannot be mapped"},
		"ticket refused":        {client, http.Header{"Authorization": {negotiateFor("stale")}}, bind.Peer{}, "", "stale"},
		"not base64":            {client, http.Header{"Authorization": {"Negotiate !"}}, bind.Peer{}, "", "not base64"},
		"base64 with tail bits": {client, http.Header{"Authorization": {"Negotiate YR=="}}, bind.Peer{}, "", "not base64"},
		"basic":                 {client, http.Header{"Authorization": {"Basic YWxpY2U6eA=="}}, bind.Peer{}, "", ""},
		"two authorizations":    {client, http.Header{"Authorization": {negotiateFor("alice@EXAMPLE.ORG"), "Basic eA=="}}, bind.Peer{}, "", "more than one Authorization"},

		"front":                    {front, http.Header{"X-Remote-User": {"alice@EXAMPLE.ORG"}, "X-Auth-Type": {"Negotiate"}}, alice, "", ""},
		"front, mapped there":      {front, http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"negotiate"}}, bind.Peer{RemoteUser: "alice", AuthType: "negotiate"}, "", ""},
		"front, IPv4 in IPv6":      {"[::ffff:192.0.2.7]:1", http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}}, alice, "", ""},
		"front, IPv6":              {"[2001:db8::1]:1", http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}}, alice, "", ""},
		"front, basic":             {front, http.Header{"X-Remote-User": {"alice@EXAMPLE.ORG"}, "X-Auth-Type": {"Basic"}}, bind.Peer{RemoteUser: "alice@EXAMPLE.ORG", AuthType: "Basic"}, "", ""},
		"front, no scheme":         {front, http.Header{"X-Remote-User": {"alice"}}, bind.Peer{RemoteUser: "alice"}, "", ""},
		"front, nobody":            {front, http.Header{"X-Remote-User": {""}, "X-Auth-Type": {"Negotiate"}}, bind.Peer{}, "", ""},
		"front, nobody but ticket": {front, http.Header{"Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, alice, proof, ""},
		"front before ticket":      {front, http.Header{"X-Remote-User": {"bob"}, "X-Auth-Type": {"Negotiate"}, "Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, bind.Peer{RemoteUser: "bob", AuthType: "Negotiate"}, "", ""},
		"front, domain":            {front, http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}, "X-Remote-Domain": {"two"}}, bind.Peer{RemoteUser: "alice", AuthType: "Negotiate", RemoteDomain: "two"}, "", ""},
		"front, two domains":       {front, http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}, "X-Remote-Domain": {"two", "one"}}, bind.Peer{}, "", "more than one X-Remote-Domain"},
		"domain of a stranger":     {client, http.Header{"X-Remote-Domain": {"two"}, "Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, alice, proof, ""},
		"domain beside a ticket":   {front, http.Header{"X-Remote-Domain": {"two"}, "Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, alice, proof, ""},
		"front, two users":         {front, http.Header{"X-Remote-User": {"alice", "bob"}, "X-Auth-Type": {"Negotiate"}}, bind.Peer{}, "", "more than one X-Remote-User"},
		"front, two schemes":       {front, http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Basic", "Negotiate"}}, bind.Peer{}, "", "more than one"},
		"front, look-alike":        {front, http.Header{"X_remote_user": {"alice"}, "X_auth_type": {"Negotiate"}}, bind.Peer{}, "", ""},

		"forged":             {client, http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}}, bind.Peer{}, "", ""},
		"forged, neighbour":  {"192.0.2.16:1", http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}}, bind.Peer{}, "", ""},
		"forged, no address": {"@", http.Header{"X-Remote-User": {"alice"}, "X-Auth-Type": {"Negotiate"}}, bind.Peer{}, "", ""},
		"forged and ticket":  {client, http.Header{"X-Remote-User": {"root"}, "X-Auth-Type": {"Negotiate"}, "Authorization": {negotiateFor("alice@EXAMPLE.ORG")}}, alice, proof, ""},
	} {
		t.Run(name, func(t *testing.T) {
			i := &Identifier{Kerberos: &tickets{}, Fronts: fronts, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type", DomainHeader: "X-Remote-Domain", Realms: realms}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.from
			r.Header = tt.header
			who, answer, err := i.Identify(r)
			if who.RemoteUser != tt.want.RemoteUser || who.AuthType != tt.want.AuthType || who.Certificate != nil || answer != tt.answer {
				t.Errorf("%+v %q, want %+v %q", who, answer, tt.want, tt.answer)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}

// A front's word is enough: the ticket beside it is not used up.
func TestFrontLeavesTheTicket(t *testing.T) {
	k := &tickets{}
	i := &Identifier{Kerberos: k, Fronts: Fronts{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type"}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"X-Remote-User": {"bob"}, "Authorization": {negotiateFor("alice")}}
	if who, _, err := i.Identify(r); who.RemoteUser != "bob" || err != nil || len(k.accepted) != 0 {
		t.Errorf("%+v %v %q", who, err, k.accepted)
	}
}

// listen answers each request with what i makes of it, over the given kind of socket.
func listen(t *testing.T, i *Identifier, network, address string, config *tls.Config) (base string, got chan bind.Peer) {
	t.Helper()
	got = make(chan bind.Peer, 1)
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		who, _, err := i.Identify(r)
		if err != nil {
			t.Log(err)
		}
		got <- who
	}))
	s.Listener.Close()
	s.Listener = l
	if s.TLS = config; config != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.URL, got
}

func TestUnixSocket(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		i := &Identifier{Fronts: Fronts{UnixSocket: trusted}, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type"}
		path := filepath.Join(t.TempDir(), "s")
		_, got := listen(t, i, "unix", path, nil)
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		send(t, &http.Client{Transport: tr}, "http://localhost/")
		if who := <-got; (who.RemoteUser == "alice") != trusted {
			t.Errorf("trusted %v: %+v", trusted, who)
		}
	}
	// Trust in unix sockets is none in TCP.
	i := &Identifier{Fronts: Fronts{UnixSocket: true}, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type"}
	base, got := listen(t, i, "tcp", "127.0.0.1:0", nil)
	send(t, &http.Client{Transport: &http.Transport{}}, base)
	if who := <-got; who.RemoteUser != "" {
		t.Errorf("over TCP: %+v", who)
	}
}

func send(t *testing.T, c *http.Client, url string) {
	t.Helper()
	defer c.CloseIdleConnections()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Remote-User", "alice")
	req.Header.Set("X-Auth-Type", "Negotiate")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestCertificates: over real TLS, who has a certificate is known by it, and one with a front's name is a front.
func TestCertificates(t *testing.T) {
	ca, wrongCA := certstest.New(t), certstest.New(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	server := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}))
	client := func(ca *certstest.CA, change func(*x509.Certificate)) *certstest.Signer {
		return ca.Issue(t, certstest.ECDSAP256, certstest.Subject("front.example.org"), certstest.Template(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			if change != nil {
				change(c)
			}
		}))
	}
	spiffe, err := url.Parse("spiffe://example.org/front")
	if err != nil {
		t.Fatal(err)
	}
	fronts, err := ParseFronts(nil, []string{"front.example.org", "spiffe://example.org/front"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i := &Identifier{Fronts: fronts, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type", Now: func() time.Time { return now }}
	base, got := listen(t, i, "tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Cert.Raw}, PrivateKey: server.Key}},
		ClientAuth:   tls.RequestClientCert, // so that it is seen what an unverified certificate is worth here
	})
	verifying, gotVerified := listen(t, i, "tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Cert.Raw}, PrivateKey: server.Key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: pool,
	})
	plain := client(ca, nil)
	for name, tt := range map[string]struct {
		verified bool
		cert     *certstest.Signer
		front    bool
		known    bool
	}{
		"none":                       {true, nil, false, false},
		"common name only":           {true, plain, false, true},
		"DNS name":                   {true, client(ca, func(c *x509.Certificate) { c.DNSNames = []string{"a", "Front.Example.org"} }), true, true},
		"URI":                        {true, client(ca, func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} }), true, true},
		"other DNS name":             {true, client(ca, func(c *x509.Certificate) { c.DNSNames = []string{"front.example.org.evil"} }), false, true},
		"wild card":                  {true, client(ca, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.org"} }), false, true},
		"not verified":               {false, client(ca, func(c *x509.Certificate) { c.DNSNames = []string{"front.example.org"} }), false, false},
		"another CA's, not verified": {false, client(wrongCA, func(c *x509.Certificate) { c.DNSNames = []string{"front.example.org"} }), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{RootCAs: pool}
			if tt.cert != nil {
				config.Certificates = []tls.Certificate{{Certificate: [][]byte{tt.cert.Cert.Raw}, PrivateKey: tt.cert.Key}}
			}
			url, got := base, got
			if tt.verified {
				url, got = verifying, gotVerified
			}
			send(t, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, url)
			who := <-got
			if (who.RemoteUser == "alice") != tt.front {
				t.Errorf("%+v, want it taken for a front: %v", who.RemoteUser, tt.front)
			}
			if (who.Certificate != nil) != tt.known || tt.known && string(who.Certificate) != string(tt.cert.Cert.Raw) {
				t.Errorf("certificate of %d bytes, want it known: %v", len(who.Certificate), tt.known)
			}
		})
	}

	// A connection outlives the certificate that it was made with.
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{plain.Cert}, VerifiedChains: [][]*x509.Certificate{{plain.Cert, ca.Cert}}}
	now = plain.Cert.NotAfter
	if who, _, err := i.Identify(r); who.Certificate == nil || err != nil {
		t.Errorf("in its last second: %v", err)
	}
	now = plain.Cert.NotAfter.Add(time.Second)
	if who, _, err := i.Identify(r); who.Certificate != nil || err == nil {
		t.Error("an expired certificate still counts")
	}
}

func TestParseFrontsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"localhost":           "neither an address",
		"10.0.0.0/33":         "neither an address",
		"10.0.0.1/8":          "the network is 10.0.0.0/8",
		"0.0.0.0/0":           "everybody",
		"::/0":                "everybody",
		"::ffff:10.0.0.0/104": "write IPv4 networks as such",
		"fe80::1%eth0":        "neither an address",
		"":                    "neither an address",
		"Unix":                "neither an address",
	} {
		if f, err := ParseFronts([]string{text}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", text, f, err, want)
		}
	}
	for _, name := range []string{"*.example.org", "CN=front, O=x"} {
		if _, err := ParseFronts(nil, []string{name}); err == nil {
			t.Errorf("name %q is taken", name)
		}
	}
}
