package tokens

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone"
)

const (
	// maxDelta is how many entries a delta may have; who is further behind gets the whole list, which is made once for all.
	maxDelta = 1 << 16
	// keptDeltas are how many deltas of one state are kept for the next who asks for the same, none longer than maxKeptDelta
	// bytes.
	keptDeltas   = 16
	maxKeptDelta = 1 << 20
)

// revokedEntry is one member of a revocation list. ID is left out of the short list.
type revokedEntry struct {
	ID      string `json:"id,omitempty"`
	Expires string `json:"expires"`
	AuditID string `json:"audit_id"`
}

// shortList is the list that can be given out unsigned: without ids it helps nobody to make a token.
type shortList struct {
	Revoked []revokedEntry `json:"revoked"`
}

// validity is what a list and a delta say about themselves.
type validity struct {
	Issued     string `json:"issued"`
	Sequence   int64  `json:"sequence"`
	NextUpdate string `json:"next_update"`
}

type wholeList struct {
	Revoked []revokedEntry `json:"revoked"`
	validity
}

// deltaList is what came after step From up to step To. It has no member "revoked", so that nobody takes it for a list.
type deltaList struct {
	Delta struct {
		From int64 `json:"from"`
		To   int64 `json:"to"`
	} `json:"delta"`
	validity
	Added []revokedEntry `json:"added"`
}

func (s ListState) validity() validity {
	return validity{Issued: s.Issued.UTC().Format(time.RFC3339), Sequence: s.Sequence, NextUpdate: s.NextUpdate().UTC().Format(time.RFC3339)}
}

func revokedEntries(revoked []keystone.RevokedToken, auditIDOnly bool) []revokedEntry {
	entries := make([]revokedEntry, 0, len(revoked))
	for _, r := range revoked {
		// Whole seconds, as in Keystone's list; rounded up, so that no reader drops an entry before its token ends.
		e := revokedEntry{ID: r.ID, AuditID: r.AuditID, Expires: r.Expires.Add(time.Second - time.Microsecond).Format(time.RFC3339)}
		if auditIDOnly {
			e.ID = ""
		}
		entries = append(entries, e)
	}
	return entries
}

// ShortRevocationList is the JSON text {"revoked": […]} of all tokens that are revoked, until the window after their expiry is
// over, by audit id alone.
func (m *Manager) ShortRevocationList(ctx context.Context) ([]byte, error) {
	state, err := m.Store.ListState(ctx)
	if err != nil {
		return nil, err
	}
	revoked, err := m.Store.RevokedTokens(ctx, Steps{UpTo: state.Sequence}, m.Now().Add(-m.Revoker.Window))
	if err != nil {
		return nil, err
	}
	return json.Marshal(shortList{revokedEntries(revoked, true)})
}

// RevocationState is what the revocation list is at. It is renewed where it is due, and where this server signs with another
// key than before. Without a signing certificate the error wraps ErrNoCertificate.
func (m *Manager) RevocationState(ctx context.Context) (ListState, error) {
	state, _, err := m.listState(ctx)
	return state, err
}

func (m *Manager) listState(ctx context.Context) (ListState, *certs.SigningPair, error) {
	pair, err := m.Keys.Load()
	if err != nil {
		return ListState{}, nil, err
	}
	d := &m.documents
	d.pair.CompareAndSwap(nil, pair)
	state, err := m.Store.ListState(ctx)
	if err != nil || !state.due(m.Now()) && d.pair.Load() == pair {
		return state, pair, err
	}
	d.renewing.Lock()
	defer d.renewing.Unlock()
	if state, err = m.Store.ListState(ctx); err != nil || !state.due(m.Now()) && d.pair.Load() == pair {
		return state, pair, err // somebody else has done it
	}
	next := state.Renew(m.Now())
	switch renewed, err := m.Store.RenewList(ctx, state, next); {
	case err != nil && m.Now().Before(state.NextUpdate()):
		m.log().WarnContext(ctx, "revocation list not renewed yet", slog.Any("error", err), slog.Time("next_update", state.NextUpdate()))
		return state, pair, nil
	case err != nil:
		return ListState{}, nil, err
	case renewed:
		state = next
	default: // another server, or a revocation, was faster
		if state, err = m.Store.ListState(ctx); err != nil {
			return ListState{}, nil, err
		}
	}
	d.pair.Store(pair)
	return state, pair, nil
}

