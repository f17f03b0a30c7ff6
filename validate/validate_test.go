package validate

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone"
	"authproxy/keystone/token"
	"authproxy/revocation"
)

// epoch is the time at which these tests run.
var epoch = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct{ atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.Store(epoch.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.Add(int64(d)) }

// signers is a Signers whose bundles a test sets by hand.
type signers struct {
	mu        sync.Mutex
	bundle    *certs.Bundle
	next      *certs.Bundle // what a refresh brings; nil: the same
	err       error
	refreshes int
}

func (s *signers) Current() *certs.Bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bundle
}

func (s *signers) Refresh(context.Context, *certs.Bundle) (*certs.Bundle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes++
	if s.next != nil {
		s.bundle = s.next
	}
	return s.bundle, s.err
}

// lists is a Revocations whose list a test sets by hand.
type lists struct {
	list  atomic.Pointer[revocation.Snapshot]
	stale atomic.Bool
}

func (l *lists) Current() *revocation.Snapshot { return l.list.Load() }
func (l *lists) Fresh(time.Time) bool          { return !l.stale.Load() }
func (l *lists) set(entries ...revocation.Entry) {
	l.list.Store(revocation.NewSnapshot(entries, epoch))
}

// identity is an Online that knows some tokens, as a Keystone knows those that it issued: by their exact text.
type identity struct {
	known map[string]string // text → body
	err   error
	asked atomic.Int32
}

func (i *identity) Validate(_ context.Context, text string, _ bool) ([]byte, error) {
	i.asked.Add(1)
	if i.err != nil {
		return nil, i.err
	}
	if body, ok := i.known[text]; ok {
		return []byte(body), nil
	}
	return nil, fmt.Errorf("404: %w", ErrInvalid)
}

// fixture is a cloud of one CA and one signer, with a Validator.
type fixture struct {
	t       testing.TB
	ca      *certstest.CA
	signer  *certstest.Signer
	signers *signers
	lists   *lists
	clock   *clock
	options Options
}

func newFixture(t testing.TB, kind certstest.Kind) *fixture {
	t.Helper()
	f := &fixture{t: t, ca: certstest.New(t), clock: newClock(), lists: new(lists)}
	f.signer = f.issue(kind)
	f.signers = &signers{bundle: f.bundle(f.signer)}
	f.lists.set()
	f.options = Options{Signers: f.signers, Revocations: f.lists, CacheTTL: 5 * time.Minute, Now: f.clock.now}
	return f
}

// issue makes a signer that is valid at the epoch.
func (f *fixture) issue(kind certstest.Kind, opts ...certstest.Option) *certstest.Signer {
	return f.ca.Issue(f.t, kind, append([]certstest.Option{certstest.Valid(epoch.Add(-time.Hour), epoch.Add(24*time.Hour))}, opts...)...)
}

