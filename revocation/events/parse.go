package events

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"authproxy/keystone/strictjson"
)

// ErrMalformed says that a document is not a list of events in a form that can be trusted to be read in one way only.
var ErrMalformed = errors.New("malformed revocation events")

// attribute is one by which an event names tokens.
type attribute uint8

const (
	userID attribute = iota
	roleID
	projectID
	domainID
	domainScopeID
	auditID
	auditChainID
	trustID
	consumerID
	accessTokenID
	expiresAt
	attributes // how many there are
)

// names are those of the API; expiresAt, which is no text, is not among them.
var names = map[string]attribute{
	"user_id": userID, "role_id": roleID, "project_id": projectID, "domain_id": domainID, "domain_scope_id": domainScopeID,
	"audit_id": auditID, "audit_chain_id": auditChainID, "OS-TRUST:trust_id": trustID,
	"OS-OAUTH1:consumer_id": consumerID, "OS-OAUTH1:access_token_id": accessTokenID,
}

// mask is a set of attributes.
type mask uint16

func (m mask) has(a attribute) bool { return m&(1<<a) != 0 }

// Event is one revocation event: it ends the tokens that have all its attributes and were issued at IssuedBefore or earlier.
type Event struct {
	has     mask
	text    [expiresAt]string // by attribute
	expires int64             // of expiresAt: seconds since 1970
	// IssuedBefore is in whole microseconds.
	IssuedBefore time.Time
}

const (
	// maxValue is the longest value of an attribute, in bytes; ids have at most 64.
	maxValue = 255
	// maxEvents bounds what one answer may hold.
	maxEvents = 4 << 20
)

// Parse reads what an Identity service answers to GET /v3/OS-REVOKE/events:
//
//	{"events": [{"user_id": "…", "issued_before": "2015-02-27T18:30:59.999999Z"}], "links": {"next": null, …}}
//
// It is as strict as the reader of revocation lists. An event without issued_before is an error, and so is a further page, since
// there is none in this API. An attribute that is not known here is left out, so that the event ends more tokens rather than
// fewer; where no other is left, nobody can say what the event is about, and that is an error. Errors are ErrMalformed.
func Parse(content []byte) ([]Event, error) {
	p := parser{r: strictjson.New(string(content), strictjson.Limits{Members: 64})}
	if err := p.document(); err != nil {
		return nil, fmt.Errorf("%w: byte %d: %w", ErrMalformed, p.r.Offset(), err)
	}
	return p.events, nil
}

type parser struct {
	r      strictjson.Reader
	events []Event
}

func (p *parser) document() error {
	found := false
	err := p.r.Object(func(name string) error {
		switch name {
		case "events":
			found = true
			return p.r.Array(p.event)
		case "links":
			return p.links()
		}
		return p.r.Skip()
	})
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New(`no "events" array`)
	}
	return p.r.End()
}

func (p *parser) links() error {
	if p.r.Next() == 'n' {
		return p.r.Skip()
	}
	return p.r.Object(func(name string) error {
		if name == "next" && p.r.Next() != 'n' {
			return errors.New("there is a further page")
		}
		return p.r.Skip()
	})
}

func (p *parser) event() error {
	if len(p.events) == maxEvents {
		return fmt.Errorf("more than %d events", maxEvents)
	}
	var e Event
	strange := ""
	err := p.r.Object(func(name string) error {
		a, known := names[name]
		switch {
		case known:
			return p.text(&e, a)
		case name == "expires_at":
			at, given, err := p.time()
			if given {
				e.has |= 1 << expiresAt
				e.expires = at.Unix()
			}
			return err
		case name == "issued_before":
			at, _, err := p.time()
			e.IssuedBefore = at.Truncate(time.Microsecond)
			return err
		case name == "revoked_at" || name == "id" || name == "links":
			return p.r.Skip() // says nothing about tokens
		}
		if p.r.Next() != 'n' {
			strange = name
		}
		return p.r.Skip()
	})
	switch {
	case err != nil:
	case e.IssuedBefore.IsZero():
		err = errors.New("no issued_before")
	case e.has == 0 && strange != "":
		err = fmt.Errorf("of its attributes none is known, such as %q", strange[:min(len(strange), 40)])
	}
	if err != nil {
		return fmt.Errorf("event %d: %w", len(p.events), err)
	}
	p.events = append(p.events, e)
	return nil
}

// text takes the value of an attribute; null counts as absent, and so does "", which no token has.
func (p *parser) text(e *Event, a attribute) error {
	value, err := p.r.OptionalText()
	switch {
	case err != nil:
		return err
	case len(value) > maxValue:
		return fmt.Errorf("a value of %d bytes, more than %d", len(value), maxValue)
	case value != "":
		e.has |= 1 << a
		e.text[a] = value
	}
	return nil
}

// time takes a time in one of the spellings of ISO 8601 that Keystones have used; a missing offset means UTC. Microseconds fit
// into an int64 for all of them.
func (p *parser) time() (at time.Time, given bool, err error) {
	text, err := p.r.OptionalText()
	if err != nil || text == "" {
		return time.Time{}, false, err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if at, err = time.Parse(layout, text); err == nil && !strings.ContainsRune(text, ',') {
			return at.UTC(), true, nil
		}
	}
	return time.Time{}, false, errors.New("not a time like 2037-01-01T00:00:00.000000Z")
}
