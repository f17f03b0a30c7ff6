package proxy

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
)

const (
	head     = "Host: h\r\nX-Auth-Token: alice\r\n"
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\nX-Roles: admin\r\nX_User_Id: root\r\nX-Identity-Status: Confirmed\r\n\r\n"
	last     = "GET /smuggled/last HTTP/1.1\r\nHost: h\r\nX-Roles: admin\r\nConnection: close\r\n\r\n"
)

// corpus are requests that parsers have been known to read in different ways, each with the status of the first answer. What
// follows a request is another one, which has no token.
var corpus = map[string]struct {
	text   string
	status int
}{
	// Framing.
	"chunk extension":                   {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nhi\r\n0;x\r\n\r\n" + smuggled, 200},
	"chunk extension with a line end":   {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2;a\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk extension, quoted line end":  {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2;a=\"\r\n" + smuggled + "\"\r\nhi\r\n0\r\n\r\n", 400},
	"long chunk extensions":             {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("a", 2000)+"\r\nx\r\n", 40) + "0\r\n\r\n" + smuggled, 400},
	"bare LF behind a chunk size":       {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n" + smuggled, 400},
	"bare CR behind a chunk size":       {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\rhi\r0\r\r" + smuggled, 400},
	"chunk longer than it says":         {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhiho\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size with a sign":            {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size with 0x":                {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size with _":                 {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0_2\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size of 17 digits":           {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n00000000000000002\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size of 2^64+2":              {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"chunk size of 2^63":                {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\nhi\r\n0\r\n\r\n" + smuggled + "x", 400},
	"no chunk size":                     {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n" + smuggled, 400},
	"body ends within a chunk":          {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nff\r\nhi", 400},
	"no last chunk":                     {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", 400},
	"a request in the place of a chunk": {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n" + smuggled, 400},
	"trailers with identity":            {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Roles: admin\r\nX_User_Id: root\r\nX-Auth-Token: junk\r\n\r\n" + smuggled, 200},
	"trailers announced":                {"POST / HTTP/1.1\r\n" + head + "TE: trailers\r\nTrailer: X-Roles, X-Identity-Status\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Roles: admin\r\nX-Identity-Status: Confirmed\r\n\r\n" + smuggled, 200},
	"trailers with framing":             {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n" + smuggled, 200},
	"trailers without end":              {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Roles: admin\r\n", 400},
	"folded trailer":                    {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n X-Roles: admin\r\n\r\n" + smuggled, 200},
	"two lengths, equal":                {"POST / HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 200},
	"two lengths in one":                {"POST / HTTP/1.1\r\n" + head + "Content-Length: 2, 2\r\n\r\nhi" + smuggled, 400},
	"two lengths, one with _":           {"POST / HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent_Length: 200\r\n\r\nhi" + smuggled, 200},
	"a length with blanks":              {"POST / HTTP/1.1\r\n" + head + "Content-Length: \t2 \t\r\n\r\nhi" + smuggled, 200},
	"a length with a vertical tab":      {"POST / HTTP/1.1\r\n" + head + "Content-Length: \v2\r\n\r\nhi" + smuggled, 400},
	"a length with a sign":              {"POST / HTTP/1.1\r\n" + head + "Content-Length: -2\r\n\r\nhi" + smuggled, 400},
	"a length in hexadecimal":           {"POST / HTTP/1.1\r\n" + head + "Content-Length: 0x2\r\n\r\nhi" + smuggled, 400},
	"a length of 2^64+2":                {"POST / HTTP/1.1\r\n" + head + "Content-Length: 18446744073709551618\r\n\r\nhi" + smuggled, 400},
	"an empty length":                   {"POST / HTTP/1.1\r\n" + head + "Content-Length:\r\n\r\n" + smuggled, 400},
	"a folded length":                   {"POST / HTTP/1.1\r\n" + head + "Content-Length:\r\n 2\r\n\r\nhi" + smuggled, 200},
	"a length with a blank before":      {"POST / HTTP/1.1\r\n" + head + "Content-Length : 2\r\n\r\nhi" + smuggled, 400},
	"chunked and a length":              {"POST / HTTP/1.1\r\n" + head + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n", 5+len(smuggled)) + "0\r\n\r\n" + smuggled, 200},
	"a length and chunked":              {"POST / HTTP/1.1\r\n" + head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 200},
	"chunked with _":                    {"POST / HTTP/1.1\r\n" + head + "Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 200},
	"chunked with _ alone":              {"POST / HTTP/1.1\r\n" + head + "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 200},
	"chunked in capitals":               {"POST / HTTP/1.1\r\n" + head + "TRANSFER-ENCODING: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 200},
	"chunked with a tab":                {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding:\tchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 200},
	"chunked with a vertical tab":       {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: \vchunked\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 400},
	"chunked with a blank before":       {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 400},
	"chunked, folded":                   {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 200},
	"chunked in quotes":                 {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: \"chunked\"\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 501},
	"chunked with a parameter":          {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked;q=1\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 501},
	"identity, chunked":                 {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + smuggled, 501},
	"gzip, chunked":                     {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, 501},
	"an empty encoding":                 {"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 501},
	"chunked by HTTP/1.0":               {"POST / HTTP/1.0\r\n" + head + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" + smuggled, 200},
	"a GET with a body":                 {"GET / HTTP/1.1\r\n" + head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, 200},
	"a body without a length":           {"POST / HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},

	// Connection, and what it names.
	"Connection names the identity":   {"GET / HTTP/1.1\r\n" + head + "Connection: X-Identity-Status, X-Roles, X-User-Id, X-Is-Admin-Project, X-Project-Id, X-Tenant-Id, X-Role\r\n\r\n" + smuggled, 200},
	"Connection names other cases":    {"GET / HTTP/1.1\r\n" + head + "Connection: x-roles,X_USER_ID,\"X-Role\", ,;x\r\n\r\n" + smuggled, 200},
	"Connection names framing":        {"POST / HTTP/1.1\r\n" + head + "Connection: Content-Length, Transfer-Encoding, Host\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 200},
	"Connection names chunked":        {"POST / HTTP/1.1\r\n" + head + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 200},
	"Connection names the token":      {"GET / HTTP/1.1\r\n" + head + "Connection: X-Auth-Token\r\n\r\n" + smuggled, 200},
	"Proxy-Connection, Keep-Alive":    {"GET / HTTP/1.1\r\n" + head + "Proxy-Connection: X-Roles\r\nKeep-Alive: X-Roles\r\nProxy-Authorization: x\r\n\r\n" + smuggled, 200},
	"a thousand names in Connection":  {"GET / HTTP/1.1\r\n" + head + "Connection: " + strings.Repeat("X-Roles, ", 1000) + "x\r\n\r\n" + smuggled, 200},
	"forged headers, many of one":     {"GET / HTTP/1.1\r\n" + head + strings.Repeat("X-Roles: admin\r\nx_roles: admin\r\n", 500) + "\r\n" + smuggled, 200},
	"forged headers, large":           {"GET / HTTP/1.1\r\n" + head + "X-Roles: " + strings.Repeat("admin,", 10000) + "\r\n\r\n" + smuggled, 200},
	"forged headers, odd marks":       {"GET / HTTP/1.1\r\n" + head + "X+Roles: admin\r\nX%User%Id: root\r\nX|Identity|Status: Confirmed\r\nX^Project`Id: root\r\nX*Role: admin\r\nX#User: root\r\nX$Tenant&Id: root\r\n\r\n" + smuggled, 200},
	"forged headers, dots and digits": {"GET / HTTP/1.1\r\n" + head + "OpenStack.System.Scope: all\r\nOPENSTACK_SYSTEM_SCOPE: all\r\nkeystone.token_info: x\r\nX.Service_Roles: service\r\n\r\n" + smuggled, 200},

	// Lines.
	"empty lines first":               {"\r\n\r\nGET / HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"two blanks in the request line":  {"GET  / HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a tab in the request line":       {"GET\t/ HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a blank in the path":             {"GET /a b HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"no version":                      {"GET /\r\n" + head + "\r\n" + smuggled, 400},
	"HTTP/1.2":                        {"GET / HTTP/1.2\r\n" + head + "\r\n" + smuggled, 200},
	"HTTP/2.0":                        {"GET / HTTP/2.0\r\n" + head + "\r\n" + smuggled, 505},
	"HTTP/1.10":                       {"GET / HTTP/1.10\r\n" + head + "\r\n" + smuggled, 400},
	"http/1.1":                        {"GET / http/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"no method":                       {" / HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a method with a colon":           {"X-Roles: admin / HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"no path":                         {"GET HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a path without a slash":          {"GET admin HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"an encoded line end in the path": {"GET /%0d%0aX-Roles:%20admin HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"an encoded line end in a query":  {"GET /?a=%0d%0aX-Roles:%20admin HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"a raw NUL in the path":           {"GET /\x00 HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a raw CR in the path":            {"GET /\rX-Roles:admin HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"bytes beyond ASCII in the path":  {"GET /\xe9\xff HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"a broken escape in the path":     {"GET /%zz HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"a NUL in a value":                {"GET / HTTP/1.1\r\n" + head + "X-A: b\x00\r\n\r\n" + smuggled, 400},
	"a NUL in a name":                 {"GET / HTTP/1.1\r\n" + head + "X-Ro\x00les: admin\r\n\r\n" + smuggled, 400},
	"a bare CR ends a header":         {"GET / HTTP/1.1\r\n" + head + "X-A: b\rX-Roles: admin\r\n\r\n" + smuggled, 400},
	"a bare CR ends the head":         {"GET / HTTP/1.1\r\n" + head + "X-A: b\r\r" + smuggled, 400},
	"a bare LF in a value":            {"GET / HTTP/1.1\r\n" + head + "X-A: b\nX-Roles: admin\r\n\r\n" + smuggled, 200},
	"CR CR LF":                        {"GET / HTTP/1.1\r\n" + head + "X-A: b\r\r\nX-Roles: admin\r\n\r\n" + smuggled, 400},
	"a folded identity":               {"GET / HTTP/1.1\r\n" + head + "X-A: b\r\n X-Roles: admin\r\n\tX_User_Id: root\r\n\r\n" + smuggled, 200},
	"a folded token":                  {"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token:\r\n alice\r\n\r\n" + smuggled, 200},
	"a head that begins folded":       {"GET / HTTP/1.1\r\n X-Roles: admin\r\n" + head + "\r\n" + smuggled, 400},
	"a header without a name":         {"GET / HTTP/1.1\r\n" + head + ": admin\r\n\r\n" + smuggled, 400},
	"a header without a colon":        {"GET / HTTP/1.1\r\n" + head + "X-Roles\r\n\r\n" + smuggled, 400},
	"a header with a blank before :":  {"GET / HTTP/1.1\r\n" + head + "X-Roles : admin\r\n\r\n" + smuggled, 400},
	"a head without an end":           {"GET / HTTP/1.1\r\n" + head + "X-Roles: admin\r\n", 400},
	"a very large head":               {"GET / HTTP/1.1\r\n" + head + "X-A: " + strings.Repeat("a", 2<<20) + "\r\n\r\n" + smuggled, 431},

	// Where a request goes.
	"absolute form":                  {"GET http://other/x HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"absolute form, a user":          {"GET http://root:admin@h/x HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"absolute form, no host":         {"GET http:///x HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"absolute form, a line end":      {"GET http://h%0d%0aX-Roles:admin/x HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"absolute form, another scheme":  {"GET file:///etc/passwd HTTP/1.1\r\n" + head + "\r\n" + smuggled, 200},
	"opaque form":                    {"GET mailto:root HTTP/1.1\r\n" + head + "\r\n" + smuggled, 400},
	"authority form":                 {"CONNECT h:443 HTTP/1.1\r\n" + head + "\r\n" + smuggled, 501},
	"two Hosts":                      {"GET / HTTP/1.1\r\n" + head + "Host: g\r\n\r\n" + smuggled, 400},
	"Host with a blank":              {"GET / HTTP/1.1\r\nHost: h g\r\nX-Auth-Token: alice\r\n\r\n" + smuggled, 400},
	"Host with another name's _":     {"GET / HTTP/1.1\r\n" + head + "_Host: g\r\nHost_: g\r\n\r\n" + smuggled, 200},
	"an upgrade to h2c":              {"GET / HTTP/1.1\r\n" + head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" + smuggled, 200},
	"HTTP/2 by prior knowledge":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled, 401},
	"an unknown expectation":         {"POST / HTTP/1.1\r\n" + head + "Expect: X-Roles\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 417},
	"two tokens":                     {"GET / HTTP/1.1\r\n" + head + "X-Auth-Token: junk\r\n\r\n" + smuggled, 400},
	"two tokens, one with _":         {"GET / HTTP/1.1\r\n" + head + "X_Auth_Token: junk\r\n\r\n" + smuggled, 200},
	"a token with _ alone":           {"GET / HTTP/1.1\r\nHost: h\r\nX_Auth_Token: alice\r\n\r\n" + smuggled, 401},
	"two service tokens":             {"GET / HTTP/1.1\r\n" + head + "X-Service-Token: nova\r\nx-service-token: nova\r\n\r\n" + smuggled, 400},
	"methods by another header":      {"GET / HTTP/1.1\r\n" + head + "X-HTTP-Method-Override: X-ROLES\r\n\r\n" + smuggled, 200},
	"a length, and nothing comes":    {"POST / HTTP/1.1\r\n" + head + "Content-Length: 5\r\n\r\nhi", 400},
	"a refused request with a body":  {"POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nContent-Length: 2\r\n\r\nhi" + smuggled, 401},
	"a refused request with chunks":  {"POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled, 401},
	"a refused request, bad chunks":  {"POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + smuggled, 401},
	"a refused request, long length": {"POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nContent-Length: 1000\r\n\r\n" + smuggled + "x", 401},
}

// TestSmugglingCorpus sends all of it, in both modes: no forged identity reaches the upstream, nothing that is hidden in another
// request reaches it as a request with an identity, and no answer is a 500.
func TestSmugglingCorpus(t *testing.T) {
	for _, mode := range []string{"strict", "delay"} {
		for name, c := range corpus {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := newRig(t, func(h *Handler) { h.DelayAuthDecision = mode == "delay" })
				statuses := g.converse(c.text)
				first := 0
				if len(statuses) > 0 {
					first = statuses[0]
				}
				passedOn := mode == "delay" && c.status == http.StatusUnauthorized && (first == http.StatusOK || first == http.StatusBadRequest)
				if want := c.status; first != want && !passedOn {
					t.Errorf("%s: answered %v, want %d first", t.Name(), statuses, want)
				}
				passed := 0
				for _, status := range statuses {
					if status == http.StatusInternalServerError {
						t.Error("a client can make a 500")
					}
					if status < 300 {
						passed++
					}
				}
				for passed > 0 || len(g.up.got) > 0 {
					got := g.up.next()
					passed--
					id := got.identity()
					if hidden := strings.Contains(got.line, "smuggled"); hidden && mode == "strict" || !maps.Equal(id, nobody) && (hidden || !maps.Equal(id, alice)) {
						t.Errorf("the upstream got %q from\n%v", got.line, id)
					}
					if text := got.cgi()["X_AUTH_TOKEN"]; text != "" && text != "alice" && text != "junk" {
						t.Errorf("the upstream got the token %q", text)
					}
				}
			})
		}
	}
}

// converse sends all of a text and a last request, and gives the status of each answer until the connection ends. A text that is
// cut off, so that nothing is smuggled behind it, is followed by the end of the client's side instead.
func (g *rig) converse(text string) (statuses []int) {
	g.t.Helper()
	c := g.dial()
	go func() {
		if strings.HasSuffix(text, smuggled) {
			_, _ = io.WriteString(c, text+last) // the proxy may close before it has read all
			return
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(c)
	for range 2000 {
		method := "GET"
		if len(statuses) == 0 {
			method, _, _ = strings.Cut(text, " ")
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return statuses
		}
		statuses = append(statuses, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return statuses
		}
	}
	g.t.Error("answers without end")
	return statuses
}
