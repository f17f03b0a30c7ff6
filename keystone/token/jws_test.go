package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"authproxy/certs/cms"
)

func jwsKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

const (
	jwsHeader  = `{"alg":"ES256","typ":"JWT"}`
	jwsPayload = `{"sub":"5e","iat":1893553445,"exp":1893557045,"openstack_methods":["password"],"openstack_audit_ids":["a"],"openstack_project_id":"p"}`
)

func signJWS(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	signed := jwsEncoding.EncodeToString([]byte(header)) + "." + jwsEncoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	size := (key.Params().BitSize + 7) / 8
	return signed + "." + jwsEncoding.EncodeToString(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

func TestVerifyJWS(t *testing.T) {
	t.Parallel()
	key, old, p384 := jwsKey(t, elliptic.P256()), jwsKey(t, elliptic.P256()), jwsKey(t, elliptic.P384())
	keys := []*ecdsa.PublicKey{&p384.PublicKey, &old.PublicKey, &key.PublicKey}
	good := signJWS(t, key, jwsHeader, jwsPayload)
	for _, text := range []string{good, signJWS(t, old, `{"typ":"JWT","alg":"ES256","kid":"1"}`, jwsPayload), signJWS(t, key, `{"alg":"ES256"}`, jwsPayload)} {
		got, err := VerifyJWS(text, keys)
		if err != nil || got.UserID != "5e" || !got.ExpiresAt.Equal(time.Unix(1893557045, 0)) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if FormOf(text) != JWS {
			t.Errorf("form %v", FormOf(text))
		}
	}

	parts := strings.Split(good, ".")
	raw, _ := jwsEncoding.DecodeString(parts[2])
	zeros := jwsEncoding.EncodeToString(make([]byte, 64))
	swapped := jwsEncoding.EncodeToString(append(raw[32:64:64], raw[:32]...))
	order := jwsEncoding.EncodeToString(append(raw[:32:32], new(big.Int).Set(elliptic.P256().Params().N).FillBytes(make([]byte, 32))...))
	none := jwsEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"no signature":      {parts[0] + "." + parts[1] + ".", ErrMalformed},
		"two parts":         {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":        {good + "." + parts[2], ErrMalformed},
		"nothing":           {"", ErrMalformed},
		"padding":           {good + "==", ErrMalformed},
		"line end":          {good[:20] + "\n" + good[20:], ErrMalformed},
		"not base64url":     {strings.Replace(good, parts[2][:1], "+", 1), ErrMalformed},
		"alg none":          {none + "." + parts[1] + ".", ErrMalformed},
		"alg none, signed":  {none + "." + parts[1] + "." + parts[2], ErrMalformed},
		"alg HS256":         {signJWS(t, key, `{"alg":"HS256","typ":"JWT"}`, jwsPayload), ErrMalformed},
		"alg es256":         {signJWS(t, key, `{"alg":"es256"}`, jwsPayload), ErrMalformed},
		"alg twice":         {signJWS(t, key, `{"alg":"none","alg":"ES256"}`, jwsPayload), ErrMalformed},
		"no alg":            {signJWS(t, key, `{"typ":"JWT"}`, jwsPayload), ErrMalformed},
		"crit":              {signJWS(t, key, `{"alg":"ES256","crit":["exp"]}`, jwsPayload), ErrMalformed},
		"b64":               {signJWS(t, key, `{"alg":"ES256","b64":false}`, jwsPayload), ErrMalformed},
		"other typ":         {signJWS(t, key, `{"alg":"ES256","typ":"JWE"}`, jwsPayload), ErrMalformed},
		"header, then more": {signJWS(t, key, jwsHeader+"{}", jwsPayload), ErrMalformed},
		"on P-384":          {signJWS(t, p384, jwsHeader, jwsPayload), ErrMalformed},
		"stranger":          {signJWS(t, jwsKey(t, elliptic.P256()), jwsHeader, jwsPayload), cms.ErrSignature},
		"zeros":             {parts[0] + "." + parts[1] + "." + zeros, cms.ErrSignature},
		"r and s swapped":   {parts[0] + "." + parts[1] + "." + swapped, cms.ErrSignature},
		"s is the order":    {parts[0] + "." + parts[1] + "." + order, cms.ErrSignature},
		"other payload":     {parts[0] + "." + jwsEncoding.EncodeToString([]byte(strings.Replace(jwsPayload, "5e", "5f", 1))) + "." + parts[2], cms.ErrSignature},
		"no JSON":           {signJWS(t, key, jwsHeader, "x"), ErrNotAToken},
		"no sub":            {signJWS(t, key, jwsHeader, `{"exp":1893557045}`), ErrNotAToken},
		"no exp":            {signJWS(t, key, jwsHeader, `{"sub":"5e"}`), ErrNotAToken},
		"exp is no number":  {signJWS(t, key, jwsHeader, `{"sub":"5e","exp":"1893557045"}`), ErrNotAToken},
		"exp for ever":      {signJWS(t, key, jwsHeader, `{"sub":"5e","exp":18446744073709551615}`), ErrNotAToken},
		"sub twice":         {signJWS(t, key, jwsHeader, `{"sub":"5e","sub":"5f","exp":1893557045}`), ErrNotAToken},
	} {
		if got, err := VerifyJWS(tt.text, keys); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, tt.want)
		}
	}
	if _, err := VerifyJWS(good, nil); !errors.Is(err, cms.ErrSignature) {
		t.Errorf("no keys: %v", err)
	}
}

// FuzzVerifyJWS: nothing is accepted but what was signed here, up to the second signature that the key verifies too (r, n−s).
func FuzzVerifyJWS(f *testing.F) {
	key := jwsKey(f, elliptic.P256())
	good := signJWS(f, key, jwsHeader, jwsPayload)
	f.Add(good)
	f.Add(good + ".")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30.")
	signed, _, _ := cutLast(good)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := VerifyJWS(text, []*ecdsa.PublicKey{&key.PublicKey}); err == nil && !strings.HasPrefix(text, signed+".") {
			t.Errorf("accepted %q", text)
		}
	})
}
