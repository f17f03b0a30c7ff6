// Package revocation knows which tokens are revoked, and how old that knowledge is.
//
// An Identity service with PKI tokens publishes a signed revocation list (GET /v3/auth/tokens/OS-PKI/revoked). A Poller
// fetches it again and again, apart from any request, and believes it only if a pinned signing certificate signed it.
// Requests ask the current Snapshot, which never waits, and the Poller how old it is.
//
// The backend of this module numbers its lists, signs what is new since a number as a delta, and answers a question late, when
// there is something new (a long poll). Any other Keystone's list is fetched whole, again and again.
package revocation

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/strictjson"
)

var (
	// ErrMalformed says that a document is not a revocation list in a form that can be trusted to be read in one way only.
	ErrMalformed = errors.New("malformed revocation list")
	// ErrNotAList says that a document is the body of a token. Tokens are signed by the same key as the list, so whoever
	// can stand between us and the Identity service could send one in the list's place and revoke nothing.
	ErrNotAList = errors.New("not a revocation list: a token stands in its place")
	// ErrNotADelta says that a document is a whole list, or a token, where only what was added to a list has a place.
	ErrNotADelta = errors.New("not a delta of a revocation list")
)

// Entry is one entry of a revocation list. At least one of ID and AuditID is set.
type Entry = keystone.RevokedToken

// List is a revocation list as its signer wrote it.
type List struct {
	Entries []Entry
	// Issued and NextUpdate say when the list was made and when its signer means to have made another. Sequence counts
	// its changes. All three are extensions of the backend in this module; Keystone's lists have none of them, and then
	// they are zero.
	Issued     time.Time
	NextUpdate time.Time
	Sequence   uint64
}

// Delta is what was added to the list of sequence From to make that of sequence To. Where both are the same it is empty, and
// says that there is nothing new.
type Delta struct {
	From, To   uint64
	Added      []Entry
	Issued     time.Time
	NextUpdate time.Time
}

// maxID is the longest id and audit id in a list, in bytes. A SHA-512 in hex has 128, an audit id 22.
const maxID = 255

// maxMembers bounds the members of one object of a list.
const maxMembers = 32

// ParseList reads the signed content of a revocation list:
//
//	{"revoked": [{"id": "<hex hash of the token>", "audit_id": "<22 characters>", "expires": "2037-01-01T00:00:00Z"}]}
//
// Either of id and audit_id may be missing, and so may expires; members that are not known here are ignored. All else is
// strict: what two readers could understand differently (duplicate names, bytes after the end, text that is not UTF-8) is
// refused, and no content at all is not an empty list. Errors are ErrMalformed or ErrNotAList.
//
// An expires that cannot be read as a time is taken for none, so that the entry never ends: a bad date must not cost the
// revocation. The strings in the List share one copy of content.
func ParseList(content []byte) (*List, error) {
	d, err := parseDocument(content)
	switch {
	case err != nil:
		return nil, err
	case d.delta:
		return nil, fmt.Errorf("%w: a delta stands in the list's place", ErrMalformed)
	}
	return &d.List, nil
}

// ParseDelta reads the signed content of a delta, as strictly as ParseList does a list:
//
//	{"delta": {"from": 17, "to": 18}, "sequence": 18, "issued": "2037-01-01T00:00:00Z", "next_update": "2037-01-01T00:10:00Z",
//	 "added": [{"id": "<hex hash of the token>", "audit_id": "<22 characters>", "expires": "2037-01-01T01:00:00Z"}]}
//
// Errors are ErrMalformed or ErrNotADelta.
func ParseDelta(content []byte) (*Delta, error) {
	d, err := parseDocument(content)
	switch {
	case errors.Is(err, ErrNotAList):
		return nil, ErrNotADelta
	case err != nil:
		return nil, err
	case !d.delta:
		return nil, ErrNotADelta
	}
	return d.asDelta(), nil
}

// document is a list or a delta: what is signed says itself which it is.
type document struct {
	List     // of a delta, Entries are those added
	delta    bool
	from, to uint64
}

func (d *document) asDelta() *Delta {
	return &Delta{From: d.from, To: d.to, Added: d.Entries, Issued: d.Issued, NextUpdate: d.NextUpdate}
}

