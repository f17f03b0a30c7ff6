package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/peer/kdctest"
	"authproxy/keystone/token"
)

// bound is a token with more members, such as what it is bound to.
func (p *pki) bound(user, auditID, members string) string {
	return token.EncodePKI(p.sign(strings.Replace(body(user, auditID), `"audit_ids"`, members+`,"audit_ids"`, 1)))
}

// offline starts the proxy without an Identity service.
func offline(t *testing.T, p *pki, args ...string) *running {
	t.Helper()
	upstream, _, _ := echoUpstream(t)
	dir := t.TempDir()
	return begin(t, append([]string{"--upstream", upstream.URL, "--reload-interval", "50ms",
		"--signing-cert-file", write(t, filepath.Join(dir, "signing.pem"), p.signer.CertPEM),
		"--signing-ca-file", write(t, filepath.Join(dir, "ca.pem"), p.ca.CertPEM()),
		"--revocation-file", write(t, filepath.Join(dir, "revoked.pem"), p.list())}, args...)...)
}

// curl is one that authenticates by Negotiate, with the tickets of env.
type curl struct {
	t    *testing.T
	env  []string
	args []string
}

// get gives the status and the body for each URL, and the Authorization header that was sent last.
func (c curl) get(token string, urls ...string) (answer, authorization string) {
	c.t.Helper()
	args := append([]string{"-sSv", "--noproxy", "*", "--max-time", "30", "-H", "X-Auth-Token: " + token, "-w", " %{http_code}\n"}, c.args...)
	cmd := exec.Command(kdctest.Program(c.t, "curl"), append(args, urls...)...)
	var out, trace bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &trace
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("curl: %v\n%s%s", err, out.String(), trace.String())
	}
	if sent := regexp.MustCompile(`(?m)^> Authorization: (.*?)\r?$`).FindAllStringSubmatch(trace.String(), -1); sent != nil {
		authorization = sent[len(sent)-1][1]
	}
	return strings.TrimSpace(out.String()), authorization
}

const unauthorized = `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}} 401`

// mutual is a client that insists on mutual authentication: it prints the status, and whether the context was completed so.
const mutual = `
import base64, http.client, sys, gssapi
host, port, token = sys.argv[1:]
flag = gssapi.RequirementFlag.mutual_authentication
context = gssapi.SecurityContext(name=gssapi.Name("HTTP@" + host, gssapi.NameType.hostbased_service),
                                 mech=gssapi.OID.from_int_seq("1.3.6.1.5.5.2"), usage="initiate", flags=flag)
ticket = base64.b64encode(context.step()).decode()
connection = http.client.HTTPConnection(host, int(port), timeout=30)
connection.request("GET", "/", headers={"X-Auth-Token": token, "Authorization": "Negotiate " + ticket})
response = connection.getresponse()
context.step(base64.b64decode(response.getheader("WWW-Authenticate").removeprefix("Negotiate ")))
print(response.status, context.complete, flag in context.actual_flags)
`

