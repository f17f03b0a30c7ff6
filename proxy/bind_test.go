package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"authproxy/validate"
	"authproxy/validate/bind"
)

// senders is a Peers that believes "Authorization: Negotiate <name>", and knows one certificate.
type senders struct{ asked atomic.Int32 }

func (s *senders) Identify(r *http.Request) (who bind.Peer, answer string, err error) {
	s.asked.Add(1)
	switch name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Negotiate "); {
	case ok && name == "stale":
		err = errors.New("the ticket has expired")
	case ok:
		who.RemoteUser, who.AuthType, answer = name, "Negotiate", "Negotiate proof"
	}
	if r.URL.Path == "/with-certificate" {
		who.Certificate = []byte("certificate")
	}
	return who, answer, err
}

const keystoneChallenge = `Keystone uri="http://keystone:5000/v3"`

func TestBoundTokens(t *testing.T) {
	tests := map[string]struct {
		path, headers string
		status        int
		challenges    []string
		asked         int32
	}{
		"right":               {"/", "X-Auth-Token: bound\r\nAuthorization: Negotiate alice\r\n", 200, []string{"Negotiate proof"}, 1},
		"nobody":              {"/", "X-Auth-Token: bound\r\n", 401, []string{keystoneChallenge, "Negotiate"}, 1},
		"another":             {"/", "X-Auth-Token: bound\r\nAuthorization: Negotiate bob\r\n", 401, []string{keystoneChallenge, "Negotiate"}, 1},
		"ticket refused":      {"/", "X-Auth-Token: bound\r\nAuthorization: Negotiate stale\r\n", 401, []string{keystoneChallenge, "Negotiate"}, 1},
		"not bound":           {"/", "X-Auth-Token: alice\r\nAuthorization: Negotiate alice\r\n", 200, nil, 0},
		"bad token":           {"/", "X-Auth-Token: junk\r\nAuthorization: Negotiate alice\r\n", 401, []string{keystoneChallenge}, 0},
		"no token":            {"/", "Authorization: Negotiate alice\r\n", 401, []string{keystoneChallenge}, 0},
		"x509, right":         {"/with-certificate", "X-Auth-Token: bound-x509\r\n", 200, nil, 1},
		"x509, nobody":        {"/", "X-Auth-Token: bound-x509\r\n", 401, []string{keystoneChallenge}, 1},
		"x509, ticket":        {"/", "X-Auth-Token: bound-x509\r\nAuthorization: Negotiate alice\r\n", 401, []string{keystoneChallenge}, 1},
		"bound service token": {"/", "X-Auth-Token: alice\r\nX-Service-Token: bound-svc\r\nAuthorization: Negotiate nova\r\n", 200, []string{"Negotiate proof"}, 1},
		"its thief":           {"/", "X-Auth-Token: alice\r\nX-Service-Token: bound-svc\r\nAuthorization: Negotiate mallory\r\n", 401, []string{keystoneChallenge, "Negotiate"}, 1},
		"both bound, asked once": {"/", "X-Auth-Token: bound\r\nX-Service-Token: bound-svc\r\nAuthorization: Negotiate nova\r\n", 401,
			[]string{keystoneChallenge, "Negotiate"}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			who := &senders{}
			g := newRig(t, func(h *Handler) { h.Peers, h.Negotiate = who, true })
			res, _ := g.raw("GET " + tt.path + " HTTP/1.1\r\nHost: h\r\n" + tt.headers + "Connection: close\r\n\r\n")
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if got := res.Header["Www-Authenticate"]; !slices.Equal(got, tt.challenges) {
				t.Errorf("WWW-Authenticate %q, want %q", got, tt.challenges)
			}
			if n := who.asked.Load(); n != tt.asked {
				t.Errorf("asked %d times who it is, want %d", n, tt.asked)
			}
			if tt.status == 200 {
				g.up.next()
			}
			g.up.none()
		})
	}
}

func TestWithoutKerberosNoChallenge(t *testing.T) {
	g := newRig(t, nil)
	res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: bound\r\nAuthorization: Negotiate alice\r\nConnection: close\r\n\r\n")
	if got := res.Header["Www-Authenticate"]; res.StatusCode != 401 || !slices.Equal(got, []string{keystoneChallenge}) {
		t.Errorf("%d %q", res.StatusCode, got)
	}
}

// In delay mode the upstream says 401, and the client has to learn what would help.
func TestDelayedChallenge(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"own\"\r\nContent-Length: 0\r\n\r\n")
	}
	g := newRigOn(t, up, func(h *Handler) { h.Peers, h.Negotiate, h.DelayAuthDecision = &senders{}, true, true })
	for text, want := range map[string][]string{
		"X-Auth-Token: bound\r\n":                                   {`Basic realm="own"`, keystoneChallenge, "Negotiate"},
		"X-Auth-Token: junk\r\n":                                    {`Basic realm="own"`, keystoneChallenge},
		"X-Auth-Token: bound\r\nAuthorization: Negotiate alice\r\n": {`Basic realm="own"`, keystoneChallenge, "Negotiate proof"},
	} {
		res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\n" + text + "Connection: close\r\n\r\n")
		if got := res.Header["Www-Authenticate"]; res.StatusCode != 401 || !slices.Equal(got, want) {
			t.Errorf("%q: %d %q, want %q", text, res.StatusCode, got, want)
		}
	}
}