func (f *fixture) bundle(of ...*certstest.Signer) *certs.Bundle {
	f.t.Helper()
	var list []*x509.Certificate
	for _, s := range of {
		list = append(list, s.Cert)
	}
	b, err := certs.NewBundle(list, []*x509.Certificate{f.ca.Cert}, certs.Policy{}, epoch)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) validator(change ...func(*Options)) *Validator {
	f.t.Helper()
	o := f.options
	for _, c := range change {
		c(&o)
	}
	v, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// body makes a v3 body that ends an hour after the epoch; members are added inside "token".
func body(auditID, members string) string {
	return fmt.Sprintf(`{"token":{"methods":["password"],"expires_at":"%s","audit_ids":["%s"],"user":{"id":"u1","name":"alice","domain":{"id":"default","name":"Default"}},`+
		`"project":{"id":"p1","name":"proj","domain":{"id":"default","name":"Default"}},"roles":[{"id":"r1","name":"member"}]%s}}`,
		epoch.Add(time.Hour).Format(time.RFC3339Nano), auditID, members)
}

func (f *fixture) sign(by *certstest.Signer, content string) []byte {
	f.t.Helper()
	der, err := cms.Sign([]byte(content), by.Cert, by.Key, crypto.SHA256)
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

func (f *fixture) pki(content string) string { return token.EncodePKI(f.sign(f.signer, content)) }

func (f *fixture) pkiz(content string) string {
	f.t.Helper()
	text, err := token.EncodePKIZ(f.sign(f.signer, content))
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

func md5Of(t testing.TB, text string) string {
	t.Helper()
	id, err := token.ID(text, "md5")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func entry(id, auditID string) revocation.Entry {
	return revocation.Entry{ID: id, AuditID: auditID, Expires: epoch.Add(time.Hour)}
}

// want asks about a token and compares the verdict: "" is accepted, anything else is the reason.
func want(t testing.TB, v *Validator, text string, reason Reason) *Verified {
	t.Helper()
	return wantRequest(t, v, Request{Token: text}, reason)
}

func wantRequest(t testing.TB, v *Validator, r Request, reason Reason) *Verified {
	t.Helper()
	got, err := v.Validate(context.Background(), r)
	if ReasonOf(err) != reason || (err == nil) != (reason == "") {
		t.Helper()
		t.Fatalf("got %v, want reason %q", err, reason)
	}
	if err != nil {
		sentinel := ErrInvalid
		if reason.Unavailable() {
			sentinel = ErrUnavailable
		}
		if !errors.Is(err, sentinel) || errors.Is(err, ErrInvalid) && errors.Is(err, ErrUnavailable) {
			t.Fatalf("%v does not wrap just %v", err, sentinel)
		}
		if got != nil {
			t.Fatal("a refused token came along with the error")
		}
	}
	return got
}

func TestAccepted(t *testing.T) {
	for _, kind := range []certstest.Kind{certstest.RSA, certstest.ECDSAP256, certstest.ECDSAP384} {
		f := newFixture(t, kind)
		v := f.validator()
		for _, text := range []string{f.pki(body("a1", "")), f.pkiz(body("a1", ""))} {
			for range 2 { // fresh, then from the cache
				got := want(t, v, text, "")
				if got.Token.User.Name != "alice" || got.Token.Project.ID != "p1" {
					t.Errorf("%+v", got.Token)
				}
			}
			want(t, v, "  \t"+text+" ", "")
		}
		if s := v.Stats(); s.Misses != 2 || s.Hits != 4 || s.Entries != 2 {
			t.Errorf("%+v", s)
		}
	}
}

func TestReasons(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator()
	good := f.pki(body("a1", ""))
	stranger := certstest.New(t).Issue(t, certstest.RSA)
	der := f.sign(f.signer, body("a1", ""))
	forged := append([]byte(nil), der...)
	forged[len(forged)-1] ^= 1
	late := f.issue(certstest.RSA, certstest.Valid(epoch.Add(time.Hour), epoch.Add(2*time.Hour)))
	f.signers.bundle = f.bundle(f.signer, late)
	for name, c := range map[string]struct {
		text string
		want Reason
	}{
		"nothing":              {"", Missing},
		"white space":          {" \t ", Missing},
		"a word":               {"admin", Malformed},
		"truncated":            {good[:len(good)-100], Malformed},
		"too large":            {good + strings.Repeat("A", 64<<10), TooLarge},
		"forged":               {token.EncodePKI(forged), BadSignature},
		"stranger":             {token.EncodePKI(f.sign(stranger, body("a1", ""))), UnknownSigner},
		"signer not yet valid": {token.EncodePKI(f.sign(late, body("a1", ""))), SignerExpired},
		"a revocation list":    {f.pki(`{"revoked":[]}`), NotAToken},
		"v2 without a tenant":  {f.pki(`{"access":{"token":{"expires":"2037-01-01T00:00:00Z"},"user":{"id":"u"}}}`), NoProject},
		"expired":              {f.pki(`{"token":{"expires_at":"2029-01-01T00:00:00Z","user":{"id":"u"}}}`), Expired},
		"uuid, nobody to ask":  {"0123456789abcdef0123456789abcdef", UnknownToken},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, v, c.text, c.want)
			want(t, v, c.text, c.want) // from the negative cache, where it is kept
		})
	}
}

func TestExpiresOnTheSecond(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator(func(o *Options) { o.CacheTTL = 2 * time.Hour })
	text := f.pki(body("a1", ""))
	want(t, v, text, "")
	f.clock.advance(time.Hour - time.Nanosecond)
	want(t, v, text, "")
	f.clock.advance(time.Nanosecond)
	want(t, v, text, Expired)
	want(t, f.validator(), text, Expired) // fresh
}

// TestRevokedWhileCached: a list that comes after the token was accepted takes effect on the next request.
func TestRevokedWhileCached(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator(func(o *Options) { o.HashAlgorithms = []string{"md5", "sha256"} })
	pki, pkiz := f.pki(body("own", "")), f.pkiz(body("own", ""))
	sha, err := token.ID(pki, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]revocation.Entry{
		"by md5": entry(md5Of(t, pki), "x"), "by sha256": entry(sha, "x"), "by audit id": entry("x", "own"),
	} {
		t.Run(name, func(t *testing.T) {
			f.lists.set()
			want(t, v, pki, "")
			want(t, v, pkiz, "")
			f.lists.set(e)
			want(t, v, pki, Revoked)
			want(t, v, pkiz, Revoked) // the same message in its other form
			f.lists.set(entry("another", "another"))
			want(t, v, pki, "")
		})
	}
}

// TestParentRevoked: revoking the first token of a chain refuses those that were got from it.
func TestParentRevoked(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator()
	text := f.pki(strings.Replace(body("own", ""), `["own"]`, `["own","first"]`, 1))
	want(t, v, text, "")
	f.lists.set(entry("x", "first"))
	want(t, v, text, Revoked)
}

// TestOtherECDSASignature: of a token revoked by id alone anybody can make a second one that verifies.
func TestOtherECDSASignature(t *testing.T) {
	f := newFixture(t, certstest.ECDSAP256)
	der := f.sign(f.signer, body("own", ""))
	message, err := cms.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	second, ok := message.OtherSpelling(f.signer.Cert.PublicKey)
	if !ok {
		t.Fatal("no second signature")
	}
	one, other := token.EncodePKI(der), token.EncodePKI(second.Append(nil))
	v := f.validator()
	want(t, v, one, "")
	want(t, v, other, "")
	for _, listed := range []string{one, other} {
		f.lists.set(entry(md5Of(t, listed), ""))
		want(t, v, one, Revoked)
		want(t, v, other, Revoked)
		want(t, f.validator(), one, Revoked) // fresh
		want(t, f.validator(), other, Revoked)
	}
}

func TestStaleList(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: body("own", "")}}
	for _, c := range []struct {
		policy revocation.Policy
		online Online
		list   bool
		want   Reason
	}{
		{"", nil, true, RevocationStale},
		{revocation.PolicyReject, online, true, RevocationStale},
		{revocation.PolicyOnline, nil, true, RevocationStale},
		{revocation.PolicyOnline, online, true, ""},
		{revocation.PolicyOnline, online, false, ""},
		{revocation.PolicyOnline, &identity{}, true, UnknownToken},
		{revocation.PolicyOnline, &identity{err: errors.New("down")}, true, IdentityUnavailable},
		{revocation.PolicyAccept, nil, true, ""},
		{revocation.PolicyAccept, nil, false, RevocationStale},
	} {
		t.Run(fmt.Sprintf("%s online %t list %t", c.policy, c.online != nil, c.list), func(t *testing.T) {
			f.lists.stale.Store(false)
			f.lists.set()
			v := f.validator(func(o *Options) { o.Stale, o.Online = c.policy, c.online })
			want(t, v, text, "") // fresh list
			f.lists.stale.Store(true)
			if !c.list {
				f.lists.list.Store(nil)
			}
			want(t, v, text, c.want)
			if c.policy == revocation.PolicyAccept && c.list {
				f.lists.set(entry("x", "own"))
				want(t, v, text, Revoked)
			}
		})
	}
}