// TestKerberos is the whole of it with MIT's KDC, kinit and libgssapi.
func TestKerberos(t *testing.T) {
	kdctest.Program(t, "curl")
	kdc := kdctest.Start(t)
	kdc.AddUser("alice", "alice-password")
	kdc.AddUser("bob", "bob-password")
	keytab := kdc.Keytab("http.keytab", "HTTP/localhost", "host/localhost")
	login := func(t *testing.T, name string) curl {
		return curl{t, kdc.Login(name, name+"-password"), []string{"--negotiate", "-u", ":"}}
	}
	p := newPKI(t)
	bound := p.bound("alice", auditA, `"bind":{"kerberos":"alice"}`)
	boundToPrincipal := p.bound("alice", "DDDDDDDDDDDDDDDDDDDDDA", `"bind":{"kerberos":"alice@`+kdctest.Realm+`"}`)
	free := p.token("alice", "CCCCCCCCCCCCCCCCCCCCCA")
	const good = "Confirmed alice member 200"
	// proxy starts one, and gives a check of what curl gets from it. Tickets are for a name, not for an address.
	proxy := func(t *testing.T, args ...string) (r *running, url string, want func(what string, c curl, token, answer string)) {
		r = offline(t, p, args...)
		url = strings.Replace(r.data, "127.0.0.1", "localhost", 1) + "/"
		return r, url, func(what string, c curl, token, answer string) {
			t.Helper()
			if got, _ := c.get(token, url); got != answer {
				t.Errorf("%s: %q, want %q\n%s", what, got, answer, r.logs)
			}
		}
	}

	t.Run("asked by a front end", func(t *testing.T) {
		question := []string{"-H", "X-Original-Method: GET", "-H", "X-Original-URI: /", "-H", "X-Remote-User: alice", "-H", "X-Auth-Type: Negotiate"}
		alice, bob := login(t, "alice"), login(t, "bob")
		without := curl{t, append(os.Environ(), "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "nothing")), question}
		alice.args, bob.args = append(alice.args, question...), append(bob.args, question...)
		r := offline(t, p, "--kerberos-keytab", keytab, "--kerberos-realm-map", kdctest.Realm+"=", "--trusted-peers", "127.0.0.1", "--auth-listen", "127.0.0.1:0")
		url := strings.Replace(r.auth(), "127.0.0.1", "localhost", 1) + "/auth"
		for _, tt := range []struct {
			what   string
			c      curl
			answer string
		}{{"the right ticket", alice, "200"}, {"another principal", bob, unauthorized}, {"headers of a peer that is trusted elsewhere", without, unauthorized}} {
			if got, _ := tt.c.get(bound, url); got != tt.answer {
				t.Errorf("%s: %q, want %q\n%s", tt.what, got, tt.answer, r.logs)
			}
		}
	})

	t.Run("realm mapped", func(t *testing.T) {
		alice, bob := login(t, "alice"), login(t, "bob")
		without := curl{t, append(os.Environ(), "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "nothing")), nil}
		r, url, want := proxy(t, "--kerberos-keytab", keytab, "--kerberos-realm-map", kdctest.Realm+"=")
		want("the right ticket", alice, bound, good)
		want("no ticket", without, bound, unauthorized)
		want("another principal", bob, bound, unauthorized)
		want("another principal with its own token", bob, p.bound("bob", auditB, `"bind":{"kerberos":"bob"}`), "Confirmed bob member 200")
		want("a token that is not bound", without, free, good)
		want("a realm that is mapped away", alice, boundToPrincipal, unauthorized)

		// Both requests over one connection: a ticket counts for one of them.
		twice, authorization := alice.get(bound, url, url)
		if twice != good+"\n"+good || !strings.HasPrefix(authorization, "Negotiate ") {
			t.Fatalf("twice: %q, Authorization %q", twice, authorization)
		}
		// The header that got in, once more.
		res := r.send(r.http, url, bound, http.Header{"Authorization": {authorization}})
		if got := res.Header["Www-Authenticate"]; res.StatusCode != 401 || !slices.Equal(got, []string{"Keystone", "Negotiate"}) {
			t.Errorf("replayed: %d %q", res.StatusCode, got)
		}
		if !strings.Contains(r.logs.String(), "token of Negotiate used before") {
			t.Errorf("the replay is not in the log: %s", r.logs)
		}
		if strings.Contains(r.logs.String(), authorization[:60]) {
			t.Error("the ticket is in the log")
		}
		r.expect(r.admin+"/status", "", 200, `"HTTP/localhost@`+kdctest.Realm+`"`)
		r.expect(r.admin+"/metrics", "", 200, `authproxy_files_stale{what="kerberos keytab"} 0`)
	})

	// curl takes the answer's token and does not look at it; MIT's library does.
	t.Run("the service proves itself", func(t *testing.T) {
		alice := login(t, "alice")
		r, _, _ := proxy(t, "--kerberos-keytab", keytab, "--kerberos-realm-map", kdctest.Realm+"=")
		_, port, err := net.SplitHostPort(strings.TrimPrefix(r.data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := kdctest.Python(t, mutual, "localhost", port, bound)
		cmd.Env = alice.env
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "200 True True\n" {
			t.Errorf("%v: %s\n%s", err, out, r.logs)
		}
	})

	t.Run("required, whole principals", func(t *testing.T) {
		alice := login(t, "alice")
		_, _, want := proxy(t, "--kerberos-keytab", keytab, "--enforce-token-bind", "kerberos", "--kerberos-principal", "HTTP/localhost@"+kdctest.Realm)
		want("a principal", alice, boundToPrincipal, good)
		want("a name", alice, bound, unauthorized)
		want("a token that is not bound", alice, free, unauthorized)
	})

	// A new key, of another kind: tickets for it are refused until the keytab is replaced, and then are not.
	t.Run("new key", func(t *testing.T) {
		before := login(t, "alice")
		r, _, want := proxy(t, "--kerberos-keytab", keytab, "--kerberos-realm-map", kdctest.Realm+"=")
		want("the old key", before, bound, good)
		renewed := kdc.Rekey("new.keytab", "HTTP/localhost", "aes256-cts-hmac-sha384-192")
		after := login(t, "alice")
		want("a key that the proxy has not", after, bound, unauthorized)
		if err := os.Rename(renewed, keytab); err != nil {
			t.Fatal(err)
		}
		r.eventually("keytab in use", func() bool { return strings.Contains(r.logs.String(), `"what":"kerberos keytab"`) })
		want("the new key", after, bound, good)
		want("a ticket for the old key", before, bound, unauthorized)
	})
}

// send makes one request with more headers and throws the body away.
func (r *running) send(c *http.Client, url, token string, header http.Header) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.Header.Set("X-Auth-Token", token)
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	return res
}