// A ticket for the proxy is nobody else's; other schemes are none of its business.
func TestNegotiateIsNotPassedOn(t *testing.T) {
	for _, tt := range []struct {
		negotiate bool
		headers   string
		want      string
	}{
		{true, "Authorization: Negotiate alice\r\n", ""},
		{true, "authorization: nEGOTIATE alice\r\n", ""},
		{true, "Authorization: Negotiate\r\n", ""},
		{true, "Authorization: Basic eA==\r\nAuthorization: Negotiate alice\r\n", ""},
		{true, "Authorization: Basic eA==\r\n", "Basic eA=="},
		{true, "Authorization: Negotiated alice\r\n", "Negotiated alice"},
		{false, "Authorization: Negotiate alice\r\n", "Negotiate alice"},
	} {
		for _, delay := range []bool{false, true} {
			g := newRig(t, func(h *Handler) { h.Peers, h.Negotiate, h.DelayAuthDecision = &senders{}, tt.negotiate, delay })
			g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n" + tt.headers + "Connection: close\r\n\r\n")
			if got := g.up.next().cgi()["AUTHORIZATION"]; got != tt.want {
				t.Errorf("%q, Kerberos %v: the upstream got %q, want %q", tt.headers, tt.negotiate, got, tt.want)
			}
		}
	}
}

// TestW15ServiceTokenKeepsBindCheck: a service token beside it does not free a stolen bound token, and one that does not hold
// never does.
func TestW15ServiceTokenKeepsBindCheck(t *testing.T) {
	const right, wrong = "Authorization: Negotiate alice\r\n", ""
	for _, tt := range []struct {
		service, ticket string
		relaxed         bool
		status          int
		confirmed       bool // in delay mode: the user's identity goes to the upstream
	}{
		{"", wrong, false, 401, false},
		{"nova", wrong, false, 401, false},
		{"nova", right, false, 200, true},
		{"junk", wrong, false, 401, false},
		{"member-svc", wrong, false, 401, false},
		{"down", wrong, false, 401, false},

		{"", wrong, true, 401, false},
		{"nova", wrong, true, 200, true},
		{"nova", right, true, 200, true},
		{"junk", wrong, true, 401, false},
		{"expired", wrong, true, 401, false},
		{"member-svc", wrong, true, 401, false},
		{"bound", wrong, true, 401, false},     // the same token twice
		{"bound-svc", wrong, true, 401, false}, // the service token's own binding is never skipped
		{"bound-svc", "Authorization: Negotiate nova\r\n", true, 200, true},
		{"down", wrong, true, 401, false},
	} {
		for _, delay := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,%q,relaxed=%v,delay=%v", tt.service, tt.ticket, tt.relaxed, delay), func(t *testing.T) {
				g := newRig(t, func(h *Handler) {
					h.Peers, h.Negotiate, h.DelayAuthDecision = &senders{}, true, delay
					h.InsecureServiceTokenSkipsBind = tt.relaxed
				})
				service := ""
				if tt.service != "" {
					service = "X-Service-Token: " + tt.service + "\r\n"
				}
				res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: bound\r\n" + service + tt.ticket + "Connection: close\r\n\r\n")
				want := tt.status
				if delay {
					want = 200
				}
				if res.StatusCode != want {
					t.Fatalf("status %d, want %d", res.StatusCode, want)
				}
				if want != 200 {
					g.up.none()
					return
				}
				if id := g.up.next().identity(); (id["X_USER_ID"] != "") != tt.confirmed || (id["X_IDENTITY_STATUS"] == "Confirmed") != tt.confirmed {
					t.Errorf("the upstream saw %v, want confirmed %v", id, tt.confirmed)
				}
			})
		}
	}
}

// A role that is not needed to be a service token is needed to speak for a user's binding.
func TestW15OptionalRoles(t *testing.T) {
	g := newRig(t, func(h *Handler) { h.InsecureServiceTokenRolesOptional, h.InsecureServiceTokenSkipsBind = true, true })
	if res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: bound\r\nX-Service-Token: member-svc\r\nConnection: close\r\n\r\n"); res.StatusCode != 401 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestBindRefusalsSayWhatDidNotHold(t *testing.T) {
	g := newRig(t, func(h *Handler) { h.Peers, h.Negotiate = &senders{}, true })
	g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: bound\r\nAuthorization: Negotiate stale\r\nConnection: close\r\n\r\n")
	g.eventually("counted", func() bool {
		return g.metric("authproxy_senders_total", "result=refused") == 1 && g.metric("authproxy_refusals_total", "reason="+string(validate.Bind)) == 1
	})
	if logs := g.logs.String(); !strings.Contains(logs, `not_identified="the ticket has expired"`) {
		t.Error(logs)
	}
}