func TestOnlineWordIsKept(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: body("own", "")}}
	v := f.validator(func(o *Options) { o.Stale, o.Online, o.CacheTTL = revocation.PolicyOnline, online, time.Minute })
	f.lists.stale.Store(true)
	for range 3 {
		want(t, v, text, "")
	}
	if n := online.asked.Load(); n != 1 {
		t.Errorf("asked %d times within token_cache_time, want 1", n)
	}
	delete(online.known, text)
	f.clock.advance(time.Minute)
	want(t, v, text, UnknownToken)
}

func TestAnotherUsersAnswer(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: strings.Replace(body("own", ""), `"u1"`, `"u2"`, 1)}}
	f.lists.stale.Store(true)
	want(t, f.validator(func(o *Options) { o.Stale, o.Online = revocation.PolicyOnline, online }), text, IdentityUnavailable)
}

func TestOpaqueTokens(t *testing.T) {
	const uuid, gone = "0123456789abcdef0123456789abcdef", "00000000000000000000000000000000"
	f := newFixture(t, certstest.RSA)
	online := &identity{known: map[string]string{uuid: body("own", "")}}
	v := f.validator(func(o *Options) { o.Online = online })
	for range 2 {
		if got := want(t, v, uuid, ""); got.Form != token.UUID || got.Token.User.ID != "u1" {
			t.Errorf("%+v", got)
		}
	}
	if n := online.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	want(t, v, gone, UnknownToken)
	for _, garbage := range []string{"x", strings.Repeat("z", 32), "gAAAAA", "../../etc/passwd"} {
		want(t, v, garbage, Malformed)
	}
	if n := online.asked.Load(); n != 2 {
		t.Errorf("asked %d times: text that cannot be a token was put to the Identity service", n)
	}
	online.err = errors.New("connection refused")
	want(t, v, gone, IdentityUnavailable)
	want(t, v, uuid, "") // still in the cache
	f.clock.advance(5 * time.Minute)
	want(t, v, uuid, IdentityUnavailable)
	online.err, online.known[uuid] = nil, `{"token":{}}`
	want(t, v, uuid, IdentityUnavailable) // an answer that is none
}

