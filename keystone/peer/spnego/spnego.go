// Package spnego is the accepting side of "Authorization: Negotiate" (RFC 4559) for Kerberos.
//
// Framing (SPNEGO, GSS-API) and rules are here; gokrb5 reads the Kerberos messages and does their cryptography. What neither
// does: channel bindings (RFC 5929), so that a ticket is not tied to the TLS connection it comes over; delegated credentials,
// which are passed over; user-to-user authentication; NTLM; more than one leg; and the list of transited realms, so that a
// client of another realm counts only if the path was direct, or checked by the KDC.
package spnego

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Why a token is not accepted.
var (
	// ErrMalformed: it is not what a Kerberos client sends first.
	ErrMalformed = errors.New("malformed Negotiate token")
	// ErrTicket: the ticket or the proof that it is the client's does not hold.
	ErrTicket = errors.New("ticket refused")
	// ErrReplay: the very token was accepted before.
	ErrReplay = errors.New("token of Negotiate used before")
)

// Options is what an Acceptor is made of.
type Options struct {
	// KeytabFile holds the keys of the service.
	KeytabFile string
	// Principal is whom tickets must be for, "HTTP/host@REALM"; "" stands for every HTTP/… of the keytab.
	Principal string
	// MaxSkew is by how much the clocks of client and service may differ; 5 min by default.
	MaxSkew time.Duration
	// MaxReplays is how many tokens are remembered at most, 1048576 by default, which is 1700 new ones each second. Beyond that
	// none is accepted.
	MaxReplays int
	Now        func() time.Time // time.Now by default
}

// Acceptor accepts Kerberos tickets. It is safe for concurrent use, starts nothing and holds nothing to be closed.
type Acceptor struct {
	o    Options
	keys atomic.Pointer[keys]
	seen replayCache
}

// New makes an Acceptor, with the keytab read.
func New(o Options) (*Acceptor, error) {
	if o.MaxSkew <= 0 {
		o.MaxSkew = 5 * time.Minute
	}
	if o.MaxReplays <= 0 {
		o.MaxReplays = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Acceptor{o: o, seen: replayCache{max: o.MaxReplays}}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the keytab again. If that fails, the keys that were there stay.
func (a *Acceptor) Reload() error {
	k, err := loadKeys(a.o.KeytabFile, a.o.Principal)
	if err != nil {
		return err
	}
	a.keys.Store(k)
	return nil
}

// Principals are those whom tickets may be for.
func (a *Acceptor) Principals() []string { return a.keys.Load().names() }

// Accept takes the token of a Negotiate header, and gives the client's principal ("alice@EXAMPLE.ORG") and the token of the
// answer, by which the client may know that the service is the one it asked for. Errors wrap ErrMalformed, ErrTicket or
// ErrReplay.
func (a *Acceptor) Accept(token []byte) (principal string, answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // gokrb5 indexes what it has not measured
			principal, answer, err = "", nil, fmt.Errorf("%w: its parts do not fit together", ErrMalformed)
		}
	}()
	mechanism, text, err := parse(token)
	if err != nil {
		return "", nil, err
	}
	var request messages.APReq
	if err := request.Unmarshal(text); err != nil {
		return "", nil, fmt.Errorf("%w: KRB_AP_REQ cannot be read", ErrMalformed)
	}
	if principal, err = a.check(&request); err != nil {
		return "", nil, err
	}
	client := request.Authenticator
	var proof []byte
	if types.IsFlagSet(&request.APOptions, flags.APOptionMutualRequired) {
		if proof, err = newAPRep(request.Ticket.DecryptedEncPart.Key, client.CTime, client.Cusec); err != nil {
			return "", nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if answer, err = reply(mechanism, proof); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}

	// Last, so that what is remembered is only what was accepted.
	fresh, full := a.seen.add(sha256.Sum256(request.EncryptedAuthenticator.Cipher), sentAt(client).Add(a.o.MaxSkew), a.o.Now())
	switch {
	case full:
		return "", nil, fmt.Errorf("%w: no room to remember it, so that it could be used again", ErrReplay)
	case !fresh:
		return "", nil, ErrReplay
	}
	return principal, answer, nil
}

func sentAt(a types.Authenticator) time.Time {
	return a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond)
}

