package validate

import (
	"errors"

	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// checkJWS refuses a JWS token that its keys did not sign, or that has expired, before anybody is asked about it.
func (v *Validator) checkJWS(text string, allowExpired bool) *Error {
	claims, err := token.VerifyJWS(text, v.o.JWSKeys())
	switch {
	case errors.Is(err, cms.ErrSignature):
		return refuse(BadSignature, err)
	case errors.Is(err, token.ErrNotAToken):
		return refuse(NotAToken, err)
	case err != nil:
		return refuse(Malformed, err)
	}
	end := claims.ExpiresAt
	if allowExpired {
		end = end.Add(v.o.AllowExpiredWindow)
	}
	if !v.o.Now().Before(end) {
		return refuse(Expired, nil)
	}
	return nil
}