// Document is a signed document about revoked tokens, as the body of an answer: {"signed": "-----BEGIN CMS-----…"}.
type Document struct {
	State ListState
	Body  []byte
}

// WholeList as the step that a client is at asks for the whole list.
const WholeList int64 = 0

// SignedRevocations is the signed revocation list or, for a client that has the list of step since, the delta from there
// (which may add nothing). Each is made and signed once for a state of the list and a signing certificate, however many ask.
func (m *Manager) SignedRevocations(ctx context.Context, since int64) (Document, error) {
	state, pair, err := m.listState(ctx)
	if err != nil {
		return Document{}, err
	}
	if since < 1 || since > state.Sequence {
		since = WholeList
	}
	doc, err := m.document(ctx, state, pair, since)
	if err == nil && doc.Body == nil { // more than a delta holds
		doc, err = m.document(ctx, state, pair, WholeList)
	}
	return doc, err
}

// documents are those of one state, signed by one certificate.
type documents struct {
	renewing sync.Mutex
	pair     atomic.Pointer[certs.SigningPair] // that the list in force is signed by

	mu     sync.Mutex
	state  ListState
	signer *certs.SigningPair
	made   map[int64]*made // by the step that they lead on from
}

// made is a document in the making, or made.
type made struct {
	mu   sync.Mutex
	body []byte
}

// slot is the place of a document. A state that is behind the one that others ask for is not gone back to.
func (d *documents) slot(state ListState, signer *certs.SigningPair, since int64) (ListState, *made) {
	d.mu.Lock()
	defer d.mu.Unlock()
	behind := state.Sequence < d.state.Sequence || state.Sequence == d.state.Sequence && state.Issued.Before(d.state.Issued)
	switch {
	case behind && d.signer == signer && !d.state.ahead(state.Issued):
		state = d.state
	case d.state != state || d.signer != signer:
		d.state, d.signer, d.made = state, signer, map[int64]*made{}
	}
	if _, there := d.made[since]; !there {
		if since != WholeList && len(d.made) > keptDeltas {
			d.dropOldest()
		}
		d.made[since] = new(made)
	}
	return state, d.made[since]
}

func (d *documents) dropOldest() {
	oldest := int64(-1)
	for since := range d.made {
		if since != WholeList && (oldest < 0 || since < oldest) {
			oldest = since
		}
	}
	delete(d.made, oldest)
}

func (d *documents) drop(since int64, slot *made) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[since] == slot {
		delete(d.made, since)
	}
}

// document makes a document, or waits for whoever is making the same. A delta that would be too long has no Body.
func (m *Manager) document(ctx context.Context, state ListState, pair *certs.SigningPair, since int64) (Document, error) {
	state, slot := m.documents.slot(state, pair, since)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.body != nil {
		return Document{state, slot.body}, nil
	}
	content, err := m.content(ctx, state, since)
	if err != nil || content == nil {
		m.documents.drop(since, slot)
		return Document{State: state}, err
	}
	der, err := sign(pair, content)
	if err != nil {
		return Document{}, err
	}
	body, err := json.Marshal(struct {
		Signed string `json:"signed"`
	}{string(cms.EncodePEM(der))})
	if err != nil {
		return Document{}, err
	}
	slot.body = body
	if since != WholeList && len(body) > maxKeptDelta {
		m.documents.drop(since, slot)
	}
	return Document{state, body}, nil
}

// content is what is signed: the list of that state, or the delta that leads to it, which is nil where it would be too long.
func (m *Manager) content(ctx context.Context, state ListState, since int64) ([]byte, error) {
	steps := Steps{After: since, UpTo: state.Sequence}
	if since != WholeList {
		steps.Most = maxDelta + 1
	}
	revoked, err := m.Store.RevokedTokens(ctx, steps, state.Issued.Add(-m.Revoker.Window))
	if err != nil {
		return nil, err
	}
	if since == WholeList {
		return json.Marshal(wholeList{revokedEntries(revoked, false), state.validity()})
	}
	if len(revoked) > maxDelta {
		return nil, nil
	}
	delta := deltaList{validity: state.validity(), Added: revokedEntries(revoked, false)}
	delta.Delta.From, delta.Delta.To = since, state.Sequence
	return json.Marshal(delta)
}