func TestNoPKIGoesOnline(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: body("own", "")}}
	f.signers.bundle = nil
	v := f.validator(func(o *Options) { o.Online, o.NoPKI = online, func() bool { return true } })
	want(t, v, text, "")
	if online.asked.Load() != 1 || f.signers.refreshes != 0 {
		t.Errorf("asked %d times, refreshed %d times", online.asked.Load(), f.signers.refreshes)
	}
}

// TestSignerLeaves: a signing certificate that is withdrawn takes its tokens along, cached ones too.
func TestSignerLeaves(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	second := f.issue(certstest.RSA)
	f.signers.bundle = f.bundle(f.signer, second)
	v := f.validator()
	one, two := f.pki(body("a", "")), token.EncodePKI(f.sign(second, body("b", "")))
	want(t, v, one, "")
	want(t, v, two, "")
	f.signers.bundle = f.bundle(second)
	want(t, v, one, UnknownSigner)
	want(t, v, two, "")
	f.signers.bundle = nil
	want(t, v, two, UnknownSigner)
}

func TestSignerExpiresWhileCached(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	short := f.issue(certstest.RSA, certstest.Valid(epoch.Add(-time.Hour), epoch.Add(time.Minute)))
	f.signers.bundle = f.bundle(short)
	v := f.validator()
	text := token.EncodePKI(f.sign(short, body("a", "")))
	want(t, v, text, "")
	f.clock.advance(61 * time.Second)
	want(t, v, text, SignerExpired)
}

