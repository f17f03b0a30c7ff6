// Package revocation knows which tokens are revoked, and how old that knowledge is.
//
// An Identity service with PKI tokens publishes a signed revocation list (GET /v3/auth/tokens/OS-PKI/revoked). A Poller
// fetches it again and again, apart from any request, and believes it only if a pinned signing certificate signed it.
// Requests ask the current Snapshot, which never waits, and the Poller how old it is.
package revocation

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"authproxy/keystone"
)

var (
	// ErrMalformed says that a document is not a revocation list in a form that can be trusted to be read in one way only.
	ErrMalformed = errors.New("malformed revocation list")
	// ErrNotAList says that a document is the body of a token. Tokens are signed by the same key as the list, so whoever
	// can stand between us and the Identity service could send one in the list's place and revoke nothing.
	ErrNotAList = errors.New("not a revocation list: a token stands in its place")
)

// Entry is one entry of a revocation list. At least one of ID and AuditID is set.
type Entry = keystone.RevokedToken

// List is a revocation list as its signer wrote it.
type List struct {
	Entries []Entry
	// Issued and NextUpdate say when the list was made and when its signer means to have made another. Sequence counts
	// its lists. All three are extensions of the backend in this module; Keystone's lists have none of them, and then
	// they are zero.
	Issued     time.Time
	NextUpdate time.Time
	Sequence   uint64
}

const (
	// maxID is the longest id and audit id in a list, in bytes. A SHA-512 in hex has 128, an audit id 22.
	maxID = 255
	// maxMembers bounds the members of one JSON object, so that looking for duplicate names stays linear in the input.
	maxMembers = 32
)

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
	p := listParser{r: jsonReader{s: string(content)}}
	if err := p.document(); err != nil {
		if errors.Is(err, ErrNotAList) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: byte %d: %w", ErrMalformed, p.r.i, err)
	}
	return &p.list, nil
}

type listParser struct {
	r    jsonReader
	list List
}

func (p *listParser) document() error {
	revoked := false
	err := p.r.object(func(name string) (err error) {
		switch name {
		case "token", "access":
			return ErrNotAList
		case "revoked":
			revoked = true
			return p.r.array(p.entry)
		case "issued":
			p.list.Issued, err = p.timestamp(name)
			return err
		case "next_update":
			p.list.NextUpdate, err = p.timestamp(name)
			return err
		case "sequence":
			p.list.Sequence, err = p.r.unsigned()
			return err
		}
		return p.r.skip()
	})
	if err != nil {
		return err
	}
	if !revoked {
		return errors.New(`no "revoked" array`)
	}
	return p.r.end()
}

func (p *listParser) entry() error {
	var e Entry
	err := p.r.object(func(name string) (err error) {
		switch name {
		case "id":
			e.ID, err = p.id()
			return err
		case "audit_id":
			e.AuditID, err = p.id()
			return err
		case "expires":
			text, err := p.r.optionalString()
			e.Expires, _ = parseTime(text)
			return err
		}
		return p.r.skip()
	})
	if err == nil && e.ID == "" && e.AuditID == "" {
		err = errors.New("neither id nor audit_id")
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", len(p.list.Entries), err)
	}
	p.list.Entries = append(p.list.Entries, e)
	return nil
}

func (p *listParser) id() (string, error) {
	id, err := p.r.optionalString()
	if err == nil && len(id) > maxID {
		err = fmt.Errorf("an id of %d bytes, more than %d", len(id), maxID)
	}
	return id, err
}

func (p *listParser) timestamp(name string) (time.Time, error) {
	text, err := p.r.optionalString()
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
