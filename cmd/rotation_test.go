package cmd

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/certs/cms"
	"authproxy/examples/cloud"
	"authproxy/keystone/token"
)

// What the proxy does by its options in TestRotationUnderLoad.
const (
	refreshInterval = 2 * time.Second
	refreshCooldown = time.Second
)

// known is a token whose verdict is known: a status, or 0 while it changes.
type known struct {
	text string
	want atomic.Int32
}

// load is clients that use tokens all the time and know what the answer has to be.
type load struct {
	t *testing.T
	c *cloud.Cloud

	mu     sync.Mutex
	tokens []*known // guarded by mu

	asked, accepted, refused, undecided, wrong atomic.Int64
}

func (l *load) add(want int, texts ...string) {
	var list []*known
	for _, text := range texts {
		k := &known{text: text}
		k.want.Store(int32(want))
		list = append(list, k)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = append(l.tokens, list...)
}

// pick chooses a token; each third time one of the youngest.
func (l *load) pick() *known {
	l.mu.Lock()
	defer l.mu.Unlock()
	young := len(l.tokens)
	if mathrand.N(3) == 0 {
		young = min(young, 8)
	}
	return l.tokens[len(l.tokens)-1-mathrand.N(young)]
}

// use sends tokens until ctx ends. A third of those that are good is sent forged, each time in another way.
func (l *load) use(ctx context.Context) {
	for ctx.Err() == nil {
		k := l.pick()
		text, want := k.text, k.want.Load()
		if want == http.StatusOK && mathrand.N(3) == 0 {
			text, want = forgedAt(text, mathrand.N(40)), http.StatusUnauthorized
		}
		got, err := status(ctx, l.c, text)
		switch {
		case ctx.Err() != nil:
			return
		case want == 0 || text == k.text && k.want.Load() != want: // it changed meanwhile
			continue
		}
		l.asked.Add(1)
		switch {
		case err == nil && got == int(want) && got == http.StatusOK:
			l.accepted.Add(1)
		case err == nil && got == int(want):
			l.refused.Add(1)
		case err == nil && got == http.StatusServiceUnavailable && want != http.StatusOK:
			l.undecided.Add(1)
		default:
			if l.wrong.Add(1) <= 5 {
				id, _ := token.ID(text, "sha256")
				l.t.Errorf("token %.12s: got %d, %v; want %d", id, got, err, want)
			}
		}
	}
}

// forgedAt changes one character in the signature of a token.
func forgedAt(text string, back int) string {
	at := len(text) - 20 - back
	other := byte('A')
	if text[at] == other {
		other = 'B'
	}
	return text[:at] + string(other) + text[at+1:]
}

// issue logs in ten times a second, and lets the clients use each token at once.
func (l *load) issue(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		text, err := l.c.Token(ctx, "alice", "wonderland", "demo")
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.t.Errorf("logging in: %v", err)
			return
		}
		l.add(http.StatusOK, text)
	}
}

// operator is who changes files.
type operator struct {
	t      *testing.T
	c      *cloud.Cloud
	blocks map[string]string // of certs/ROTATION.md, by what they begin with
}

// manage runs keystone-manage, which has to succeed.
func (o *operator) manage(args ...string) string {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatalf("keystone-manage %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (o *operator) try(args ...string) (string, error) {
	out, err := exec.CommandContext(o.t.Context(), filepath.Join(o.c.Bin, "keystone-manage"), append([]string{"--config-file", o.c.File("keystone.conf")}, args...)...).CombinedOutput()
	return string(out), err
}

// switchOver switches as soon as that is allowed.
func (o *operator) switchOver() {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 10*time.Second)
	defer cancel()
	must(o.t, cloud.Until(ctx, func() (bool, error) {
		out, err := o.try("signing_rotate", "switch", "--wait", (refreshCooldown + 200*time.Millisecond).String())
		if err != nil && !strings.Contains(out, "so that every verifier can have it") {
			return false, fmt.Errorf("%w\n%s", err, out)
		}
		return err == nil, nil
	}))
}

// byHand runs a step of the documentation.
func (o *operator) byHand(step string) {
	o.t.Helper()
	commands, ok := o.blocks[step]
	if !ok {
		o.t.Fatalf("certs/ROTATION.md has no step %s", step)
	}
	cmd := exec.CommandContext(o.t.Context(), "sh", "-e", "-c", commands)
	cmd.Dir = o.c.File("ssl")
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("step %s: %v\n%s", step, err, out)
	}
}

