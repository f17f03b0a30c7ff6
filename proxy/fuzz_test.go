package proxy

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzRawRequest sends whatever bytes as a request. No request that reaches the upstream carries an identity but that of
// its token, whole, and no answer is an error of the server's.
func FuzzRawRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nX-Roles: admin\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: X-Roles, X-User-Id\r\nX_Roles: admin\r\n\r\n",
		"POST http://o/a?b HTTP/1.0\r\nX-Auth-Token: alice\r\nX-Service-Token: nova\r\nContent-Length: 2\r\n\r\nhi",
		"POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nTransfer-Encoding: chunked\r\nTrailer: X-Roles\r\n\r\n2\r\nhi\r\n0\r\nX-Roles: admin\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nX-Storage-Token: alice\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nX-Note: a\r\n X-Roles: admin\r\nForwarded: for=x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	var seen []http.Header // by the upstream, for the request in hand; requests come one at a time
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header) }))
	f.Cleanup(up.Close)
	target, err := ParseUpstream(up.URL, false)
	if err != nil {
		f.Fatal(err)
	}
	h := &Handler{Validator: knownTokens(), Upstream: target, DrainTime: 10 * time.Millisecond}
	useClient(f, h, TransportOptions{})
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(h, ServerOptions{ReadHeaderTimeout: 10 * time.Millisecond, IdleTimeout: 10 * time.Millisecond})
	start(f, server)

	allowed := []map[string]string{
		alice, merged(alice, nova), novaAsUser,
		{"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "member", "X_ROLE": "member", "X_USER_ID": "dave-id"},
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		seen = nil
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Skip(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(text); err != nil {
			t.Skip(err)
		}
		answers := bufio.NewReader(c)
		for {
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode >= 500 && res.StatusCode != 501 && res.StatusCode != 505 {
				t.Errorf("a client made a %d", res.StatusCode)
			}
			if res.StatusCode < 200 {
				break // what follows a 101 is no answer
			}
		}
		for _, h := range seen {
			got := &request{}
			for name, values := range h {
				for _, v := range values {
					got.headers = append(got.headers, [2]string{name, v})
				}
			}
			id := got.identity()
			ok := false
			for _, a := range allowed {
				ok = ok || maps.Equal(id, a)
			}
			// Tokens that mutation has found beside those of the seeds.
			ok = ok || id["X_IDENTITY_STATUS"] == "Confirmed" && !strings.Contains(id["X_ROLES"]+id["X_ROLE"], "admin")
			if !ok {
				t.Errorf("the upstream saw %v", id)
			}
		}
	})
}