// TestRollOver: the first token of a new signer brings its certificate, also where the old one has the same issuer and serial
// number; nothing is kept against the token.
func TestRollOver(t *testing.T) {
	for name, serials := range map[string][2]int64{"own serial numbers": {1, 2}, "the same serial number": {17, 17}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, certstest.RSA)
			old := f.issue(certstest.ECDSAP256, certstest.Serial(serials[0]))
			renewed := f.issue(certstest.RSA, certstest.Serial(serials[1]))
			f.signers.bundle = f.bundle(old)
			v := f.validator()
			text := token.EncodePKI(f.sign(renewed, body("a", "")))
			if serials[0] != serials[1] {
				f.signers.err = certs.ErrUnavailable
				want(t, v, text, SignerUnavailable)
				f.signers.err = nil
				want(t, v, text, UnknownSigner)
			} else {
				want(t, v, text, BadSignature)
			}
			f.signers.next = f.bundle(renewed, old)
			if serials[0] == serials[1] {
				// The refusal counts only for the certificates that it was made under.
				f.signers.bundle = f.signers.next
				if f.signers.bundle.Generation() == f.bundle(old).Generation() {
					f.clock.advance(refusalLife) // bundles made by hand are all of generation 1
				}
			}
			want(t, v, text, "")
			want(t, v, token.EncodePKI(f.sign(old, body("b", ""))), "")
		})
	}
}

func TestWeakDigest(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	der := f.sign(f.signer, body("a", ""))
	message, err := cms.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	message.Hash = crypto.SHA1
	want(t, f.validator(), token.EncodePKI(message.Append(nil)), WeakAlgorithm)
}

func TestAllowExpired(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: body("own", "")}}
	v := f.validator(func(o *Options) { o.Online, o.AllowExpiredWindow = online, 10*time.Hour })
	request := Request{Token: text, AllowExpired: true}
	f.clock.advance(time.Hour)
	want(t, v, text, Expired)
	wantRequest(t, v, request, "")
	if online.asked.Load() == 0 {
		t.Error("a list does not cover expired tokens, and nobody was asked")
	}
	wantRequest(t, f.validator(), request, Expired) // nobody to ask
	f.lists.set(entry("x", "own"))
	wantRequest(t, v, request, Revoked)
	f.lists.set()
	f.clock.advance(10*time.Hour - time.Nanosecond)
	wantRequest(t, v, request, "")
	f.clock.advance(time.Nanosecond)
	wantRequest(t, v, request, Expired)
}

func TestCacheIsBounded(t *testing.T) {
	f := newFixture(t, certstest.ECDSAP256)
	v := f.validator(func(o *Options) { o.CacheBytes = 64 << 10 })
	texts := make([]string, 50)
	for i := range texts {
		texts[i] = f.pki(body(fmt.Sprint("audit", i), ""))
		want(t, v, texts[i], "")
	}
	s := v.Stats()
	if s.Bytes > 64<<10 || s.Entries == 0 || s.Entries == len(texts) || s.Evicted != uint64(len(texts)-s.Entries) {
		t.Errorf("%+v", s)
	}
	want(t, v, texts[len(texts)-1], "")
	if got := v.Stats(); got.Hits != 1 {
		t.Errorf("the token used last is gone: %+v", got)
	}
	// What does not fit at all is accepted all the same.
	tiny := f.validator(func(o *Options) { o.CacheBytes = 10 })
	want(t, tiny, texts[0], "")
	off := f.validator(func(o *Options) { o.CacheTTL = 0 })
	want(t, off, texts[0], "")
	want(t, off, texts[0], "")
	if s := off.Stats(); s.Misses != 2 || s.Entries != 0 {
		t.Errorf("cache is off, but %+v", s)
	}
}

// TestHashCollision: a cache entry answers for the bytes it was made from and for no others, whatever the hash says.
func TestHashCollision(t *testing.T) {
	f := newFixture(t, certstest.ECDSAP256)
	v := f.validator()
	one, two := f.pki(body("a", "")), f.pki(body("b", ""))
	got := want(t, v, one, "")
	forged := &Verified{Token: got.Token, text: one, until: epoch.Add(time.Hour), cost: 1}
	v.cache.put(forged)
	forged.text = two // as if both texts had one hash
	if hit := v.cache.get(one, hashOf(one), epoch); hit != nil {
		t.Error("an entry answered for another text")
	}
}

