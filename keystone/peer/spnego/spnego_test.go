package spnego

import (
	"encoding/asn1"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	krb "github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

func TestAccept(t *testing.T) {
	k := newKDC(t)
	aes := func(id int32) func(*draft) {
		return func(d *draft) { d.ticket.Key = key(t, id); d.proofKey = d.ticket.Key }
	}
	client := func(realm string, parts ...string) func(*draft) {
		return func(d *draft) {
			d.ticket.CRealm, d.ticket.CName = realm, principal(parts...)
			d.client.CRealm, d.client.CName = realm, principal(parts...)
		}
	}
	foreign := func(contents string, checked bool) func(*draft) {
		return func(d *draft) {
			client("OTHER", "alice")(d)
			d.ticket.Transited = messages.TransitedEncoding{TRType: 1, Contents: []byte(contents)}
			if checked {
				types.SetFlag(&d.ticket.Flags, flags.TransitedPolicyChecked)
			}
		}
	}
	const skew = 5 * time.Minute
	for name, tt := range map[string]struct {
		change func(*draft)
		want   string // principal
		err    error
		text   string
	}{
		"good":                      {nil, "alice@" + realm, nil, ""},
		"instance":                  {client(realm, "alice", "admin"), "alice/admin@" + realm, nil, ""},
		"no start time":             {func(d *draft) { d.ticket.StartTime = time.Time{} }, "alice@" + realm, nil, ""},
		"AES-128 session":           {aes(etypeID.AES128_CTS_HMAC_SHA1_96), "alice@" + realm, nil, ""},
		"SHA-2 session":             {aes(etypeID.AES256_CTS_HMAC_SHA384_192), "alice@" + realm, nil, ""},
		"RC4 session":               {aes(etypeID.RC4_HMAC), "", ErrTicket, "session key has the encryption type 23"},
		"RC4 ticket":                {func(d *draft) { d.etype = etypeID.RC4_HMAC }, "", ErrTicket, "encryption type 23; only AES"},
		"for another service":       {func(d *draft) { d.service, d.key = "host/localhost", "host/localhost" }, "", ErrTicket, "it is for host/localhost@"},
		"sealed for another":        {func(d *draft) { d.key = "host/localhost" }, "", ErrTicket, "no key that opens it"},
		"for another realm":         {func(d *draft) { d.claimed = "OTHER" }, "", ErrTicket, "it is for HTTP/localhost@OTHER"},
		"without session key":       {func(d *draft) { d.proofKey = key(t, etypeID.AES256_CTS_HMAC_SHA1_96) }, "", ErrTicket, "does not have its session key"},
		"another's name":            {func(d *draft) { d.client.CName = principal("bob") }, "", ErrTicket, "another client's"},
		"another's realm":           {func(d *draft) { d.client.CRealm = "OTHER" }, "", ErrTicket, "another client's"},
		"expired, within skew":      {func(d *draft) { d.ticket.EndTime = epoch.Add(-skew) }, "alice@" + realm, nil, ""},
		"expired":                   {func(d *draft) { d.ticket.EndTime = epoch.Add(-skew - time.Second) }, "", ErrTicket, "has expired"},
		"not yet, within skew":      {func(d *draft) { d.ticket.StartTime = epoch.Add(skew) }, "alice@" + realm, nil, ""},
		"not yet":                   {func(d *draft) { d.ticket.StartTime = epoch.Add(skew + time.Second) }, "", ErrTicket, "not valid yet"},
		"postdated":                 {func(d *draft) { types.SetFlag(&d.ticket.Flags, flags.Invalid) }, "", ErrTicket, "postdated"},
		"clock behind":              {func(d *draft) { d.client.CTime, d.client.Cusec = epoch.Add(-skew), 0 }, "alice@" + realm, nil, ""},
		"clock too far behind":      {func(d *draft) { d.client.CTime = epoch.Add(-skew - time.Second) }, "", ErrTicket, "clocks of client and service differ by 5m1s"},
		"clock too far ahead":       {func(d *draft) { d.client.CTime = epoch.Add(skew) }, "", ErrTicket, "clocks of client and service"},
		"microseconds too many":     {func(d *draft) { d.client.Cusec = 1000000 }, "", ErrMalformed, ""},
		"addresses":                 {func(d *draft) { d.ticket.CAddr = types.HostAddresses{{AddrType: 2, Address: []byte{192, 0, 2, 1}}} }, "", ErrTicket, "network addresses"},
		"user-to-user":              {func(d *draft) { d.options = []int{flags.APOptionUseSessionKey} }, "", ErrTicket, "user-to-user"},
		"slash inside a part":       {client(realm, "alice/admin"), "", ErrTicket, "one of / @"},
		"at sign inside a part":     {client(realm, "alice@OTHER"), "", ErrTicket, "one of / @"},
		"backslash":                 {client(realm, `a\`), "", ErrTicket, "one of / @"},
		"line end":                  {client(realm, "a\nb"), "", ErrTicket, "one of / @"},
		"empty part":                {client(realm, "alice", ""), "", ErrTicket, "empty part"},
		"no name":                   {client(realm), "", ErrTicket, "no name"},
		"at sign in the realm":      {client("A@B", "alice"), "", ErrTicket, "one of / @"},
		"other realm, direct":       {foreign("", false), "alice@OTHER", nil, ""},
		"other realm, KDC checked":  {foreign("MIDDLE", true), "alice@OTHER", nil, ""},
		"other realm, by way of it": {foreign("MIDDLE", false), "", ErrTicket, "has not checked the realms"},
	} {
		t.Run(name, func(t *testing.T) {
			token, _ := k.token(tt.change)
			a := k.acceptor(nil)
			got, answer, err := a.Accept(token)
			if got != tt.want || !errors.Is(err, tt.err) || (err == nil) != (answer != nil) {
				t.Errorf("%q, answer of %d bytes, %v; want %q, %v", got, len(answer), err, tt.want, tt.err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v does not say %q", err, tt.text)
			}
			// What is refused is not remembered as a replay, what is accepted is.
			_, _, err = a.Accept(token)
			if again := tt.err; again == nil && !errors.Is(err, ErrReplay) || again != nil && !errors.Is(err, again) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestMutual: the answer proves to the client that the service has the session key. gokrb5 reads it.
func TestMutual(t *testing.T) {
	k := newKDC(t)
	token, session := k.token(nil)
	_, answer, err := k.acceptor(nil).Accept(token)
	if err != nil {
		t.Fatal(err)
	}
	var negotiation krb.NegTokenResp
	if err := negotiation.Unmarshal(answer); err != nil {
		t.Fatal(err)
	}
	var inner krb.KRB5Token
	if err := inner.Unmarshal(negotiation.ResponseToken); err != nil {
		t.Fatal(err)
	}
	plain, err := crypto.DecryptEncPart(inner.APRep.EncPart, session, keyusage.AP_REP_ENCPART)
	if err != nil {
		t.Fatal(err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	if int(negotiation.NegState) != int(krb.NegStateAcceptCompleted) || asn1.ObjectIdentifier(negotiation.SupportedMech).String() != oidKerberos.String() ||
		!part.CTime.Equal(epoch) || part.Cusec != 250 {
		t.Errorf("%+v %+v", negotiation, part)
	}

	token, _ = k.token(func(d *draft) { d.options = nil })
	if _, answer, err = k.acceptor(nil).Accept(token); err != nil || negotiation.Unmarshal(answer) != nil || len(negotiation.ResponseToken) != 0 {
		t.Errorf("not asked for: %v %+v", err, negotiation)
	}
}

func TestMalformed(t *testing.T) {
	k := newKDC(t)
	good, _ := k.token(nil)
	ntlm := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
	a := k.acceptor(nil)
	for name, token := range map[string][]byte{
		"nothing":            nil,
		"NTLM":               []byte("NTLMSSP\x00\x01\x00\x00\x00"),
		"byte after":         append(good[:len(good):len(good)], 0),
		"cut":                good[:len(good)-1],
		"bare Kerberos":      gss(t, oidKerberos, tokenAPReq, []byte{0x30, 0}),
		"NTLM first":         frame(t, oidSPNEGO, []asn1.ObjectIdentifier{ntlm, oidKerberos}, []byte("NTLMSSP")),
		"no mechanism":       frame(t, oidSPNEGO, nil, gss(t, oidKerberos, tokenAPReq, nil)),
		"no token":           frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos}, nil),
		"other token inside": frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos}, gss(t, ntlm, tokenAPReq, nil)),
		"AP-REP inside":      frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos}, gss(t, oidKerberos, tokenAPRep, []byte{0x30, 0})),
		"empty AP-REQ":       frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos}, gss(t, oidKerberos, tokenAPReq, nil)),
		"junk AP-REQ":        frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidKerberos}, gss(t, oidKerberos, tokenAPReq, []byte{0x6e, 0x03, 0x30, 1, 0})),
		"second leg":         []byte{0xa1, 0x02, 0x30, 0x00},
	} {
		if who, answer, err := a.Accept(token); !errors.Is(err, ErrMalformed) || who != "" || answer != nil {
			t.Errorf("%s: %q %v", name, who, err)
		}
	}
	// Each byte of a good one changed: refused in one way or another, or good for alice (parts that nothing protects), never a
	// panic, never anybody else.
	for i := range good {
		spoilt := append([]byte(nil), good...)
		spoilt[i] ^= 0x41
		if who, _, err := a.Accept(spoilt); err == nil && who != "alice@"+realm || err != nil && who != "" {
			t.Fatalf("byte %d: %q %v", i, who, err)
		}
	}
}

func TestWindowsMechanism(t *testing.T) {
	k := newKDC(t)
	good, _ := k.token(nil)
	_, request, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	token := frame(t, oidSPNEGO, []asn1.ObjectIdentifier{oidWindows, oidKerberos}, gss(t, oidKerberos, tokenAPReq, request))
	_, answer, err := k.acceptor(nil).Accept(token)
	var negotiation krb.NegTokenResp
	if err != nil || negotiation.Unmarshal(answer) != nil || asn1.ObjectIdentifier(negotiation.SupportedMech).String() != oidWindows.String() {
		t.Errorf("%v %+v", err, negotiation)
	}
}

// TestReplayOnce: of many at the same time, one is accepted.
func TestReplayOnce(t *testing.T) {
	k := newKDC(t)
	token, _ := k.token(nil)
	a := k.acceptor(nil)
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch _, _, err := a.Accept(token); {
			case err == nil:
				accepted.Add(1)
			case !errors.Is(err, ErrReplay):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := accepted.Load(); n != 1 {
		t.Errorf("accepted %d times", n)
	}
}

func TestReplayCache(t *testing.T) {
	c := replayCache{max: 3}
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	add := func(id byte, until, now time.Duration, wantFresh, wantFull bool) {
		t.Helper()
		if fresh, full := c.add([32]byte{id}, at(until), at(now)); fresh != wantFresh || full != wantFull {
			t.Errorf("%d: fresh %v, full %v", id, fresh, full)
		}
	}
	add(1, 5*time.Minute, 0, true, false)
	add(1, 5*time.Minute, 0, false, false)
	add(2, 10*time.Minute, 0, true, false)
	add(3, 5*time.Minute, time.Minute, true, false)
	add(4, 5*time.Minute, time.Minute, false, true)
	add(1, 5*time.Minute, 5*time.Minute, false, false) // to the end of its time
	add(4, 11*time.Minute, 7*time.Minute, true, false) // 1 and 3 have gone
	add(2, 10*time.Minute, 7*time.Minute, false, false)
	if c.size != 2 {
		t.Errorf("%d entries", c.size)
	}
}

func FuzzAccept(f *testing.F) {
	k := newKDC(f)
	good, _ := k.token(nil)
	f.Add(good)
	f.Add([]byte("NTLMSSP\x00"))
	a := k.acceptor(nil)
	f.Fuzz(func(t *testing.T, token []byte) {
		who, answer, err := a.Accept(token)
		if err == nil && who == "alice@"+realm {
			return
		}
		if who != "" || answer != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTicket) && !errors.Is(err, ErrReplay) {
			t.Fatalf("%q %x %v", who, answer, err)
		}
	})
}
