package validate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"authproxy/keystone/token"
)

// vouch accepts a signed token on the Identity service's word, which is good for token_cache_time.
func (v *Validator) vouch(ctx context.Context, verified *Verified, now time.Time, expired bool) *Error {
	if now.UnixNano() < verified.vouched.Load() {
		return nil
	}
	body, refused := v.ask(ctx, verified.text, expired)
	if refused != nil {
		return refused
	}
	t, err := token.DecodePayload(body)
	if err != nil {
		return refuse(IdentityUnavailable, fmt.Errorf("reading the Identity service's answer: %w", err))
	}
	if t.User.ID != verified.Token.User.ID {
		return refuse(IdentityUnavailable, errors.New("the Identity service's answer is about another user's token"))
	}
	if v.o.CacheTTL > 0 {
		verified.vouched.Store(now.Add(v.o.CacheTTL).UnixNano())
	}
	return nil
}

// ask puts a token to the Identity service, once for all who ask at the same time, and with a bound on how many at once.
func (v *Validator) ask(ctx context.Context, text string, allowExpired bool) ([]byte, *Error) {
	digest := sha256.Sum256([]byte(text))
	flight := v.flights.DoChan(fmt.Sprintf("online %t %s", allowExpired, digest[:]), func() (any, error) {
		select {
		case v.asking <- struct{}{}:
			defer func() { <-v.asking }()
		default:
			return nil, errors.New("too many questions to the Identity service are under way")
		}
		v.counters.online.Add(1)
		return v.o.Online.Validate(context.WithoutCancel(ctx), text, allowExpired)
	})
	select {
	case <-ctx.Done():
		return nil, refuse(IdentityUnavailable, ctx.Err())
	case result := <-flight:
		if errors.Is(result.Err, ErrInvalid) {
			return nil, refuse(UnknownToken, nil)
		}
		if result.Err != nil {
			return nil, refuse(IdentityUnavailable, result.Err)
		}
		return result.Val.([]byte), nil
	}
}