// TestBuffersAreUsedAgain: what a token says, and its ids, stay as they are while others are decoded into the same buffers.
func TestBuffersAreUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, certstest.ECDSAP256)
	v := f.validator(func(o *Options) { o.CacheTTL = 0 })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				audit := fmt.Sprintf("audit-%d-%d-%s", g, i, strings.Repeat("x", g*i))
				der := f.sign(f.signer, body(audit, cloudCatalog))
				text := token.EncodePKI(der)
				if i%2 > 0 {
					var err error
					if text, err = token.EncodePKIZ(der); err != nil {
						t.Error(err)
					}
				}
				got, err := v.Validate(t.Context(), Request{Token: text})
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = v.Validate(t.Context(), Request{Token: token.EncodePKI(flip(der, len(der)-10))})
				alone, err := token.DecodePayload([]byte(body(audit, cloudCatalog)))
				if err != nil || !reflect.DeepEqual(got.Token, alone) {
					t.Errorf("%+v\nis not %+v (%v)", got.Token, alone, err)
				}
				if id, _ := token.ID(token.EncodePKI(der), "md5"); !slices.Contains(v.ids(got), id) {
					t.Errorf("ids %v without %s", v.ids(got), id)
				}
			}
		})
	}
	wg.Wait()
}

func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, certstest.RSA)
		gate := make(chan struct{})
		online := &slowIdentity{gate: gate, body: body("own", "")}
		v := f.validator(func(o *Options) { o.Online = online })
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, err := v.Validate(context.Background(), Request{Token: "0123456789abcdef0123456789abcdef"}); err != nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan error, 1)
		go func() {
			_, err := v.Validate(ctx, Request{Token: "0123456789abcdef0123456789abcdef"})
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; ReasonOf(err) != IdentityUnavailable {
			t.Errorf("a caller that went away got %v", err)
		}
		close(gate)
		group.Wait()
		if n := online.asked.Load(); n != 1 {
			t.Errorf("asked %d times for one token at one time", n)
		}
	})
}

func TestOnlineLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, certstest.RSA)
		gate := make(chan struct{})
		v := f.validator(func(o *Options) { o.Online, o.OnlineLimit = &slowIdentity{gate: gate, body: body("own", "")}, 4 })
		var group sync.WaitGroup
		var refused atomic.Int32
		for i := range 10 {
			group.Go(func() {
				if _, err := v.Validate(context.Background(), Request{Token: fmt.Sprintf("%032x", i)}); ReasonOf(err) == IdentityUnavailable {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		group.Wait()
		if n := refused.Load(); n != 6 {
			t.Errorf("%d of 10 refused, want 6 with a limit of 4", n)
		}
	})
}

type slowIdentity struct {
	gate  chan struct{}
	body  string
	asked atomic.Int32
}

func (s *slowIdentity) Validate(context.Context, string, bool) ([]byte, error) {
	s.asked.Add(1)
	<-s.gate
	return []byte(s.body), nil
}

// TestGarbageStorm sends many different bad tokens: nothing goes online, certificates are fetched no more than the store's
// cooldown lets, and what is kept of them is bounded.
func TestGarbageStorm(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	source := &countingSource{signing: f.signer.CertPEM, ca: f.ca.CertPEM()}
	store := &certs.Store{Source: source, AllowFetchedCA: true, Now: f.clock.now, Cooldown: time.Hour}
	if err := store.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(2 * time.Hour) // the cooldown after Load is over
	online := &identity{}
	f.options.Signers = store
	v := f.validator(func(o *Options) { o.Online = online })
	stranger := f.sign(certstest.New(t).Issue(t, certstest.RSA), body("a", ""))
	forged := f.sign(f.signer, body("a", ""))
	for i := range 10000 {
		var text string
		switch i % 5 {
		case 0:
			text = token.EncodePKI(flip(stranger, len(stranger)-1-i%200))
		case 1:
			text = token.EncodePKI(flip(forged, len(forged)-1-i%200))
		case 2:
			text = "MII" + strings.Repeat("A", 40+i%1000)
		case 3:
			text = "PKIZ_" + strings.Repeat("e", 40+i%1000)
		case 4:
			text = token.EncodePKI(flip(forged, i%len(forged)))
		}
		if _, err := v.Validate(context.Background(), Request{Token: text}); !errors.Is(err, ErrInvalid) {
			t.Fatalf("token %d: %v", i, err)
		}
	}
	if n := online.asked.Load(); n != 0 {
		t.Errorf("%d went online", n)
	}
	if n := source.fetches.Load(); n != 2 {
		t.Errorf("%d fetches: want the first and one more", n)
	}
	if s := v.Stats(); s.Entries != 0 {
		t.Errorf("garbage in the cache: %+v", s)
	}
}

// TestRefusalsAreBounded: whatever is refused, what is kept of it has its bound, in bytes.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	c, now := newRefusals(), time.Now()
	refused := refuse(BadSignature, nil)
	for i := range 3 * refusalBytes / 1024 {
		text := fmt.Sprint(i) + strings.Repeat("x", 1000)
		hash := hashOf(text)
		c.put(text, hash, refused, 1, now)
		c.put(text, hash, refused, 2, now)
		if c.get(text, hash, 2, now) != refused || c.get(text, hash, 1, now) != nil || c.get(text+"y", hash, 2, now) != nil || c.get(text, hash, 2, now.Add(refusalLife)) != nil {
			t.Fatalf("refusal %d", i)
		}
	}
	kept := 0
	for _, r := range c.entries.Values() {
		kept += len(r.text) + refusalFixed
	}
	if kept != c.bytes || kept > refusalBytes || kept < refusalBytes/2 {
		t.Errorf("refusals hold %d bytes, %d are counted, %d are the bound", kept, c.bytes, refusalBytes)
	}
}

func flip(der []byte, at int) []byte {
	changed := append([]byte(nil), der...)
	changed[at] ^= 0x40
	return changed
}

type countingSource struct {
	signing, ca []byte
	fetches     atomic.Int32
}

func (s *countingSource) Fetch(context.Context) (signing, ca []byte, err error) {
	s.fetches.Add(1)
	return s.signing, s.ca, nil
}

func TestNewRefuses(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no revocations": {func(o *Options) { o.Revocations = nil }, "insecure_skip_revocation"},
		"hash":           {func(o *Options) { o.HashAlgorithms = []string{"md4"} }, "hash_algorithms"},
		"policy":         {func(o *Options) { o.Stale = "maybe" }, "revocation_stale_policy"},
	} {
		o := f.options
		c.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	want(t, f.validator(func(o *Options) { o.Revocations, o.InsecureSkipRevocation = nil, true }), f.pki(body("a", "")), "")
}

func TestDerive(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	v := f.validator()
	text := f.pki(body("a", ""))
	made := 0
	make := func(t *keystone.Token) any { made++; return t.User.Name }
	for range 3 {
		if got := want(t, v, text, "").Derive(make); got != "alice" {
			t.Errorf("derived %v", got)
		}
	}
	if made != 1 {
		t.Errorf("made %d times, want once while the token is kept", made)
	}
}

// TestErrorsHoldNoToken: what is logged of a refusal must not be of use to whoever reads the log.
func TestErrorsHoldNoToken(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	online := &identity{err: errors.New("connection refused")}
	v := f.validator(func(o *Options) { o.Online = online })
	for _, text := range []string{
		f.pki(body("a", ""))[:500], "0123456789abcdef0123456789abcdef", "secret-word-as-token", "PKIZ_c2VjcmV0LXdvcmQtYXMtdG9rZW4",
		token.EncodePKI(flip(f.sign(f.signer, body("a", "")), 400)),
	} {
		_, err := v.Validate(context.Background(), Request{Token: text})
		if err == nil {
			t.Fatal("accepted")
		}
		for i := 0; i+16 <= len(text); i += 8 {
			if strings.Contains(err.Error(), text[i:i+16]) {
				t.Errorf("error text holds a part of the token: %v", err)
			}
		}
	}
}

