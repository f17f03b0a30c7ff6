package validate

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid says that the token must not be accepted: 401.
	ErrInvalid = errors.New("token is not valid")
	// ErrUnavailable says that nobody here can tell whether the token is valid: 503.
	ErrUnavailable = errors.New("token validity cannot be determined")
)

// Reason says why a token was not accepted. The set is closed, so that a Reason can be a metric label.
type Reason string

// Reasons that wrap ErrInvalid.
const (
	// Missing: there is no token.
	Missing Reason = "missing"
	// Malformed: the text is not in the one spelling of any token form.
	Malformed Reason = "malformed"
	// TooLarge: the text, or what it inflates to, is over the limit.
	TooLarge Reason = "too_large"
	// BadSignature: the signer that the token names is known, and its key does not verify the token.
	BadSignature Reason = "bad_signature"
	// UnknownSigner: the token names a signer that is not among the signing certificates.
	UnknownSigner Reason = "unknown_signer"
	// SignerExpired: the signing certificate, or one above it, is not valid at this time.
	SignerExpired Reason = "signer_expired"
	// WeakAlgorithm: signed with a digest or key that is not allowed.
	WeakAlgorithm Reason = "weak_algorithm"
	// NotAToken: properly signed, but not a token that says enough.
	NotAToken Reason = "not_a_token"
	// NoProject: a v2.0 token without a project, which no service can use.
	NoProject Reason = "no_project"
	// Expired: the token's time is over.
	Expired Reason = "expired"
	// Revoked: the token is on the revocation list.
	Revoked Reason = "revoked"
	// Undecidable: the revocation list does not say enough to decide a token of this form, and the Identity service is not asked.
	Undecidable Reason = "undecidable"
	// UnknownToken: the Identity service does not know the token.
	UnknownToken Reason = "unknown_token"
	// Bind: the token is bound to an authentication that the request does not have.
	Bind Reason = "bind"
	// AccessRules: the application credential that the token came from is not meant for this request.
	AccessRules Reason = "access_rules"
)

// Reasons that wrap ErrUnavailable.
const (
	// SignerUnavailable: the token names a signer that is not known here, and the signing certificates cannot be fetched.
	SignerUnavailable Reason = "signer_unavailable"
	// RevocationStale: the revocation list is older than is tolerated, or there is none yet.
	RevocationStale Reason = "revocation_stale"
	// IdentityUnavailable: the token can only be validated online, and the Identity service does not answer.
	IdentityUnavailable Reason = "identity_unavailable"
	// ClientBusy: the same, and the client has as many questions to the Identity service under way as one may.
	ClientBusy Reason = "client_busy"
)

// Reasons is every Reason, for metrics that want to start at zero.
var Reasons = []Reason{
	Missing, Malformed, TooLarge, BadSignature, UnknownSigner, SignerExpired, WeakAlgorithm, NotAToken, NoProject, Expired,
	Revoked, Undecidable, UnknownToken, Bind, AccessRules, SignerUnavailable, RevocationStale, IdentityUnavailable, ClientBusy,
}

// Unavailable says whether the reason goes with ErrUnavailable.
func (r Reason) Unavailable() bool {
	return r == SignerUnavailable || r == RevocationStale || r == IdentityUnavailable || r == ClientBusy
}

// Error is what Validate fails with. It wraps ErrInvalid or ErrUnavailable, and the cause.
type Error struct {
	Reason Reason
	// Cause may be nil. It holds no token text.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return string(e.Reason)
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Cause)
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	sentinel := ErrInvalid
	if e.Reason.Unavailable() {
		sentinel = ErrUnavailable
	}
	if e.Cause == nil {
		return []error{sentinel}
	}
	return []error{sentinel, e.Cause}
}

// ReasonOf gives the reason of an error from Validate, "" for any other.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func refuse(reason Reason, cause error) *Error { return &Error{Reason: reason, Cause: cause} }
