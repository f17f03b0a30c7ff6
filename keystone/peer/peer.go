// Package peer finds out who sends a request, besides its tokens: by Kerberos, from the client certificate of the connection,
// or from a front end that is trusted to have found out itself.
package peer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"authproxy/validate/bind"
)

// negotiate is the authentication scheme of RFC 4559, and the AUTH_TYPE of who is authenticated by it.
const negotiate = "Negotiate"

// Kerberos accepts tickets. *spnego.Acceptor does.
type Kerberos interface {
	// Accept takes the token of a Negotiate header and gives the client's principal and the token of the answer.
	Accept(token []byte) (principal string, answer []byte, err error)
}

// Identifier finds out who sends a request. Its fields are set before the first request and not changed after it; the zero
// Identifier goes by client certificates only.
type Identifier struct {
	// Kerberos is nil where Negotiate is not done here.
	Kerberos Kerberos
	// Fronts are those whose UserHeader and TypeHeader are believed. Both names are in canonical form.
	Fronts                 Fronts
	UserHeader, TypeHeader string
	// DomainHeader is where they say the name of the user's domain; "" where they cannot.
	DomainHeader string
	// AttributePrefix is what the names of headers begin with in which Fronts say more of who sends a request; "" for none. Case
	// does not count, nor HTTP_ before it.
	AttributePrefix string
	// Realms maps the names of Kerberos principals, from tickets and from headers.
	Realms bind.Realms
	Now    func() time.Time // time.Now by default
}

// Identify says who sends a request. answer is the value for WWW-Authenticate in the answer, by which a Kerberos client
// knows the service; "" for none. The error says what spoke for somebody and did not hold, or not for one alone; the Peer has
// what held nevertheless. A ticket counts once: a second call for one request refuses it.
func (i *Identifier) Identify(r *http.Request) (who bind.Peer, answer string, err error) {
	who.Certificate, err = i.certificate(r)
	user, scheme, said, frontErr := i.front(r)
	if said {
		if who.RemoteDomain, frontErr = i.domain(r); frontErr != nil { // else the user would be of another domain
			user, scheme = "", ""
		}
	}
	if !said && frontErr == nil {
		var kerberosErr error
		user, answer, kerberosErr = i.kerberos(r)
		if user != "" {
			scheme = negotiate
		}
		err = errors.Join(err, kerberosErr)
	}
	err = errors.Join(err, frontErr)
	if user != "" && strings.EqualFold(scheme, negotiate) {
		mapped, mapErr := i.Realms.Map(user)
		if mapErr != nil {
			return who, "", errors.Join(err, mapErr)
		}
		user = mapped
	}
	who.RemoteUser, who.AuthType = user, scheme
	return who, answer, err
}

// certificate gives the verified client certificate of the connection. It was valid when the connection was made, which can
// be days ago.
func (i *Identifier) certificate(r *http.Request) ([]byte, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, nil
	}
	certificate := r.TLS.PeerCertificates[0]
	if now := i.now(); now.After(certificate.NotAfter) {
		return nil, fmt.Errorf("client certificate expired at %v", certificate.NotAfter)
	}
	return certificate.Raw, nil
}

// front gives what a trusted front says. said is true if it names anybody.
func (i *Identifier) front(r *http.Request) (user, scheme string, said bool, err error) {
	if i.UserHeader == "" || !i.Fronts.Trust(r) {
		return "", "", false, nil
	}
	users, schemes := r.Header[i.UserHeader], r.Header[i.TypeHeader]
	if len(users) > 1 || len(schemes) > 1 {
		return "", "", false, fmt.Errorf("the trusted peer sent more than one %s or %s", i.UserHeader, i.TypeHeader)
	}
	if len(users) == 0 || users[0] == "" {
		return "", "", false, nil
	}
	if len(schemes) == 1 {
		scheme = schemes[0]
	}
	return users[0], scheme, true, nil
}

// domain gives the domain that a trusted front says its user is of, "" for none.
func (i *Identifier) domain(r *http.Request) (string, error) {
	names := r.Header[i.DomainHeader]
	switch {
	case i.DomainHeader == "" || len(names) == 0:
		return "", nil
	case len(names) > 1:
		return "", fmt.Errorf("the trusted peer sent more than one %s", i.DomainHeader)
	}
	return names[0], nil
}

// kerberos gives the principal of the ticket that the request brings, "" for none.
func (i *Identifier) kerberos(r *http.Request) (principal, answer string, err error) {
	values := r.Header["Authorization"]
	if i.Kerberos == nil || len(values) == 0 {
		return "", "", nil
	}
	if len(values) > 1 {
		return "", "", errors.New("more than one Authorization header")
	}
	text, ok := Negotiate(values[0])
	if !ok {
		return "", "", nil
	}
	token, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return "", "", errors.New("the token of Authorization: Negotiate is not base64")
	}
	principal, reply, err := i.Kerberos.Accept(token)
	if err != nil {
		return "", "", err
	}
	return principal, negotiate + " " + base64.StdEncoding.EncodeToString(reply), nil
}

func (i *Identifier) now() time.Time {
	if i.Now == nil {
		return time.Now()
	}
	return i.Now()
}

// Negotiate gives the token of an Authorization header of that scheme.
func Negotiate(authorization string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	return strings.TrimLeft(token, " "), strings.EqualFold(scheme, negotiate)
}
