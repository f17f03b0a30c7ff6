package spnego

import (
	"crypto/rand"
	"encoding/asn1"
	"os"
	"path/filepath"
	"testing"
	"time"

	fork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var epoch = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

const (
	realm   = "TEST.EXAMPLE.ORG"
	service = "HTTP/localhost"
	other   = "HTTP/other.example.org"
)

// kdc makes tickets that no real one would make.
type kdc struct {
	t     testing.TB
	table *keytab.Keytab
	file  string
}

func newKDC(t testing.TB) *kdc {
	t.Helper()
	k := &kdc{t: t, table: keytab.New(), file: filepath.Join(t.TempDir(), "keytab")}
	k.add(service, etypeID.AES256_CTS_HMAC_SHA1_96)
	k.add("host/localhost", etypeID.AES256_CTS_HMAC_SHA1_96)
	k.add(service, etypeID.RC4_HMAC)
	k.save(k.file)
	return k
}

func (k *kdc) add(name string, etype int32) {
	k.t.Helper()
	if err := k.table.AddEntry(name, realm, "password of "+name, epoch, 2, etype); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kdc) save(path string) {
	k.t.Helper()
	content, err := k.table.Marshal()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// acceptor is one whose clock stands at epoch.
func (k *kdc) acceptor(change func(*Options)) *Acceptor {
	k.t.Helper()
	o := Options{KeytabFile: k.file, Now: func() time.Time { return epoch }}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		k.t.Fatal(err)
	}
	return a
}

// draft is a request before it is sealed.
type draft struct {
	service, key string // for whom the ticket is, and whose key seals it
	etype        int32
	ticket       messages.EncTicketPart
	client       types.Authenticator
	options      []int
	claimed      string // the ticket's realm
	proofKey     types.EncryptionKey
}

func principal(parts ...string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: parts}
}

// key makes a session key. gokrb5's own GenerateEncryptionKey makes too short ones for aes256-cts-hmac-sha384-192.
func key(t testing.TB, etype int32) types.EncryptionKey {
	t.Helper()
	size := map[int32]int{etypeID.AES128_CTS_HMAC_SHA1_96: 16, etypeID.RC4_HMAC: 16, etypeID.AES256_CTS_HMAC_SHA1_96: 32, etypeID.AES256_CTS_HMAC_SHA384_192: 32}[etype]
	if size == 0 {
		t.Fatalf("a key of type %d", etype)
	}
	k := make([]byte, size)
	_, _ = rand.Read(k) // never fails
	return types.EncryptionKey{KeyType: etype, KeyValue: k}
}

// token makes what a client would send, of a good draft that change may spoil.
func (k *kdc) token(change func(*draft)) ([]byte, types.EncryptionKey) {
	k.t.Helper()
	session := key(k.t, etypeID.AES256_CTS_HMAC_SHA1_96)
	d := &draft{
		service: service, key: service, etype: etypeID.AES256_CTS_HMAC_SHA1_96, claimed: realm, proofKey: session,
		ticket: messages.EncTicketPart{
			Flags: types.NewKrbFlags(), Key: session, CRealm: realm, CName: principal("alice"), AuthTime: epoch.Add(-time.Minute),
			StartTime: epoch.Add(-time.Minute), EndTime: epoch.Add(time.Hour),
		},
		client: types.Authenticator{AVNO: 5, CRealm: realm, CName: principal("alice"), CTime: epoch, Cusec: 250},
	}
	d.options = []int{flags.APOptionMutualRequired}
	if change != nil {
		change(d)
	}
	plain, err := fork.Marshal(d.ticket)
	if err != nil {
		k.t.Fatal(err)
	}
	name, _ := types.ParseSPNString(d.key)
	serviceKey, kvno, err := k.table.GetEncryptionKey(name, realm, 0, d.etype)
	if err != nil {
		k.t.Fatal(err)
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(plain, asnAppTag.EncTicketPart), serviceKey, keyusage.KDC_REP_TICKET, kvno)
	if err != nil {
		k.t.Fatal(err)
	}
	sname, _ := types.ParseSPNString(d.service)
	request, err := messages.NewAPReq(messages.Ticket{TktVNO: 5, Realm: d.claimed, SName: sname, EncPart: sealed}, d.proofKey, d.client)
	if err != nil {
		k.t.Fatal(err)
	}
	types.SetFlags(&request.APOptions, d.options)
	text, err := request.Marshal()
	if err != nil {
		k.t.Fatal(err)
	}
	return frame(k.t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos, {1, 3, 6, 1, 4, 1, 311, 2, 2, 10}}, gss(k.t, oidKerberos, tokenAPReq, text)), session
}

// gss frames a Kerberos message.
func gss(t testing.TB, oid asn1.ObjectIdentifier, kind string, message []byte) []byte {
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(gssTag, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddBytes([]byte(kind))
			b.AddBytes(message)
		})
	})
}

// frame makes the NegTokenInit around the token of a mechanism.
func frame(t testing.TB, oid asn1.ObjectIdentifier, mechanisms []asn1.ObjectIdentifier, inner []byte) []byte {
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(gssTag, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(field(0), func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(field(0), func(b *cryptobyte.Builder) {
						b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
							for _, m := range mechanisms {
								b.AddASN1ObjectIdentifier(m)
							}
						})
					})
					if inner != nil {
						b.AddASN1(field(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(inner) })
					}
				})
			})
		})
	})
}

func build(t testing.TB, f func(*cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	text, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
