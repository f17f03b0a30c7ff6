package revocation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

var (
	// errReplayed says that a list is older than the one in force.
	errReplayed = errors.New("an older revocation list was sent")
	// errFuture says that a list was made later than it can be. It comes along with ErrMalformed.
	errFuture = errors.New("issued in the future: the clock here or that of the Identity service is wrong")
	// errGap says that a delta does not go on where the list in force ends, or that "nothing new" was said of another list.
	errGap = errors.New("the delta does not continue the revocation list in force")
	// errDelta says that a delta came for a whole list.
	errDelta = errors.New("a delta was sent for the whole revocation list")
)

// maxAhead is how far the signer's clock may be ahead of ours.
const maxAhead = 5 * time.Minute

// update is what a round makes of an answer.
type update struct {
	kind   kind
	next   *state
	added  []Entry // by a delta
	signed []byte
	before [sha256.Size]byte // sum of what a delta continues
}

// kind is what an answer was.
type kind int

const (
	wholeList kind = iota
	sameList       // the content that is in force already
	aDelta
	emptyDelta
	notModified
)

// message is signed content whose signature holds.
type message struct {
	content []byte
	sum     [sha256.Size]byte
	signer  *certs.Signer
}

// open checks a signature. Nothing of the content is looked at before it holds.
func (p *Poller) open(ctx context.Context, signed []byte) (message, error) {
	der, err := cms.DecodePEM(signed)
	if err != nil {
		return message{}, fmt.Errorf("revocation list: %w", err)
	}
	sd, err := cms.Parse(der)
	if err != nil {
		return message{}, fmt.Errorf("revocation list: %w", err)
	}
	signer, err := p.verify(ctx, &sd)
	if err != nil {
		return message{}, fmt.Errorf("revocation list: %w", err)
	}
	return message{sd.Content, sha256.Sum256(sd.Content), signer}, nil
}

// read makes an update of an answer to somebody who said that he has this.
func (p *Poller) read(ctx context.Context, a Answer, have Have) (*update, error) {
	old := p.current.Load()
	if a.NotModified {
		if old == nil || have.ETag == "" {
			return nil, &fetchError{errors.New(`"not modified" was the answer to a question for the whole list`)}
		}
		// Nothing is signed here. What was signed before has to be good still.
		if !old.owned(p.Verifier.Current()) || !old.validAt(p.now()) {
			return nil, fmt.Errorf("%w: its signer does not count any more", errGap)
		}
		next := old.next()
		next.fromDisk = false
		return &update{kind: notModified, next: next}, nil
	}
	m, err := p.open(ctx, a.Signed)
	if err != nil {
		return nil, err
	}
	now := p.now()
	if old != nil && old.sum == m.sum && !old.renewed && old.usable(now) { // the signer may be another one
		next := old.next()
		next.signers, next.etag, next.fromDisk = []*certs.Signer{m.signer}, a.ETag, false
		return &update{kind: sameList, next: next, signed: a.Signed}, nil
	}
	d, err := parseDocument(m.content)
	if err != nil {
		return nil, err
	}
	if d.Issued.After(now.Add(maxAhead)) {
		return nil, fmt.Errorf("%w: %w (%s)", ErrMalformed, errFuture, d.Issued.Format(time.RFC3339))
	}
	var u *update
	if d.delta {
		if have.Sequence == 0 || old == nil {
			return nil, errDelta
		}
		u, err = old.apply(d, m)
	} else {
		u, err = p.replace(old, d, m, now)
	}
	if err != nil {
		return nil, err
	}
	u.next.etag, u.signed = a.ETag, a.Signed
	return u, nil
}

// replace makes a whole list what is in force. It must not be older than old, nor than what was on disk at the start.
func (p *Poller) replace(old *state, d *document, m message, now time.Time) (*update, error) {
	least, issued := p.floor, time.Time{}
	if old != nil {
		least, issued = max(least, old.sequence), old.issued
	}
	switch {
	case d.Sequence == 0 && least > 0:
		return nil, fmt.Errorf("%w: it has no sequence number, and the one in force has %d%s", errReplayed, least, anew)
	case d.Sequence < least:
		return nil, fmt.Errorf("%w: it has the sequence number %d, and the one in force has %d%s", errReplayed, d.Sequence, least, anew)
	case d.Sequence > 0 && d.Issued.Before(issued):
		return nil, fmt.Errorf("%w: it was issued at %s, and the one in force at %s", errReplayed, d.Issued.Format(time.RFC3339), issued.Format(time.RFC3339))
	}
	return &update{kind: wholeList, next: &state{
		snapshot: newSnapshot(d.Entries, p.keepFrom(now, d.Issued)),
		signers:  []*certs.Signer{m.signer},
		sum:      m.sum, built: now,
		sequence: d.Sequence, issued: d.Issued, nextUpdate: d.NextUpdate,
	}}, nil
}

// anew tells the operator what to do about a number that went back for a good reason.
const anew = "; if the Identity service was set up anew, remove revoked.pem from signing_dir and restart"

// apply makes a delta a part of what is in force. The entries are in the update and not in its state, since the layers of st may
// change meanwhile.
func (st *state) apply(d *document, m message) (*update, error) {
	switch {
	case d.from != st.sequence:
		return nil, fmt.Errorf("%w: it begins at %d, and that has the sequence number %d", errGap, d.from, st.sequence)
	case d.from == d.to && d.Issued.Before(st.issued):
		return nil, fmt.Errorf("%w: it was issued at %s, and that at %s", errGap, d.Issued.Format(time.RFC3339), st.issued.Format(time.RFC3339))
	}
	next := st.next()
	next.signedBy(m.signer)
	next.fromDisk = false
	next.nextUpdate = d.NextUpdate
	if d.Issued.After(next.issued) {
		next.issued = d.Issued
	}
	if d.from == d.to {
		next.renewed = true
		return &update{kind: emptyDelta, next: next, before: st.sum}, nil
	}
	next.sequence, next.sum = d.to, chain(st.sum, m.sum)
	return &update{kind: aDelta, next: next, added: d.Entries, before: st.sum}, nil
}

// chain is the sum of a list and a delta.
func chain(list, delta [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append(list[:], delta[:]...))
}

// usable says that an index need not be built anew: its content is the same, and no time has passed (or was taken back) that
// would change much about which entries can be left out.
func (st *state) usable(now time.Time) bool {
	age := now.Round(0).Sub(st.built.Round(0))
	return 0 <= age && age < rebuildAfter
}

// verify finds the signer. Where the pinned certificates do not do, it asks once whether there are newer ones: after a
// rotation the next list often comes before the next fetch of certificates, and the new certificate may have the issuer and
// serial number of the old one.
func (p *Poller) verify(ctx context.Context, sd *cms.SignedData) (*certs.Signer, error) {
	bundle := p.Verifier.Current()
	signer, err := bundle.Verify(sd, p.now())
	if !errors.Is(err, certs.ErrUnknownSigner) && !errors.Is(err, certs.ErrSignature) && !errors.Is(err, certs.ErrSignerExpired) {
		return signer, err
	}
	ctx, cancel := context.WithTimeout(ctx, or(p.Timeout, DefaultTimeout))
	defer cancel()
	newer, refreshErr := p.Verifier.Refresh(ctx, bundle)
	if newer != bundle {
		if signer, err = newer.Verify(sd, p.now()); err == nil {
			return signer, nil
		}
	}
	if refreshErr != nil {
		return nil, fmt.Errorf("%w; newer signing certificates: %w", err, refreshErr)
	}
	return nil, err
}