var documented = regexp.MustCompile("(?ms)^```sh\n# ([0-9A-Z, ]+):.*?\n```$")

func newOperator(t *testing.T, c *cloud.Cloud) *operator {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no openssl command")
	}
	text, err := os.ReadFile(filepath.Join("..", "certs", "ROTATION.md"))
	must(t, err)
	o := &operator{t: t, c: c, blocks: map[string]string{}}
	for _, m := range documented.FindAllSubmatch(text, -1) {
		o.blocks[string(m[1])] = strings.TrimSuffix(strings.TrimPrefix(string(m[0]), "```sh\n"), "```")
	}
	return o
}

// signers are those that the proxy knows, in the order of the file.
func signers(t *testing.T, c *cloud.Cloud) []string {
	t.Helper()
	_, text, err := cloud.Call(t.Context(), http.MethodGet, c.ProxyAdmin+"/status", nil, "")
	must(t, err)
	var st struct {
		Certificates struct {
			Signers []struct{ Fingerprint string }
		}
	}
	must(t, json.Unmarshal([]byte(text), &st))
	var list []string
	for _, s := range st.Certificates.Signers {
		list = append(list, s.Fingerprint)
	}
	return list
}

// refreshed waits until the proxy has begun and ended another two fetches: what was in the files by now is what it has.
func refreshed(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	fetches := func() float64 { return metric(t, c, `authproxy_certificate_events_total{event="fetched"}`) }
	begin := fetches()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, cloud.Until(ctx, func() (bool, error) { return fetches() >= begin+2, nil }))
}

// parsePEM reads the first block of a file.
func parsePEM[T any](t *testing.T, path string, parse func([]byte) (T, error)) T {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	v, err := parse(block.Bytes)
	must(t, err)
	return v
}

func parseKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

// impostor signs what a real token says with a key of its own, under a certificate that is like change makes it.
func impostor(t *testing.T, c *cloud.Cloud, like string, issuerKey crypto.Signer, serial *big.Int) string {
	t.Helper()
	der, err := token.Decode(like, token.Limits{})
	must(t, err)
	message, err := cms.Parse(der)
	must(t, err)
	ca := parsePEM(t, c.File("ssl/certs/ca.pem"), x509.ParseCertificate)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if issuerKey == nil {
		issuerKey = key
	}
	if serial == nil {
		serial = new(big.Int).SetBytes(message.SerialNumber)
	}
	// Without AuthorityKeyId CreateCertificate would not mind; the issuer's name is what counts here.
	parent := &x509.Certificate{RawSubject: ca.RawSubject, SubjectKeyId: ca.SubjectKeyId, PublicKey: issuerKey.Public()}
	made, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}, parent, key.Public(), issuerKey)
	must(t, err)
	cert, err := x509.ParseCertificate(made)
	must(t, err)
	forgery, err := cms.Sign(message.Content, cert, key, crypto.SHA256)
	must(t, err)
	return token.EncodePKI(forgery)
}

