package token

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strings"
	"testing"

	"authproxy/certs/certstest"
	"authproxy/certs/cms"
)

// sign makes a CMS message over content with a throw-away signer.
func sign(t testing.TB, content string) []byte {
	t.Helper()
	signer := certstest.New(t).Issue(t, certstest.RSA)
	der, err := cms.Sign([]byte(content), signer.Cert, signer.Key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func deflate(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pkiz(data []byte) string { return "PKIZ_" + base64.URLEncoding.EncodeToString(data) }

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 10, 3500, 20000, 30000} { // beyond 16 KB the text no longer begins with MII
		content := make([]byte, n/2)
		_, _ = rand.Read(content)
		der := sign(t, hex.EncodeToString(content))
		text := EncodePKI(der)
		if form := FormOf(text); form != PKI {
			t.Errorf("%d bytes: form %v", n, form)
		}
		if back, err := Decode(text, Limits{}); err != nil || !bytes.Equal(back, der) {
			t.Errorf("%d bytes: PKI: %v", n, err)
		}
		text, err := EncodePKIZ(der)
		if err != nil {
			t.Fatal(err)
		}
		if form := FormOf(text); form != PKIZ {
			t.Errorf("%d bytes: form %v", n, form)
		}
		if back, err := Decode(text, Limits{}); err != nil || !bytes.Equal(back, der) {
			t.Errorf("%d bytes: PKIZ: %v", n, err)
		}
		for level := zlib.HuffmanOnly; level <= zlib.BestCompression; level++ {
			if back, err := Decode(pkiz(deflate(t, level, cms.EncodePEM(der))), Limits{}); err != nil || !bytes.Equal(back, der) {
				t.Errorf("%d bytes, level %d: PKIZ: %v", n, level, err)
			}
		}
	}
}

func TestDecodeTextRefuses(t *testing.T) {
	der := sign(t, strings.Repeat("x", 300))
	good := EncodePKI(der)
	padded := der[:len(der)/3*3-2] // two characters of padding
	armour := cms.EncodePEM(der)
	huge := sign(t, strings.Repeat("x", 600<<10))
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"slash for dash":           {strings.ReplaceAll(good, "-", "/"), ErrMalformed},
		"space":                    {good[:100] + " " + good[100:], ErrMalformed},
		"newline":                  {good[:100] + "\n" + good[100:], ErrMalformed},
		"carriage return":          {good + "\r", ErrMalformed},
		"more padding":             {good + "=", ErrMalformed},
		"less padding":             {strings.TrimRight(EncodePKI(padded), "="), ErrMalformed},
		"bits after the end":       {strings.TrimSuffix(EncodePKI(padded), EncodePKI(padded)[len(EncodePKI(padded))-3:]) + "B==", ErrMalformed},
		"MII only":                 {"MII", ErrMalformed},
		"another content type":     {strings.Replace(good, "hvcNAQcC", "hvcNAQcD", 1), ErrMalformed},
		"opaque":                   {"0123456789abcdef0123456789abcdef", ErrMalformed},
		"too long":                 {good + strings.Repeat("A", 64<<10), ErrTooLarge},
		"PKIZ_ only":               {"PKIZ_", ErrMalformed},
		"PKIZ not base64":          {"PKIZ_****", ErrMalformed},
		"PKIZ standard alphabet":   {"PKIZ_" + strings.NewReplacer("-", "+", "_", "/").Replace(pkiz(deflate(t, 6, armour))[5:]), ErrMalformed},
		"PKIZ without padding":     {strings.TrimRight(pkiz(append(deflate(t, 6, armour), padTo3(deflate(t, 6, armour))...)), "="), ErrMalformed},
		"PKIZ not zlib":            {pkiz([]byte("hello, hello, hello")), ErrMalformed},
		"PKIZ of DER":              {pkiz(deflate(t, 6, der)), ErrMalformed},
		"PKIZ trailing bytes":      {pkiz(append(deflate(t, 6, armour), 0)), ErrMalformed},
		"PKIZ truncated":           {pkiz(deflate(t, 6, armour)[:200]), ErrMalformed},
		"PKIZ bad checksum":        {pkiz(flipLast(deflate(t, 6, armour))), ErrMalformed},
		"PKIZ text after":          {pkiz(deflate(t, 6, append(bytes.Clone(armour), 'x'))), ErrMalformed},
		"PKIZ no final newline":    {pkiz(deflate(t, 6, bytes.TrimSuffix(armour, []byte("\n")))), ErrMalformed},
		"PKIZ CRLF":                {pkiz(deflate(t, 6, bytes.ReplaceAll(armour, []byte("\n"), []byte("\r\n")))), ErrMalformed},
		"PKIZ bomb of zeros":       {pkiz(deflate(t, 9, make([]byte, 40<<20))), ErrMalformed},
		"PKIZ bomb of a message":   {pkiz(deflate(t, 9, cms.EncodePEM(huge))), ErrTooLarge},
		"PKIZ bomb in limits":      {pkiz(deflate(t, 9, cms.EncodePEM(sign(t, strings.Repeat("x", 300<<10))))), ErrTooLarge},
		"PKIZ longer than it says": {pkiz(deflate(t, 9, append(armour[:len(armour)-18:len(armour)-18], bytes.Repeat([]byte("A"), 20<<20)...))), ErrMalformed},
		"PKIZ tiny length":         {pkiz(deflate(t, 6, append([]byte("-----BEGIN CMS-----\nMIEAAAAA"), make([]byte, 200)...))), ErrMalformed},
		"PKIZ huge length":         {pkiz(deflate(t, 6, append([]byte("-----BEGIN CMS-----\nMIT///// "), make([]byte, 200)...))), ErrTooLarge},
		"PKIZ dictionary wanted":   {pkiz([]byte{0x78, 0xbb, 1, 2, 3, 4, 5, 6}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(c.text, Limits{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// padTo3 gives the bytes that make a text end in padding: zlib streams whose length is a multiple of three have none to cut.
func padTo3(data []byte) []byte {
	if len(data)%3 == 0 {
		return []byte{0}
	}
	return nil
}

func flipLast(data []byte) []byte {
	data[len(data)-1] ^= 1
	return data
}

func TestFormOf(t *testing.T) {
	fernet := base64.URLEncoding.EncodeToString(append([]byte{0x80, 0, 0, 0, 0}, make([]byte, 4+16+48+32)...))
	for text, want := range map[string]Form{
		"":                                  Unknown,
		"x":                                 Unknown,
		"0123456789abcdef0123456789abcdef":  UUID,
		"0123456789ABCDEF0123456789abcdef":  Unknown,
		"0123456789abcdef0123456789abcde":   Unknown,
		"0123456789abcdef0123456789abcdef0": Unknown,
		"PKIZ_":                             PKIZ,
		"pkiz_eJx":                          Unknown,
		fernet:                              Fernet,
		strings.TrimRight(fernet, "="):      Fernet,
		fernet[:len(fernet)-8]:              Unknown,
		fernet + "===":                      Unknown,
		"gAAAAABf":                          Unknown,
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln": JWS,
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.":     Unknown,
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0":      Unknown,
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIi=iJ4In0.c2ln": Unknown,
		"MIIBAgYJKoZIhvcNAQcCoIAA":                  PKI,
		"MIAGCSqGSIb3DQEHAqCAMIACAQExDzAN":          PKI, // BER, for the parser to refuse
		"MIIBAgYJKoZIhvcNAQcDoIAA":                  Unknown,
		"MIIPoDCAMIAwgDCAMIAwgDCAMIAwgDCA":          Unknown,
		"admin":                                     Unknown,
	} {
		if got := FormOf(text); got != want {
			t.Errorf("FormOf(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestID(t *testing.T) {
	hashes := map[string]func() hash.Hash{
		"md5": crypto.MD5.New, "sha1": crypto.SHA1.New, "sha224": crypto.SHA224.New, "sha256": crypto.SHA256.New, "sha384": crypto.SHA384.New, "sha512": crypto.SHA512.New,
	}
	for _, name := range HashAlgorithms {
		h := hashes[name]()
		_, _ = io.WriteString(h, "text")
		if got, err := ID("text", name); err != nil || got != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := ID("text", "crc32"); err == nil || !strings.Contains(err.Error(), "md5, sha1") {
		t.Errorf("crc32: %v", err)
	}
}

// FuzzDecode: what is accepted comes out of one PKI text only, and no text costs more than its bound.
func FuzzDecode(f *testing.F) {
	der := sign(f, "x")
	f.Add(EncodePKI(der))
	text, _ := EncodePKIZ(der)
	f.Add(text)
	f.Add("PKIZ_")
	f.Add(strings.Replace(EncodePKI(der), "-", "/", 1))
	f.Fuzz(func(t *testing.T, text string) {
		der, err := Decode(text, Limits{})
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%v is no known error", err)
			}
			return
		}
		switch FormOf(text) {
		case PKI:
			if EncodePKI(der) != text {
				t.Fatalf("accepted %q, which is spelled %q", text, EncodePKI(der))
			}
		case PKIZ:
			if len(der) > defaultInflated {
				t.Fatalf("inflated to %d bytes", len(der))
			}
		default:
			t.Fatalf("accepted a text of form %v", FormOf(text))
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	noise := make([]byte, 1200)
	_, _ = rand.Read(noise)
	bombs := map[string]string{
		"pkiz-bomb-zeros":     pkiz(deflate(b, 9, make([]byte, 40<<20))),
		"pkiz-bomb-too-large": pkiz(deflate(b, 9, cms.EncodePEM(sign(b, strings.Repeat("x", 420<<10))))),
		"pkiz-bomb-in-limits": pkiz(deflate(b, 9, cms.EncodePEM(sign(b, strings.Repeat("x", 14<<10)+hex.EncodeToString(noise))))),
		"nested-ber":          "MIIPoDCAMIAw" + strings.Repeat("gDCAMIAw", 8000),
		"nested-signed":       strings.Repeat("MIAGCSqGSIb3DQEHAqCA", 3000),
		"garbage-pki":         EncodePKI(sign(b, "x"))[:500],
	}
	for name, text := range bombs {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				der, err := Decode(text, Limits{Text: 1 << 20})
				if err == nil {
					_, err = cms.Parse(der)
				}
				if err == nil && name != "pkiz-bomb-in-limits" {
					b.Fatal("accepted")
				}
			}
		})
	}
}
