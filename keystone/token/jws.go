package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"authproxy/certs/cms"
	"authproxy/keystone/strictjson"
)

// Claims are what a token of Keystone's provider jws says itself. Names, roles and catalog are with the Identity service, and so is
// whether it was revoked.
type Claims struct {
	UserID    string
	ExpiresAt time.Time
}

// VerifyJWS reads a token in the form of a JWS in compact serialisation (RFC 7515) that was signed by ES256 (RFC 7518,
// section 3.4) with one of the keys, all on P-256. Nothing of what it says is read before the signature holds. Errors wrap
// ErrMalformed, cms.ErrSignature, or ErrNotAToken for what is signed but is no token.
func VerifyJWS(text string, keys []*ecdsa.PublicKey) (*Claims, error) {
	signed, signatureText, _ := cutLast(text)
	headerText, payloadText, ok := strings.Cut(signed, ".")
	if !ok || strings.Contains(payloadText, ".") {
		return nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	var parts [3][]byte
	for i, part := range []string{headerText, payloadText, signatureText} {
		var err error
		if parts[i], err = jwsEncoding.DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, fmt.Errorf("%w: a part is not base64url", ErrMalformed)
		}
	}
	if err := checkJWSHeader(string(parts[0])); err != nil {
		return nil, err
	}
	const size = 32 // of a number on P-256
	if len(parts[2]) != 2*size {
		return nil, fmt.Errorf("%w: a signature of %d bytes", ErrMalformed, len(parts[2]))
	}
	r, s := new(big.Int).SetBytes(parts[2][:size]), new(big.Int).SetBytes(parts[2][size:])
	digest := sha256.Sum256([]byte(signed))
	for _, key := range keys {
		if key.Curve == elliptic.P256() && ecdsa.Verify(key, digest[:], r, s) {
			return readJWS(string(parts[1]))
		}
	}
	return nil, cms.ErrSignature
}

var jwsEncoding = base64.RawURLEncoding.Strict()

func cutLast(text string) (before, after string, found bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

var jwsLimits = strictjson.Limits{Nesting: 8, Members: 64}

// checkJWSHeader wants ES256. What a header asks readers to understand ("crit") nobody here does.
func checkJWSHeader(text string) error {
	alg := ""
	r := strictjson.New(text, jwsLimits)
	err := r.Object(func(name string) (err error) {
		switch name {
		case "alg":
			alg, err = r.Text()
			return err
		case "typ":
			var typ string
			if typ, err = r.Text(); err == nil && !strings.EqualFold(typ, "JWT") {
				err = errors.New("typ is not JWT")
			}
			return err
		case "crit", "b64":
			return errors.New("it asks for " + name)
		}
		return r.Skip()
	})
	if err == nil {
		err = r.End()
	}
	if err == nil && alg != "ES256" {
		err = errors.New("alg is not ES256")
	}
	if err != nil {
		return fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	return nil
}

func readJWS(text string) (*Claims, error) {
	var t Claims
	var expires uint64
	r := strictjson.New(text, jwsLimits)
	err := r.Object(func(name string) (err error) {
		switch name {
		case "sub":
			t.UserID, err = r.Text()
		case "exp":
			expires, err = r.Unsigned()
		default:
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotAToken, err)
	case t.UserID == "":
		return nil, fmt.Errorf("%w: no sub", ErrNotAToken)
	case expires == 0 || expires > math.MaxInt32*100:
		return nil, fmt.Errorf("%w: no exp that can be", ErrNotAToken)
	}
	t.ExpiresAt = time.Unix(int64(expires), 0).UTC()
	return &t, nil
}