// check is RFC 4120, section 3.2.3, but for the replay cache. It leaves the decrypted parts in the request.
func (a *Acceptor) check(request *messages.APReq) (principal string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%w: %s", ErrTicket, fmt.Sprintf(format, args...))
	}
	ticket := &request.Ticket
	service := ticket.SName.PrincipalNameString() + "@" + ticket.Realm
	keys := a.keys.Load()
	switch {
	case request.PVNO != iana.PVNO || ticket.TktVNO != iana.PVNO || len(request.APOptions.Bytes) != 4:
		return "", fmt.Errorf("%w: not Kerberos 5", ErrMalformed)
	case types.IsFlagSet(&request.APOptions, flags.APOptionUseSessionKey):
		return refuse("user-to-user authentication is not supported")
	case !keys.principals[service]:
		return refuse("it is for %s, tickets must be for %s", printable(service), strings.Join(keys.names(), " or "))
	case !slices.Contains(strong, ticket.EncPart.EType):
		return refuse("it has the encryption type %d; only AES counts", ticket.EncPart.EType)
	}
	if err := ticket.DecryptEncPart(keys.table, nil); err != nil {
		return refuse("the keytab has no key that opens it (key version %d, encryption type %d)", ticket.EncPart.KVNO, ticket.EncPart.EType)
	}
	inside := &ticket.DecryptedEncPart
	if !slices.Contains(strong, inside.Key.KeyType) {
		return refuse("its session key has the encryption type %d; only AES counts", inside.Key.KeyType)
	}
	if err := request.DecryptAuthenticator(inside.Key); err != nil {
		return refuse("the client does not have its session key")
	}
	client := request.Authenticator
	now, skew := a.o.Now(), a.o.MaxSkew
	start := inside.StartTime
	if start.IsZero() {
		start = inside.AuthTime
	}
	switch {
	case len(inside.Flags.Bytes) < 4 || client.AVNO != iana.PVNO || client.Cusec < 0 || client.Cusec > 999999:
		return "", fmt.Errorf("%w: not Kerberos 5", ErrMalformed)
	case types.IsFlagSet(&inside.Flags, flags.Invalid):
		return refuse("it is postdated and was not validated")
	case start.Sub(now) > skew:
		return refuse("it is not valid yet")
	case now.Sub(inside.EndTime) > skew:
		return refuse("it has expired")
	case !client.CName.Equal(inside.CName) || client.CRealm != inside.CRealm:
		return refuse("it is another client's")
	case sentAt(client).Sub(now).Abs() > skew:
		return refuse("the clocks of client and service differ by %v", sentAt(client).Sub(now).Abs().Round(time.Second))
	case len(inside.CAddr) > 0:
		return refuse("it is bound to network addresses; get one without (noaddresses)")
	case inside.CRealm != ticket.Realm && len(inside.Transited.Contents) > 0 && !types.IsFlagSet(&inside.Flags, flags.TransitedPolicyChecked):
		return refuse("the KDC has not checked the realms that it came through")
	}
	return name(inside.CName, inside.CRealm)
}

// name writes a principal. Names that could be read as another principal's are refused.
func name(n types.PrincipalName, realm string) (string, error) {
	special := func(c rune) bool { return strings.ContainsRune(`/@\`, c) || !unicode.IsPrint(c) || c == ' ' }
	for _, part := range append([]string{realm}, n.NameString...) {
		if part == "" || strings.ContainsFunc(part, special) {
			return "", fmt.Errorf("%w: the client's name has an empty part, or one of / @ \\ or a blank in a part", ErrTicket)
		}
	}
	if len(n.NameString) == 0 {
		return "", fmt.Errorf("%w: the client has no name", ErrTicket)
	}
	return n.PrincipalNameString() + "@" + realm, nil
}

func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, text[:min(len(text), 200)])
}
