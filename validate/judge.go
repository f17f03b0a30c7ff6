package validate

import (
	"context"
	"errors"
	"time"

	"authproxy/revocation"
	"authproxy/validate/bind"
)

// judge decides about this request, whether or not the token came from the cache.
func (v *Validator) judge(ctx context.Context, verified *Verified, r Request) *Error {
	now := v.o.Now()
	expired := !now.Before(verified.Token.ExpiresAt)
	if expired && (!r.AllowExpired || !now.Before(verified.Token.ExpiresAt.Add(v.o.AllowExpiredWindow))) {
		return refuse(Expired, nil)
	}
	// Like the list: fresh first, since events that come in between are newer than what was found fresh.
	eventsStale := v.o.Events != nil && v.o.Events.Offered() && !v.o.Events.Fresh(now)
	if v.o.Events != nil && v.o.Events.Current().Revoked(verified.Token) {
		return v.refuseRevoked(byEvent)
	}
	if verified.signer != nil {
		if refused := v.standing(verified, now); refused != nil {
			return refused
		}
		if refused := v.revoked(ctx, verified, now, expired, eventsStale, r.Client); refused != nil {
			return refused
		}
	}
	if err := v.allowed(verified.Token, r); err != nil {
		return refuse(AccessRules, err)
	}
	if err := v.bound(verified, r); err != nil {
		return refuse(Bind, err)
	}
	return nil
}

func (v *Validator) bound(verified *Verified, r Request) error {
	mode := v.o.Bind
	if r.Bind != nil {
		mode = *r.Bind
	}
	if r.InsecureSkipBind || mode == bind.Disabled {
		return nil
	}
	peer := r.Peer
	if r.Identify != nil && len(verified.Token.Bind) > 0 {
		peer = r.Identify()
	}
	return mode.Check(verified.Token.Bind, peer)
}

// standing says whether the signer of a verified token still counts.
func (v *Validator) standing(verified *Verified, now time.Time) *Error {
	// Its validity is that of the chain it has now: that of the time when the token was verified may have had another CA.
	signer := v.o.Signers.Current().Find(verified.signer)
	if signer == nil {
		return refuse(UnknownSigner, errors.New("the certificate that signed the token is no longer a signing certificate"))
	}
	if !signer.ValidAt(now) {
		return refuse(SignerExpired, nil)
	}
	return nil
}

// eventsInstead says that there is no list, and that the events are all there is to know.
func (v *Validator) eventsInstead() bool {
	return v.o.Events != nil && v.o.Events.Offered() && v.o.NoList != nil && v.o.NoList()
}

// revoked looks a signed token up in what is known of revocations, and puts it to the Identity service where that cannot decide.
func (v *Validator) revoked(ctx context.Context, verified *Verified, now time.Time, expired, eventsStale bool, client string) *Error {
	if v.o.Revocations == nil {
		return nil // InsecureSkipRevocation
	}
	// In this order: a list that comes in between is newer than what was found fresh, never older.
	fresh := v.o.Revocations.Fresh(now)
	list := v.o.Revocations.Current()
	if !list.Empty() { // else the hashes of the text need not be made
		for i, id := range v.ids(verified) {
			if list.ContainsID(id) {
				if i < len(v.o.HashAlgorithms) {
					return v.refuseRevoked(byID)
				}
				return v.refuseRevoked(byCanonicalID)
			}
		}
	}
	for _, id := range verified.Token.AuditIDs {
		if list.ContainsAuditID(id) {
			return v.refuseRevoked(byAuditID)
		}
	}
	known := list != nil
	if !known && v.eventsInstead() {
		fresh, known = true, true
	}
	if !fresh || eventsStale {
		switch {
		case v.o.Stale == revocation.PolicyOnline && v.o.Online != nil:
			return v.vouch(ctx, verified, now, expired, client)
		case v.o.Stale == revocation.PolicyAccept && known:
		default:
			return refuse(RevocationStale, nil)
		}
	}
	decidable, listed := v.decidable(verified, list)
	switch {
	case listed:
		return v.refuseRevoked(byCanonicalID)
	case expired:
		// Lists commonly forget tokens that have expired, so an absent one says nothing.
		if v.o.Online != nil {
			return v.vouch(ctx, verified, now, expired, client)
		}
		return refuse(Expired, errors.New("the revocation list does not cover expired tokens"))
	case decidable:
		return nil
	case v.o.UndecidableOnline && v.o.Online != nil:
		return v.vouch(ctx, verified, now, expired, client)
	}
	return refuse(Undecidable, errors.New("the revocation list names tokens by id alone, and this token can have been issued in a text that is not known here"))
}