func parseDocument(content []byte) (*document, error) {
	p := listParser{r: strictjson.New(string(content), strictjson.Limits{Members: maxMembers})}
	if err := p.document(); err != nil {
		if errors.Is(err, ErrNotAList) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: byte %d: %w", ErrMalformed, p.r.Offset(), err)
	}
	return &p.read, nil
}

type listParser struct {
	r    strictjson.Reader
	read document
}

func (p *listParser) document() error {
	d, revoked, added := &p.read, false, false
	err := p.r.Object(func(name string) (err error) {
		switch name {
		case "token", "access":
			return ErrNotAList
		case "revoked":
			revoked = true
			return p.r.Array(p.entry)
		case "delta":
			d.delta = true
			return p.span()
		case "added":
			added = true
			return p.r.Array(p.entry)
		case "issued":
			d.Issued, err = p.timestamp(name)
			return err
		case "next_update":
			d.NextUpdate, err = p.timestamp(name)
			return err
		case "sequence":
			d.Sequence, err = p.r.Unsigned()
			return err
		}
		return p.r.Skip()
	})
	switch {
	case err != nil:
		return err
	case revoked && (d.delta || added):
		return errors.New("both a list and a delta")
	case d.delta || added:
		err = p.checkDelta(added)
	case !revoked:
		err = errors.New(`no "revoked" array`)
	}
	if err != nil {
		return err
	}
	return p.r.End()
}

// span reads {"from": 17, "to": 18}.
func (p *listParser) span() error {
	return p.r.Object(func(name string) (err error) {
		switch name {
		case "from":
			p.read.from, err = p.r.Unsigned()
			return err
		case "to":
			p.read.to, err = p.r.Unsigned()
			return err
		}
		return p.r.Skip()
	})
}

func (p *listParser) checkDelta(added bool) error {
	d := &p.read
	switch {
	case !d.delta || !added:
		return errors.New(`a delta has both "delta" and "added"`)
	case d.from == 0 || d.to < d.from || d.Sequence != d.to:
		return fmt.Errorf("a delta from %d to %d of sequence %d", d.from, d.to, d.Sequence)
	case d.from == d.to && len(d.Entries) > 0:
		return errors.New("a delta with entries but no step")
	case d.Issued.IsZero() || d.NextUpdate.IsZero():
		return errors.New(`a delta has both "issued" and "next_update"`)
	}
	return nil
}

func (p *listParser) entry() error {
	var e Entry
	err := p.r.Object(func(name string) (err error) {
		switch name {
		case "id":
			e.ID, err = p.id()
			return err
		case "audit_id":
			e.AuditID, err = p.id()
			return err
		case "expires":
			text, err := p.r.OptionalText()
			e.Expires, _ = parseTime(text)
			return err
		}
		return p.r.Skip()
	})
	if err == nil && e.ID == "" && e.AuditID == "" {
		err = errors.New("neither id nor audit_id")
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", len(p.read.Entries), err)
	}
	p.read.Entries = append(p.read.Entries, e)
	return nil
}

func (p *listParser) id() (string, error) {
	id, err := p.r.OptionalText()
	if err == nil && len(id) > maxID {
		err = fmt.Errorf("an id of %d bytes, more than %d", len(id), maxID)
	}
	return id, err
}

func (p *listParser) timestamp(name string) (time.Time, error) {
	text, err := p.r.OptionalText()
	if err != nil || text == "" {
		return time.Time{}, err
	}
	t, ok := parseTime(text)
	if !ok {
		return time.Time{}, fmt.Errorf("%s is not a time like 2037-01-01T00:00:00Z", name)
	}
	return t, nil
}

// parseTime reads the spellings of ISO 8601 that Keystones have used: with or without a fraction, an offset or Z, which is
// what a missing one means.
func parseTime(text string) (time.Time, bool) {
	layout := time.RFC3339
	if len(text) >= len("2006-01-02T15:04:05") && !strings.ContainsAny(text[len("2006-01-02"):], "Z+-") {
		layout = "2006-01-02T15:04:05"
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}