// answerRequest is the CA: it makes a certificate of the request with a serial number of the test's choice.
func answerRequest(t *testing.T, c *cloud.Cloud, out string, serial *big.Int) {
	t.Helper()
	request := parsePEM(t, c.File("ssl/certs/signing_cert.pem.csr"), x509.ParseCertificateRequest)
	ca := parsePEM(t, c.File("ssl/certs/ca.pem"), x509.ParseCertificate)
	key := parsePEM(t, c.File("ssl/private/cakey.pem"), parseKey)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		RawSubject: request.RawSubject, SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}, ca, request.PublicKey, key)
	must(t, err)
	must(t, os.WriteFile(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// TestRotationUnderLoad changes everything that signs while clients use tokens: the key by hand and by signing_rotate, RSA to RSA
// and to ECDSA, to a certificate with the issuer and serial number of the old one, back and forth; the CA, with a roll-back in
// between; and it drops signers as if their keys were stolen. Not one valid token is refused, not one invalid one accepted.
func TestRotationUnderLoad(t *testing.T) {
	c := newCloud(t, func(c *cloud.Cloud) {
		c.AuthtokenExtra = fmt.Sprintf("cert_refresh_interval = %d\ncert_refresh_cooldown = %d", refreshInterval/time.Second, refreshCooldown/time.Second)
	})
	o := newOperator(t, c)
	must(t, c.StartProxy(t.Context()))
	l := &load{t: t, c: c}
	in := func(name string) string { return c.File("ssl/" + name) }
	leaf := func() *x509.Certificate { return parsePEM(t, in("certs/signing_cert.pem"), x509.ParseCertificate) }

	// Tokens to begin with, and what is not one.
	first := tokenOf(t, c)
	l.add(http.StatusOK, first, tokenOf(t, c))
	spoil := func() { // revoked and forged tokens by the present signer
		t.Helper()
		revoked, model := tokenOf(t, c), tokenOf(t, c)
		must(t, c.Revoke(t.Context(), revoked))
		becomes(t, c, revoked, http.StatusUnauthorized, 5*time.Second)
		caKey := parsePEM(t, in("private/cakey.pem"), parseKey)
		l.add(http.StatusUnauthorized, revoked,
			impostor(t, c, model, nil, nil),             // the signer's name and serial number, a key of its own
			impostor(t, c, model, caKey, big.NewInt(7)), // another certificate of the same CA
			"MII"+strings.Repeat("A", 400))
	}
	spoil()

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	for range 6 {
		group.Go(func() { l.use(ctx) })
	}
	issuing, stopIssuing := context.WithCancel(ctx)
	var issuer sync.WaitGroup
	issuer.Go(func() { l.issue(issuing) })
	t.Cleanup(func() { stopIssuing(); issuer.Wait() })
	// signedBy are the good tokens by a signer.
	signedBy := func(signer *x509.Certificate) (by []*known) {
		t.Helper()
		for _, k := range l.all() {
			if k.want.Load() != http.StatusOK {
				continue
			}
			der, err := token.Decode(k.text, token.Limits{})
			must(t, err)
			message, err := cms.Parse(der)
			must(t, err)
			if message.CheckSignature(signer.PublicKey) == nil {
				by = append(by, k)
			}
		}
		return by
	}
	began, last := time.Now(), int64(0)
	done := func(what string) {
		t.Helper()
		now := l.asked.Load()
		t.Logf("%5.1f s, %6d requests: %s", time.Since(began).Seconds(), now-last, what)
		last = now
		if t.Failed() {
			t.FailNow()
		}
	}
	// stolen drops signers with keystone-manage, and sees that their tokens, cached ones included, end within one refresh.
	stolen := func(what string, drop func(), gone ...*x509.Certificate) {
		t.Helper()
		var dead []*known
		for _, signer := range gone {
			dead = append(dead, signedBy(signer)...)
		}
		if len(dead) == 0 {
			t.Fatal("there are no tokens by the stolen key")
		}
		for _, k := range dead {
			k.want.Store(0)
		}
		wantStatus(t, c, dead[0].text, http.StatusOK) // so it is in the cache
		drop()
		took := becomes(t, c, dead[0].text, http.StatusUnauthorized, refreshInterval*11/10+2*time.Second)
		for _, k := range dead {
			k.want.Store(http.StatusUnauthorized)
		}
		done(fmt.Sprintf("%s: %d tokens refused after %s", what, len(dead), took.Round(time.Millisecond)))
	}
	a := leaf()
	done("one signer")

	// By hand, as documented.
	o.byHand("1, 2, 3")
	o.byHand("4")
	refreshed(t, c) // step 5
	if n := len(signers(t, c)); n != 2 {
		t.Fatalf("the proxy knows %d signers, want 2", n)
	}
	o.byHand("6")
	b := leaf()
	refreshed(t, c)
	spoil()
	done("RSA to RSA with openssl, by hand")
	if a.Equal(b) || len(signedBy(b)) == 0 || len(signedBy(a)) == 0 {
		t.Fatal("there are no tokens by both signers")
	}

	// To ECDSA, with the issuer and serial number of the signer before. The proxy learns of it by its own, or by the tokens.
	o.manage("signing_rotate", "prepare", "--csr", "--key-type", "ecdsa")
	answerRequest(t, c, in("answer.pem"), b.SerialNumber)
	o.manage("signing_rotate", "publish", "--certificate", in("answer.pem"))
	o.switchOver()
	d := leaf()
	if d.SerialNumber.Cmp(b.SerialNumber) != 0 || !bytes.Equal(d.RawIssuer, b.RawIssuer) || d.PublicKeyAlgorithm != x509.ECDSA {
		t.Fatalf("the new signer is %s %v", d.PublicKeyAlgorithm, d.SerialNumber)
	}
	spoil()
	if n := len(signers(t, c)); n != 3 {
		t.Fatalf("the proxy knows %d signers, want 3", n)
	}
	done("RSA to ECDSA, same issuer and serial number")
	o.manage("signing_rotate", "rollback")
	spoil()
	done("rolled back")
	o.switchOver()
	spoil()
	done("and forward again")
	if out, err := o.try("signing_rotate", "finish"); err == nil {
		t.Fatalf("certificates were dropped that tokens need:\n%s", out)
	}
	stolen("two stolen keys", func() { o.manage("signing_rotate", "finish", "--force-compromised") }, a, b)

	// A new CA, as documented; taken back once on the way.
	o.byHand("A")
	o.byHand("B")
	refreshed(t, c)
	must(t, os.Rename(in("certs/old_ca.pem"), in("certs/ca.pem")))
	refreshed(t, c)
	done("a second CA, taken back")
	o.byHand("B")
	refreshed(t, c)
	o.byHand("C")
	o.manage("signing_rotate", "prepare", "--key-type", "rsa")
	o.manage("signing_rotate", "publish")
	o.switchOver()
	e := leaf()
	if bytes.Equal(e.RawIssuer, d.RawIssuer) {
		t.Fatal("the old CA still issues")
	}
	spoil()
	done("ECDSA to RSA, by the second CA")
	o.manage("signing_rotate", "rollback")
	spoil()
	done("rolled back to the signer of the first CA")
	o.switchOver()
	stolen("the signer of the first CA dropped", func() {
		o.manage("signing_rotate", "finish", "--force-compromised")
		o.byHand("D")
	}, d)
	refreshed(t, c)
	spoil()
	done("the first CA is gone")

	// A CA that is merely fetched. Its tokens are good for keystone-all, and for nobody else.
	stopIssuing()
	issuer.Wait()
	undecided := l.undecided.Load()
	o.manage("pki_setup", "--rebuild")
	strange := tokenOf(t, c)
	refused := func() bool {
		t.Helper()
		got, err := status(t.Context(), c, strange)
		if err != nil || got == http.StatusOK {
			t.Fatalf("a token by the signer of a CA that nobody vouches for: %d, %v", got, err)
		}
		return metric(t, c, `authproxy_certificate_events_total{event="ca_refused"}`) > 0
	}
	must(t, cloud.Until(ctx, func() (bool, error) { return refused(), nil }))
	before := l.asked.Load()
	must(t, cloud.Until(ctx, func() (bool, error) { return l.asked.Load() > before+500 || t.Failed(), nil }))
	refused()
	cancel()
	group.Wait()
	done("a CA out of nowhere")
	// The operator vouches for it.
	text, err := os.ReadFile(in("certs/ca.pem"))
	must(t, err)
	must(t, os.WriteFile(c.File("signing/cacert.pem"), text, 0o600))
	t.Logf("the operator's CA counts after %s", becomes(t, c, strange, http.StatusOK, refreshInterval*11/10+2*time.Second))
	becomes(t, c, first, http.StatusUnauthorized, time.Second)

	elapsed := time.Since(began)
	t.Logf("%d requests in %s (%.0f/s): %d valid tokens accepted, %d invalid ones refused, %d not decided, %d wrong answers", l.asked.Load(), elapsed.Round(time.Millisecond),
		float64(l.asked.Load())/elapsed.Seconds(), l.accepted.Load(), l.refused.Load(), l.undecided.Load(), l.wrong.Load())
	// At the end nobody could be asked about unknown signers: what came was not to be trusted.
	if undecided > 0 {
		t.Errorf("%d requests were not decided, though nothing was down", undecided)
	}
	if l.accepted.Load() < 1000 || l.refused.Load() < 1000 {
		t.Error("too little load to prove anything")
	}
}

func (l *load) all() []*known {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*known(nil), l.tokens...)
}
