package validate

import "errors"

// RevokedBy says what told that a token is revoked. The set is closed, so that it can be a metric label.
type RevokedBy string

// All of them.
const (
	// RevokedByID: the list has the hash of the text presented.
	RevokedByID RevokedBy = "id"
	// RevokedByCanonicalID: the list has the hash of another text that the token may have been issued in.
	RevokedByCanonicalID RevokedBy = "canonical_id"
	// RevokedByAuditID: the list has one of the token's audit ids.
	RevokedByAuditID RevokedBy = "audit_id"
	// RevokedByEvent: an event ended it.
	RevokedByEvent RevokedBy = "event"
)

const (
	byID = iota
	byCanonicalID
	byAuditID
	byEvent
)

// revokedBy is every RevokedBy with what the log says.
var revokedBy = [...]struct {
	kind  RevokedBy
	cause error
}{
	byID:          {RevokedByID, errors.New("the list has its id")},
	byCanonicalID: {RevokedByCanonicalID, errors.New("the list has the id of the same token in another text")},
	byAuditID:     {RevokedByAuditID, errors.New("the list has its audit id")},
	byEvent:       {RevokedByEvent, errors.New("a revocation event ended it")},
}

func (v *Validator) refuseRevoked(by int) *Error {
	v.counters.revoked[by].Add(1)
	return refuse(Revoked, revokedBy[by].cause)
}
