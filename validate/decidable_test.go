package validate

import (
	"testing"

	"authproxy/certs/certstest"
	"authproxy/keystone/token"
)

// TestListOfIDsAlone: a list that names a token by the hash of one text refuses the token in its other texts too, or does not
// decide it.
func TestListOfIDsAlone(t *testing.T) {
	for _, kind := range []certstest.Kind{certstest.RSA, certstest.ECDSAP256} {
		f := newFixture(t, kind)
		der := f.sign(f.signer, body("own", ""))
		pki, stock := token.EncodePKI(der), token.StockPKIZ(der)
		other, err := token.EncodePKIZ(der) // the same message by another compressor
		if err != nil {
			t.Fatal(err)
		}
		if other == stock {
			t.Fatal("two compressors made one text: this test tests nothing")
		}
		for name, c := range map[string]struct {
			listed            string
			pki, stock, other Reason
			provider          token.Form
		}{
			"revoked as PKI":              {listed: pki, pki: Revoked, stock: Revoked, other: Revoked},
			"revoked as PKIZ":             {listed: stock, pki: Revoked, stock: Revoked, other: Revoked},
			"another revoked":             {listed: "x", other: Undecidable},
			"another revoked, PKI cloud":  {listed: "x", provider: token.PKI, stock: Undecidable, other: Undecidable},
			"another revoked, PKIZ cloud": {listed: "x", provider: token.PKIZ, pki: Undecidable, other: Undecidable},
			"another revoked, UUID cloud": {listed: "x", provider: token.UUID, pki: Undecidable, stock: Undecidable, other: Undecidable},
			"revoked as PKIZ, PKI cloud":  {listed: stock, provider: token.PKI, pki: Revoked, stock: Revoked, other: Revoked},
		} {
			t.Run(name, func(t *testing.T) {
				v := f.validator(func(o *Options) { o.Provider = func() token.Form { return c.provider } })
				f.lists.set()
				for range 2 { // fresh, and from the cache under a list that came later
					want(t, v, pki, "")
					want(t, v, stock, "")
					want(t, v, other, "")
					f.lists.set(entry(md5Of(t, c.listed), ""))
					want(t, v, pki, c.pki)
					want(t, v, stock, c.stock)
					want(t, v, other, c.other)
					f.lists.set(entry(md5Of(t, "x"), "another")) // an entry with an audit id decides all
				}
			})
		}
	}
}

func TestUndecidableGoesOnline(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	text := f.pkiz(body("own", ""))
	f.lists.set(entry(md5Of(t, "x"), ""))
	online := &identity{known: map[string]string{text: body("own", "")}}
	want(t, f.validator(func(o *Options) { o.Online = online }), text, Undecidable)
	v := f.validator(func(o *Options) { o.Online, o.UndecidableOnline = online, true })
	want(t, v, text, "")
	want(t, v, f.pki(body("own", "")), "")
	if n := online.asked.Load(); n != 1 {
		t.Errorf("asked %d times: only the one that the list cannot decide was to be asked about", n)
	}
	want(t, f.validator(func(o *Options) { o.UndecidableOnline = true }), text, Undecidable) // nobody to ask
	delete(online.known, text)
	want(t, f.validator(func(o *Options) { o.Online, o.UndecidableOnline = online, true }), text, UnknownToken)
}
