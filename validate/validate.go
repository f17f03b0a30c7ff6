// Package validate decides whether a token may be accepted, and says what it says.
//
// PKI and PKIZ tokens are decided here, from the signing certificates and the revocation list at hand; other forms are put to
// the Identity service. What is cached is the verified token, never the verdict: expiry, revocation, the standing of the
// signer and the binding are judged on every request.
package validate

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"authproxy/certs"
	"authproxy/keystone"
	"authproxy/keystone/token"
	"authproxy/revocation"
	"authproxy/revocation/events"
	"authproxy/validate/bind"
	"authproxy/validate/stripe"
)

// Signers gives the signing certificates that count. *certs.Store is one.
type Signers interface {
	Current() *certs.Bundle
	// Refresh fetches the certificates again, unless that was done within the cooldown or they are no longer the ones in
	// seen. An error says that they could not be had, so that what is unknown stays unknown.
	Refresh(ctx context.Context, seen *certs.Bundle) (*certs.Bundle, error)
}

// Revocations gives what is known of revoked tokens. *revocation.Poller is one.
type Revocations interface {
	Current() *revocation.Snapshot
	// Fresh says whether that knowledge is young enough to be relied on.
	Fresh(now time.Time) bool
}

// Events gives what is known of tokens that ended by what happened. *events.Poller is one.
type Events interface {
	Current() *events.Set
	// Fresh says whether that knowledge is young enough to be relied on.
	Fresh(now time.Time) bool
	// Offered says whether the Identity service has events at all.
	Offered() bool
}

// Online asks the Identity service about a token.
type Online interface {
	// Validate gives the body that the service has for the token ({"token": …} or {"access": …}). An error that wraps
	// ErrInvalid says that the service does not know the token; any other one, that it could not be asked.
	Validate(ctx context.Context, text string, allowExpired bool) (body []byte, err error)
}

// Shared keeps for other processes what the Identity service said about a token. Its word counts like the service's own for as
// long as token_cache_time, so it must give only what one of those processes kept for that very token.
type Shared interface {
	// Get gives the body, and when the service gave it; the zero time where that is not known.
	Get(ctx context.Context, text string) (body []byte, since time.Time, ok bool)
	// Set keeps a body that the service gave at since, for ttl at most.
	Set(ctx context.Context, text string, body []byte, since time.Time, ttl time.Duration)
}

