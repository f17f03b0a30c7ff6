package validate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

func jws(t *testing.T, key *ecdsa.PrivateKey, expires time.Time) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(fmt.Appendf(nil, `{"sub":"5e","exp":%d,"openstack_methods":["password"]}`, expires.Unix()))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// TestJWS: a token that its keys did not sign, or that has expired, never goes online; the Identity service has the last word on
// all others.
func TestJWS(t *testing.T) {
	t.Parallel()
	f := newFixture(t, certstest.ECDSAP256)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, revoked := jws(t, key, epoch.Add(time.Hour)), jws(t, key, epoch.Add(time.Hour))
	justNow, longAgo := jws(t, key, epoch), jws(t, key, epoch.Add(-48*time.Hour))
	online := &identity{known: map[string]string{good: body("a", ""), justNow: body("b", ""), longAgo: body("c", "")}}
	keys := []*ecdsa.PublicKey{&key.PublicKey}
	v := f.validator(func(o *Options) {
		o.Online, o.JWSKeys, o.CacheTTL = online, func() []*ecdsa.PublicKey { return keys }, 0
	})
	for _, tt := range []struct {
		name, text   string
		allowExpired bool
		asked        int32
		want         Reason // "" for accepted
	}{
		{"good", good, false, 1, ""},
		{"not known", revoked, false, 1, UnknownToken},
		{"forged", jws(t, stranger, epoch.Add(time.Hour)), false, 0, BadSignature},
		{"cut", good[:len(good)-2], false, 0, Malformed},
		{"expired", justNow, false, 0, Expired},
		{"expired, for a service", justNow, true, 1, ""},
		{"expired long ago, for a service", longAgo, true, 0, Expired},
	} {
		before := online.asked.Load()
		_, err := v.Validate(context.Background(), Request{Token: tt.text, AllowExpired: tt.allowExpired})
		if ReasonOf(err) != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if asked := online.asked.Load() - before; asked != tt.asked {
			t.Errorf("%s: asked %d times, want %d", tt.name, asked, tt.asked)
		}
	}
	keys = nil // the key is gone
	if _, err := v.Validate(context.Background(), Request{Token: good}); !errors.Is(err, ErrInvalid) || ReasonOf(err) != BadSignature {
		t.Errorf("without its key: %v", err)
	}
}
