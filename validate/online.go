package validate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/token"
)

// findOpaque gives the verified token for a text that only the Identity service can judge.
func (v *Validator) findOpaque(ctx context.Context, text string, form token.Form, allowExpired bool, client string) (*Verified, *Error) {
	share := v.elders != nil && form != token.PKI && form != token.PKIZ
	a, refused := v.ask(ctx, text, allowExpired, share, client)
	if refused != nil {
		return nil, refused
	}
	return v.keep(&Verified{Token: a.token, Form: form, text: text}, a.size, a.since), nil
}

// vouch accepts a signed token on the Identity service's word, which is good for token_cache_time.
func (v *Validator) vouch(ctx context.Context, verified *Verified, now time.Time, expired bool, client string) *Error {
	if now.UnixNano() < verified.vouched.Load() {
		return nil
	}
	a, refused := v.ask(ctx, verified.text, expired, false, client)
	if refused != nil {
		return refused
	}
	if a.token.User.ID != verified.Token.User.ID {
		return refuse(IdentityUnavailable, errors.New("the Identity service's answer is about another user's token"))
	}
	if v.o.CacheTTL > 0 {
		verified.vouched.Store(now.Add(v.o.CacheTTL).UnixNano())
	}
	return nil
}

// answer is what the Identity service says about a token. It is shared by all who asked at the same time.
type answer struct {
	token *keystone.Token
	size  int       // of the body
	since time.Time // when the service said it; zero: not known
}

// ask puts a token to the Identity service, once for all who ask at the same time, and with a bound on how many at once. With
// share, the answer may be one that others have kept, and is kept for them.
func (v *Validator) ask(ctx context.Context, text string, allowExpired, share bool, client string) (*answer, *Error) {
	digest := sha256.Sum256([]byte(text))
	var mine atomic.Bool // it is this call that asks for all
	flight := v.flights.DoChan(fmt.Sprintf("online %t %t %s", allowExpired, share, digest[:]), func() (any, error) {
		mine.Store(true)
		ctx := context.WithoutCancel(ctx) // the first caller's going away must not end it
		if share {
			if a := v.shared(ctx, text); a != nil {
				return a, nil
			}
		}
		a := &answer{since: v.o.Now()}
		body, err := v.question(ctx, text, allowExpired, client)
		if err != nil {
			return nil, err
		}
		if a.token, err = v.catalogs.DecodePayload(body); err != nil {
			return nil, fmt.Errorf("reading the Identity service's answer: %w", err)
		}
		a.size = len(body)
		if share {
			v.share(ctx, text, body, a)
		}
		return a, nil
	})
	select {
	case <-ctx.Done():
		return nil, refuse(IdentityUnavailable, ctx.Err())
	case result := <-flight:
		if errors.Is(result.Err, ErrInvalid) {
			return nil, refuse(UnknownToken, nil)
		}
		if errors.As(result.Err, new(errClientBusy)) {
			if !mine.Load() {
				return v.ask(ctx, text, allowExpired, share, client)
			}
			return nil, refuse(ClientBusy, result.Err)
		}
		if result.Err != nil {
			return nil, refuse(IdentityUnavailable, result.Err)
		}
		return result.Val.(*answer), nil
	}
}

// question is one question to the Identity service, if there is a place for it, and one for this client.
func (v *Validator) question(ctx context.Context, text string, allowExpired bool, client string) ([]byte, error) {
	if err := v.clients.enter(client); err != nil {
		return nil, err
	}
	defer v.clients.leave(client)
	select {
	case v.asking <- struct{}{}:
		defer func() { <-v.asking }()
	default:
		return nil, errors.New("too many questions to the Identity service are under way")
	}
	v.counters.online.Add(1)
	return v.o.Online.Validate(ctx, text, allowExpired)
}