// TestCachedTokenUnderNewCA: a CA is renewed with its key while tokens are in the cache. They count by the chain that there is
// now: neither do they end with the old CA certificate, nor outlive the new one.
func TestCachedTokenUnderNewCA(t *testing.T) {
	f := newFixture(t, certstest.ECDSAP256)
	old := certstest.New(t, certstest.Valid(epoch.Add(-time.Hour), epoch.Add(time.Minute)))
	renewed := func(until time.Time) *certstest.CA {
		return certstest.New(t, certstest.WithKey(old.Key), certstest.Valid(epoch.Add(-time.Hour), until))
	}
	f.signer = old.Issue(t, certstest.ECDSAP256)
	bundle := func(ca *certstest.CA) *certs.Bundle {
		b, err := certs.NewBundle([]*x509.Certificate{f.signer.Cert}, []*x509.Certificate{ca.Cert}, certs.Policy{}, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f.signers.bundle = bundle(old)
	v := f.validator()
	text := f.pki(body("own", ""))
	ask := func() Reason {
		_, err := v.Validate(t.Context(), Request{Token: text})
		return ReasonOf(err)
	}
	if got := ask(); got != "" {
		t.Fatalf("a good token: %s", got)
	}
	f.clock.advance(2 * time.Minute)
	if got := ask(); got != SignerExpired {
		t.Errorf("after the CA expired: %q", got)
	}
	f.signers.bundle = bundle(renewed(epoch.Add(time.Hour)))
	if got := ask(); got != "" {
		t.Errorf("under the renewed CA: %q", got)
	}
	f.signers.bundle = bundle(renewed(epoch.Add(90 * time.Second)))
	if got := ask(); got != SignerExpired {
		t.Errorf("under one that has expired: %q", got)
	}
	if v.Stats().Hits < 3 {
		t.Errorf("the token did not come from the cache: %+v", v.Stats())
	}
}

// TestFrontOfTheCache: what the cache has let go, or what has had its time, is not found by the way past its lock either.
func TestFrontOfTheCache(t *testing.T) {
	t.Parallel()
	c := newCache(10)
	entry := func(text string) *Verified {
		v := &Verified{text: text, until: epoch.Add(time.Millisecond), cost: 6}
		c.put(v)
		return v
	}
	get := func(text string, now time.Time) *Verified { return c.get(text, hashOf(text), now) }
	a := entry("a")
	for range 2 {
		if get("a", epoch) != a {
			t.Fatal("not found")
		}
	}
	if c.place(hashOf("a")).Load() != a {
		t.Error("not in front")
	}
	if got := c.near(hashOf("a")); got != "a" {
		t.Errorf("near it is %q", got)
	}
	c.place(hashOf("a")).Store(nil)
	if got := c.near(hashOf("a")); got != "a" {
		t.Errorf("near it, behind the front, is %q", got)
	}
	c.place(hashOf("x")).Store(a) // of another hash
	if got := c.near(hashOf("x")); got != "" {
		t.Errorf("near nothing is %q", got)
	}
	c.place(hashOf("x")).Store(nil)
	if again := entry("a"); get("a", epoch) != again {
		t.Error("the entry that was replaced is found")
	}
	if b := entry("b"); get("a", epoch) != nil || get("b", epoch) != b || get("b", epoch) != b {
		t.Error("what had to go is found, or what took its place is not")
	}
	if get("b", epoch.Add(time.Millisecond)) != nil {
		t.Error("an entry is found after its time")
	}
	if entries, bytes, _ := c.size(); entries != 0 || bytes != 0 || c.place(hashOf("b")).Load() != nil {
		t.Errorf("%d entries with %d bytes are left", entries, bytes)
	}
}
