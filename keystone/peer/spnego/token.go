package spnego

import (
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidSPNEGO   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKerberos = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	// oidWindows is what Windows calls Kerberos in its list; the token inside says oidKerberos.
	oidWindows = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
)

const (
	gssTag = der.Tag(0x60) // [APPLICATION 0], RFC 2743, section 3.1

	tokenAPReq = "\x01\x00" // RFC 4121, section 4.1
	tokenAPRep = "\x02\x00"
)

func field(n uint8) der.Tag { return der.Tag(n).ContextSpecific().Constructed() }

func application(n uint8) der.Tag { return der.Tag(n | 0x40).Constructed() }

// parse takes the KRB_AP_REQ out of the first token of a negotiation (RFC 4178, section 4.2.1). The client has to guess
// right: its first mechanism must be Kerberos, for which the token is.
func parse(token []byte) (mechanism asn1.ObjectIdentifier, apReq []byte, err error) {
	malformed := func(what string) (asn1.ObjectIdentifier, []byte, error) {
		return nil, nil, fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	all := cryptobyte.String(token)
	var outer, choice, init, list, mechanisms cryptobyte.String
	var oid asn1.ObjectIdentifier
	switch {
	case !all.ReadASN1(&outer, gssTag) || !all.Empty() || !outer.ReadASN1ObjectIdentifier(&oid):
		return malformed("it has not the frame of a GSS-API token (NTLM has none)")
	case !oid.Equal(oidSPNEGO):
		return malformed("it is not a SPNEGO token")
	case !outer.ReadASN1(&choice, field(0)) || !outer.Empty() || !choice.ReadASN1(&init, der.SEQUENCE) || !choice.Empty():
		return malformed("it is not the first token of a negotiation")
	case !init.ReadASN1(&list, field(0)) || !list.ReadASN1(&mechanisms, der.SEQUENCE) || !list.Empty() ||
		!mechanisms.ReadASN1ObjectIdentifier(&mechanism):
		return malformed("it offers no mechanism")
	case !mechanism.Equal(oidKerberos) && !mechanism.Equal(oidWindows):
		return malformed(fmt.Sprintf("the first mechanism that it offers is %v, not Kerberos", mechanism))
	}

	var wrapped, inner, krb cryptobyte.String
	switch {
	case !init.SkipOptionalASN1(field(1)) || !init.ReadASN1(&wrapped, field(2)) || !wrapped.ReadASN1(&inner, der.OCTET_STRING) ||
		!wrapped.Empty() || !init.SkipOptionalASN1(field(3)) || !init.Empty():
		return malformed("it holds no token of its mechanism")
	case !inner.ReadASN1(&krb, gssTag) || !inner.Empty() || !krb.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidKerberos):
		return malformed("the token inside is not Kerberos's")
	}
	var kind []byte
	if !krb.ReadBytes(&kind, 2) || string(kind) != tokenAPReq {
		return malformed("the token inside is no KRB_AP_REQ")
	}
	return mechanism, krb, nil
}

// reply makes the last token of a negotiation that has come to its end (RFC 4178, section 4.2.2). apRep is nil where the
// client did not ask for the service to authenticate too.
func reply(mechanism asn1.ObjectIdentifier, apRep []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(field(1), func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			const acceptCompleted = 0
			b.AddASN1(field(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(acceptCompleted) })
			b.AddASN1(field(1), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(mechanism) })
			if apRep == nil {
				return
			}
			b.AddASN1(field(2), func(b *cryptobyte.Builder) {
				b.AddASN1(der.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(gssTag, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidKerberos)
						b.AddBytes([]byte(tokenAPRep))
						b.AddBytes(apRep)
					})
				})
			})
		})
	})
	return b.Bytes()
}

// newAPRep makes the KRB_AP_REP (RFC 4120, section 5.5.2) that proves knowledge of the session key: it holds the time of the
// client's authenticator. gokrb5 can read one, but not make one.
func newAPRep(sessionKey types.EncryptionKey, ctime time.Time, cusec int) ([]byte, error) {
	var part cryptobyte.Builder
	part.AddASN1(application(asnAppTag.EncAPRepPart), func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(field(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(ctime.UTC()) })
			b.AddASN1(field(1), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(cusec)) })
		})
	})
	plain, err := part.Bytes()
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(plain, sessionKey, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(application(asnAppTag.APREP), func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(field(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(iana.PVNO) })
			b.AddASN1(field(1), func(b *cryptobyte.Builder) { b.AddASN1Int64(msgtype.KRB_AP_REP) })
			b.AddASN1(field(2), func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(field(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(sealed.EType)) })
					b.AddASN1(field(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(sealed.Cipher) })
				})
			})
		})
	})
	return b.Bytes()
}
