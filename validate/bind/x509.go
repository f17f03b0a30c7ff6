package bind

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

// Thumbprint is the identity of a certificate (DER) as RFC 8705, section 3.1, writes it in x5t#S256: the SHA-256 of the DER as
// base64url without padding.
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// parseThumbprint reads a SHA-256 in one of three spellings: base64url (43 characters), base64url with its one "="
// (Keystone's), or hex in lower case. SHA-1 is not among them: two certificates of one SHA-1 can be made.
func parseThumbprint(text string) (sum [sha256.Size]byte, ok bool) {
	var b []byte
	var err error
	switch len(text) {
	case 2 * sha256.Size:
		if strings.ToLower(text) != text {
			return sum, false
		}
		b, err = hex.DecodeString(text)
	case base64.URLEncoding.EncodedLen(sha256.Size):
		b, err = base64.URLEncoding.Strict().DecodeString(text)
	case base64.RawURLEncoding.EncodedLen(sha256.Size):
		b, err = base64.RawURLEncoding.Strict().DecodeString(text)
	default:
		return sum, false
	}
	if err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [sha256.Size]byte(b), true
}

// x509 compares the certificate of the connection with the one that a token is bound to. The hash may be that of the
// certificate's DER, which RFC 8705 wants, or that of its PEM text, which Keystone and keystonemiddleware (oauth2_mtls_token)
// take in its stead.
func (p Peer) x509(identity string) error {
	bound, ok := parseThumbprint(identity)
	switch {
	case !ok:
		return fmt.Errorf("%w: the token is bound to a certificate by something else than a SHA-256 thumbprint", ErrBind)
	case len(p.Certificate) == 0:
		return fmt.Errorf("%w: the token is bound to a client certificate, and the connection has none", ErrBind)
	}
	if sha256.Sum256(p.Certificate) == bound {
		return nil
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate})
	if sha256.Sum256(text) == bound {
		return nil
	}
	return fmt.Errorf("%w: the token is bound to another client certificate", ErrBind)
}
