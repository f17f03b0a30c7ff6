package proxy

import (
	"context"
	"net/http"
	"testing"

	"authproxy/keystone/peer"
	"authproxy/validate"
)

func TestClientOf(t *testing.T) {
	fronts, err := peer.ParseFronts([]string{"192.0.2.0/24", "2001:db8:f::/48"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		remote string
		said   []string
		want   string // with the fronts above
		local  string // with those on this machine
	}{
		{"198.51.100.7:1234", nil, "198.51.100.7", "198.51.100.7"},
		{"198.51.100.7:1234", []string{"203.0.113.1"}, "198.51.100.7", "198.51.100.7"}, // says so himself
		{"[2001:db8:1:2:3:4:5:6]:1234", nil, "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::]:1234", nil, "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1234", nil, "fe80::/64", "fe80::/64"},
		{"[::ffff:198.51.100.7]:1234", nil, "198.51.100.7", "198.51.100.7"},
		{"192.0.2.9:1234", []string{"203.0.113.1"}, "203.0.113.1", "192.0.2.9"},
		{"192.0.2.9:1234", nil, "", "192.0.2.9"},
		{"192.0.2.9:1234", []string{""}, "", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"unknown"}, "", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"10.0.0.1, 203.0.113.1, 192.0.2.8"}, "203.0.113.1", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"10.0.0.1, 203.0.113.1", "192.0.2.8 , 2001:db8:f::1"}, "203.0.113.1", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"203.0.113.1:4711"}, "203.0.113.1", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"[2001:db8:1::1]:4711"}, "2001:db8:1::/64", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"[2001:db8:1::1]"}, "2001:db8:1::/64", "192.0.2.9"},
		{"192.0.2.9:1234", []string{"192.0.2.8,192.0.2.7"}, "", "192.0.2.9"},
		{"127.0.0.1:1234", []string{"203.0.113.1"}, "127.0.0.1", "203.0.113.1"},
		{"127.0.0.1:1234", []string{"203.0.113.1, 127.0.0.1"}, "127.0.0.1", "203.0.113.1"},
		{"127.0.0.1:1234", nil, "127.0.0.1", ""},
		{"@", []string{"203.0.113.1"}, "", "203.0.113.1"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{}}
		if tt.said != nil {
			r.Header["X-Forwarded-For"] = tt.said
		}
		if got := (&Handler{ForwardedFrom: &fronts}).clientOf(r); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.remote, tt.said, got, tt.want)
		}
		if got := (&Handler{}).clientOf(r); got != tt.local {
			t.Errorf("%s %q, by default: %q, want %q", tt.remote, tt.said, got, tt.local)
		}
	}
}

// Each hop's rule, over a socket: what a trusted front end says is kept and added to; what anybody else says is dropped.
func TestForwardedHops(t *testing.T) {
	trust := func(list ...string) *peer.Fronts {
		fronts, err := peer.ParseFronts(list, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &fronts
	}
	const came = "X-Forwarded-For: 203.0.113.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: cloud\r\nX-Forwarded-Prefix: /image\r\n" +
		"X-Forwarded-Port: 443\r\nForwarded: for=203.0.113.1;proto=https\r\nX_Forwarded_For: 1.1.1.1\r\nX_Forwarded_Proto: gopher\r\n" +
		"X-Openstack-Request-Id: req-1\r\n"
	for name, tt := range map[string]struct {
		fronts *peer.Fronts
		came   string
		want   map[string]string
	}{
		"trusted": {trust("127.0.0.1"), came, map[string]string{"X_FORWARDED_FOR": "203.0.113.1, 10.0.0.1, 127.0.0.1", "X_FORWARDED_PROTO": "https",
			"X_FORWARDED_HOST": "cloud", "X_FORWARDED_PREFIX": "/image", "X_FORWARDED_PORT": "443", "FORWARDED": "for=203.0.113.1;proto=https, for=127.0.0.1;proto=http"}},
		"by default": {nil, came, map[string]string{"X_FORWARDED_FOR": "203.0.113.1, 10.0.0.1, 127.0.0.1", "X_FORWARDED_HOST": "cloud"}},
		"not trusted": {trust("192.0.2.1"), came, map[string]string{"X_FORWARDED_FOR": "127.0.0.1", "X_FORWARDED_PROTO": "http",
			"X_FORWARDED_HOST": "h", "X_FORWARDED_PREFIX": "", "X_FORWARDED_PORT": "", "FORWARDED": ""}},
		"nobody": {&peer.Fronts{}, came, map[string]string{"X_FORWARDED_FOR": "127.0.0.1", "X_FORWARDED_HOST": "h", "FORWARDED": ""}},
		"the first hop": {trust("127.0.0.1"), "X-Openstack-Request-Id: req-1\r\n", map[string]string{"X_FORWARDED_FOR": "127.0.0.1", "X_FORWARDED_PROTO": "http",
			"X_FORWARDED_HOST": "h", "X_FORWARDED_PREFIX": "", "FORWARDED": ""}},
	} {
		g := newRig(t, func(h *Handler) { h.ForwardedFrom = tt.fronts })
		g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n" + tt.came + "Connection: close\r\n\r\n")
		env := g.up.next().cgi()
		for header, want := range tt.want {
			if env[header] != want {
				t.Errorf("%s: %s is %q, want %q", name, header, env[header], want)
			}
		}
		if env["X_OPENSTACK_REQUEST_ID"] != "req-1" {
			t.Errorf("%s: the request's id is %q", name, env["X_OPENSTACK_REQUEST_ID"])
		}
	}
}

// busy refuses every client by its name, but one.
type busy struct{ tokens }

func (b busy) Validate(ctx context.Context, r validate.Request) (*validate.Verified, error) {
	if r.Client != "203.0.113.1" {
		return nil, refuse(validate.ClientBusy, nil)
	}
	return b.tokens.Validate(ctx, r)
}

// A client with too many questions under way is told to wait; others behind the same front end are not.
func TestClientBusy(t *testing.T) {
	g := newRig(t, func(h *Handler) { h.Validator = busy{knownTokens()} })
	const tokens = "X-Auth-Token: alice\r\nX-Service-Token: nova\r\nConnection: close\r\n"
	for said, want := range map[string]int{"": 503, "X-Forwarded-For: 203.0.113.2\r\n": 503, "X-Forwarded-For: 203.0.113.2, 203.0.113.1\r\n": 200} {
		res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\n" + tokens + said + "\r\n")
		if res.StatusCode != want || want == 503 && res.Header.Get("Retry-After") != "5" {
			t.Errorf("%q: %d %v", said, res.StatusCode, res.Header)
		}
	}
	if n := g.metric("authproxy_refusals_total", "reason=client_busy"); n != 4 {
		t.Errorf("%v refusals", n)
	}
}