// Options is what a Validator is made of. The zero value decides nothing offline and nothing online.
type Options struct {
	// Signers is nil where PKI is off: signed tokens are then put to the Identity service like any other.
	Signers Signers
	// Revocations may be nil only with InsecureSkipRevocation.
	Revocations            Revocations
	InsecureSkipRevocation bool
	// Stale says what is done with signed tokens while the list is not fresh. Without any list yet PolicyAccept is PolicyReject.
	Stale revocation.Policy
	// NoList says that the Identity service has told that it keeps no list of revoked tokens, and never gave one. Then the
	// events alone say which are revoked, if it has those. nil: it has a list.
	NoList func() bool
	// Events may be nil. They end tokens of every form. Where the Identity service has them they are as needed for signed tokens as
	// the list is: when they are not fresh, Stale says what is done.
	Events Events
	// NoPKI says that this Identity service has no PKI, so that signed tokens are put to it like any other. nil: it has.
	NoPKI func() bool
	// JWSKeys gives the public keys, on P-256, that sign JWS tokens. What they did not sign, and what has expired, is then refused
	// without asking the Identity service, which knows the rest. nil: it is asked about each.
	JWSKeys func() []*ecdsa.PublicKey
	// Online is nil where there is no Identity service: tokens that need one are refused.
	Online Online
	// OnlineLimit is how many questions to the Identity service may be under way at once; 32 by default.
	OnlineLimit int
	// OnlineLimitClient is how many of these may be for one client; half of OnlineLimit by default.
	OnlineLimitClient int
	// Shared is asked before the Identity service about UUID, Fernet and JWS tokens; it may be nil. Signed tokens never go there:
	// a signature is verified faster than memcached answers, and what others wrote is no proof of it.
	Shared Shared

	Limits token.Limits
	// HashAlgorithms are those by which a revocation list may name tokens; md5 by default.
	HashAlgorithms []string
	// Provider gives the form of the tokens that this cloud issues, Unknown where that is not known. It matters only where a
	// revocation list names tokens by id alone: see decidable.
	Provider func() token.Form
	// UndecidableOnline puts tokens that the revocation list cannot decide to the Identity service, if there is one.
	UndecidableOnline bool

	Bind bind.Mode
	// ServiceType is the upstream's type in catalogs; without it tokens with access rules are refused.
	ServiceType string
	// AllowExpiredWindow is for how long after its expiry a token may still count where a request allows expired ones; 48 h by
	// default.
	AllowExpiredWindow time.Duration

	// CacheTTL is for how long a verified token is kept at most; 0 or less keeps none.
	CacheTTL time.Duration
	// CacheBytes bounds what kept tokens hold; 64 MiB by default.
	CacheBytes int
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Request is one question.
type Request struct {
	// Token is the text as it stood in the header.
	Token string
	// AllowExpired lets a token count for some time after its expiry; a valid service token gives this right.
	AllowExpired bool
	// Method and Path (decoded, as the client sent it) are what the token is to be used for; they matter to access rules alone.
	Method, Path string
	// SkipAccessRules leaves the access rules unchecked: a valid service token says that the request is one of a chain, which
	// its user did not choose.
	SkipAccessRules bool
	// Peer is how the sender is authenticated besides the token.
	Peer bind.Peer
	// Identify, if it is set, gives the Peer instead. It is called only for a bound token that holds otherwise, so that what
	// only costs time need not be done for others.
	Identify func() bind.Peer
	// Client is the address of who sends the request, "" where that says nothing: see Options.OnlineLimitClient.
	Client string
	// Bind is the mode for this request; nil: that of the Validator.
	Bind *bind.Mode
	// InsecureSkipBind leaves the binding unchecked: whoever vouches for the request answers for that.
	InsecureSkipBind bool
}

// Verified is an accepted token. It is shared between the requests that present it: read only.
type Verified struct {
	Token *keystone.Token
	Form  token.Form

	text  string
	hash  uint64    // of text, in the cache
	until time.Time // end of its time in the cache
	cost  int       // bytes it holds
	// touched is the second in which the cache last moved it up.
	touched atomic.Int64

	// For tokens with a signature.
	signer  *certs.Signer
	known   known
	stock   stock
	vouched atomic.Int64 // Unix nanoseconds until which the Identity service's word for it is good; 0: none

	derive  sync.Once
	derived any
}

// Derive gives what f makes of the token, made once for as long as the token is kept. There is room for one f.
func (v *Verified) Derive(f func(*keystone.Token) any) any {
	v.derive.Do(func() { v.derived = f(v.Token) })
	return v.derived
}

// Validator decides about tokens. It is safe for concurrent use, starts nothing and holds nothing to be closed.
type Validator struct {
	o        Options
	cache    *cache // nil: off
	refused  *refusals
	flights  singleflight.Group
	catalogs token.Catalogs
	elders   *elders // nil: nothing is shared
	asking   chan struct{}
	clients  *clients
	counters counters
}

type counters struct {
	hits, misses, negative stripe.Counter
	online                 atomic.Uint64
	revoked                [len(revokedBy)]atomic.Uint64
}

// Stats are figures since the start, and of this moment.
type Stats struct {
	// Hits, Misses and NegativeHits count look-ups in the cache; Online counts questions to the Identity service.
	Hits, Misses, NegativeHits, Online uint64
	// Revoked counts refusals of revoked tokens by what told of the revocation: see RevokedBy.
	Revoked map[RevokedBy]uint64
	// Evicted counts tokens that left the cache for want of room.
	Evicted uint64
	// Entries and Bytes are what the cache holds now.
	Entries, Bytes int
}

// New makes a Validator, or says which option is wrong.
func New(o Options) (*Validator, error) {
	if o.Signers != nil && o.Revocations == nil && !o.InsecureSkipRevocation {
		return nil, errors.New("signed tokens are to be decided here, but there is no source of revocations; to go without one takes the insecure_skip_revocation option")
	}
	if len(o.HashAlgorithms) == 0 {
		o.HashAlgorithms = []string{"md5"}
	}
	for _, name := range o.HashAlgorithms {
		if _, err := token.ID("", name); err != nil {
			return nil, fmt.Errorf("hash_algorithms: %w", err)
		}
	}
	stale, err := revocation.ParsePolicy(string(o.Stale))
	if err != nil {
		return nil, fmt.Errorf("revocation_stale_policy: %w", err)
	}
	o.Stale = stale
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.OnlineLimit <= 0 {
		o.OnlineLimit = 32
	}
	if o.OnlineLimitClient <= 0 {
		o.OnlineLimitClient = max(1, o.OnlineLimit/2)
	}
	if o.AllowExpiredWindow == 0 {
		o.AllowExpiredWindow = 48 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Validator{o: o, refused: newRefusals(), asking: make(chan struct{}, o.OnlineLimit), clients: newClients(o.OnlineLimitClient)}
	if o.CacheTTL > 0 {
		v.cache = newCache(o.CacheBytes)
		if o.Shared != nil {
			v.elders = newElders()
		}
	}
	return v, nil
}

// Stats gives the figures for metrics and status pages.
func (v *Validator) Stats() Stats {
	s := Stats{
		Hits: uint64(v.counters.hits.Load()), Misses: uint64(v.counters.misses.Load()),
		NegativeHits: uint64(v.counters.negative.Load()), Online: v.counters.online.Load(),
		Revoked: map[RevokedBy]uint64{},
	}
	for i, by := range revokedBy {
		s.Revoked[by.kind] = v.counters.revoked[i].Load()
	}
	if v.cache != nil {
		s.Entries, s.Bytes, s.Evicted = v.cache.size()
	}
	return s
}

// Validate decides about one token. The error is an *Error, which wraps ErrInvalid or ErrUnavailable.
func (v *Validator) Validate(ctx context.Context, r Request) (*Verified, error) {
	text := strings.Trim(r.Token, " \t\r\n")
	switch {
	case text == "":
		return nil, refuse(Missing, nil)
	case len(text) > v.maxText():
		return nil, refuse(TooLarge, fmt.Errorf("%d bytes of text, %d are allowed", len(text), v.maxText()))
	}
	verified, refused := v.find(ctx, text, r.AllowExpired, r.Client)
	if refused == nil {
		refused = v.judge(ctx, verified, r)
	}
	if refused != nil {
		return nil, refused
	}
	return verified, nil
}

// Near gives the text of a kept token that may be the one in text, "" where there is none: a server that has to make a string of what it
// received can take this one instead, if it is the same. It says nothing of the token.
func (v *Validator) Near(text []byte) string {
	if v.cache == nil {
		return ""
	}
	return v.cache.near(maphash.Bytes(seed, text))
}

// offline says whether signed tokens are decided here.
func (v *Validator) offline() bool {
	return v.o.Signers != nil && (v.o.NoPKI == nil || !v.o.NoPKI())
}

func (v *Validator) maxText() int {
	if v.o.Limits.Text > 0 {
		return v.o.Limits.Text
	}
	return 64 << 10
}

// find gives the verified token for text: from the cache, or by verifying it now, once for all who ask at the same time.
func (v *Validator) find(ctx context.Context, text string, allowExpired bool, client string) (*Verified, *Error) {
	hash := hashOf(text)
	if v.cache != nil {
		if hit := v.cache.get(text, hash, v.o.Now()); hit != nil {
			v.counters.hits.Add(1)
			return hit, nil
		}
	}
	v.counters.misses.Add(1)

	form := token.FormOf(text)
	switch {
	case form == token.Unknown:
		return nil, refuse(Malformed, errors.New("text has the form of no token"))
	case (form == token.PKI || form == token.PKIZ) && v.offline():
		return v.findSigned(ctx, text, hash, form)
	case v.o.Online == nil:
		return nil, refuse(UnknownToken, fmt.Errorf("%s tokens are validated by an Identity service, and none is configured", form))
	}
	if form == token.JWS && v.o.JWSKeys != nil {
		if refused := v.checkJWS(text, allowExpired); refused != nil {
			return nil, refused
		}
	}
	return v.findOpaque(ctx, text, form, allowExpired, client)
}

// keep puts a token into the cache until its expiry or the end of token_cache_time since it was verified, whichever is first.
func (v *Validator) keep(verified *Verified, payload int, since time.Time) *Verified {
	verified.until = since.Add(v.o.CacheTTL)
	if expires := verified.Token.ExpiresAt; expires.Before(verified.until) {
		verified.until = expires
	}
	// The payload is held as text, as structure, and as the headers that are made of it.
	const fixed = 1024
	verified.cost = len(verified.text) + 3*payload + fixed
	if v.cache != nil && v.o.Now().Before(verified.until) {
		v.cache.put(verified)
	}
	return verified
}
