package bind

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestMatrix is the matrix that was measured on keystonemiddleware, all modes by all bindings, and x509 beside it.
func TestMatrix(t *testing.T) {
	certificate := []byte("the DER of a certificate")
	right := Peer{RemoteUser: "alice", AuthType: "Negotiate"}
	holder := Peer{Certificate: certificate}
	rightHolder := Peer{RemoteUser: "alice", AuthType: "Negotiate", Certificate: certificate}
	kerberosBind := map[string]string{"kerberos": "alice"}
	unknown := map[string]string{"foo": "bar"}
	both := map[string]string{"kerberos": "alice", "foo": "bar"}
	x509Bind := map[string]string{"x509": Thumbprint(certificate)}
	x509Unknown := map[string]string{"x509": Thumbprint(certificate), "foo": "bar"}
	twoMechanisms := map[string]string{"x509": Thumbprint(certificate), "kerberos": "alice"}
	columns := []struct {
		name string
		bind map[string]string
		peer Peer
	}{
		{"no bind", nil, Peer{}},
		{"empty bind", map[string]string{}, right},
		{"kerberos, right", kerberosBind, right},
		{"kerberos, lower-case scheme", kerberosBind, Peer{RemoteUser: "alice", AuthType: "negotiate"}},
		{"kerberos, nobody", kerberosBind, Peer{}},
		{"kerberos, other user", kerberosBind, Peer{RemoteUser: "bob", AuthType: "Negotiate"}},
		{"kerberos, other case", kerberosBind, Peer{RemoteUser: "Alice", AuthType: "Negotiate"}},
		{"kerberos, basic", kerberosBind, Peer{RemoteUser: "alice", AuthType: "Basic"}},
		{"kerberos, empty identity", map[string]string{"kerberos": ""}, Peer{AuthType: "Negotiate"}},
		{"unknown", unknown, Peer{}},
		{"unknown and kerberos, right", both, right},

		{"no bind, certificate", nil, holder},
		{"kerberos, certificate only", kerberosBind, holder},
		{"x509, right", x509Bind, holder},
		{"x509, nobody", x509Bind, Peer{}},
		{"x509, other certificate", x509Bind, Peer{Certificate: []byte("another")}},
		{"x509, kerberos only", x509Bind, right},
		{"x509, empty identity", map[string]string{"x509": ""}, holder},
		{"x509, certificate of no bytes", map[string]string{"x509": Thumbprint(nil)}, Peer{Certificate: []byte{}}},
		{"unknown and x509, right", x509Unknown, holder},
		{"x509 and kerberos, right", twoMechanisms, rightHolder},
		{"x509 and kerberos, certificate only", twoMechanisms, holder},
		{"x509 and kerberos, kerberos only", twoMechanisms, right},
		{"mechanism in capitals", map[string]string{"X509": "whatever"}, Peer{}}, // another mechanism: names have case
	}
	rows := map[string]string{ // one letter a column: y allowed, n refused
		"disabled":   "yyyyyyyyyyy" + "yyyyyyyyyyyyy",
		"permissive": "yyyynnnnnyy" + "ynynnnnnyynny",
		"":           "yyyynnnnnyy" + "ynynnnnnyynny",
		"strict":     "yyyynnnnnnn" + "ynynnnnnnynnn",
		"required":   "nnyynnnnnnn" + "nnynnnnnnynnn",
		"kerberos":   "nnyynnnnnnn" + "nnnnnnnnnynnn",
		"x509":       "nnnnnnnnnnn" + "nnynnnnnnynnn",
	}
	for text, want := range rows {
		mode, err := ParseMode(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) != len(columns) {
			t.Fatalf("%s: %d letters for %d columns", text, len(want), len(columns))
		}
		for i, c := range columns {
			t.Run(fmt.Sprintf("%s/%s", mode, c.name), func(t *testing.T) {
				err := mode.Check(c.bind, c.peer)
				if (err == nil) != (want[i] == 'y') {
					t.Errorf("got %v, want allowed %c", err, want[i])
				}
				if err != nil && !errors.Is(err, ErrBind) {
					t.Errorf("%v is not ErrBind", err)
				}
			})
		}
	}
}

// TestKerberosCanHelp: a challenge goes to those whom it can help.
func TestKerberosCanHelp(t *testing.T) {
	for name, tt := range map[string]struct {
		mode Mode
		bind map[string]string
		want bool
	}{
		"bound to kerberos":              {Permissive, map[string]string{"kerberos": "alice"}, true},
		"bound to x509":                  {Permissive, map[string]string{"x509": Thumbprint(nil)}, false},
		"not bound, though it has to be": {Required, nil, false},
		"bound to something else":        {Strict, map[string]string{"foo": "bar"}, false},
	} {
		if err := tt.mode.Check(tt.bind, Peer{}); !errors.Is(err, ErrBind) || errors.Is(err, ErrKerberos) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThumbprintSpellings(t *testing.T) {
	// The certificate's bytes do not matter; those of the RFC 7515 example do for Thumbprint's form.
	certificate := []byte("certificate")
	sum := sha256.Sum256(certificate)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	ofPEM := sha256.Sum256(text)
	raw := base64.RawURLEncoding.EncodeToString(sum[:])
	for name, tt := range map[string]struct {
		identity string
		want     bool
	}{
		"RFC 8705":             {raw, true},
		"Keystone's padding":   {base64.URLEncoding.EncodeToString(sum[:]), true},
		"Keystone's, of PEM":   {base64.URLEncoding.EncodeToString(ofPEM[:]), true},
		"hex":                  {hex.EncodeToString(sum[:]), true},
		"hex in capitals":      {strings.ToUpper(hex.EncodeToString(sum[:])), false},
		"hex with colons":      {strings.ReplaceAll(fmt.Sprintf("% x", sum[:]), " ", ":"), false},
		"SHA-1":                {"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", false},
		"another alphabet":     {base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32))), false},
		"two paddings":         {raw + "==", false},
		"blank before":         {" " + raw, false},
		"line end inside":      {raw[:20] + "\n" + raw[20:], false},
		"tail bits":            {raw[:42] + nextLetter(raw[42]), false},
		"first 31 bytes":       {base64.RawURLEncoding.EncodeToString(sum[:31]), false},
		"the PEM text itself":  {string(text), false},
		"hash of other things": {Thumbprint([]byte("x")), false},
	} {
		err := Strict.Check(map[string]string{"x509": tt.identity}, Peer{Certificate: certificate})
		if (err == nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Thumbprint(certificate) != raw {
		t.Errorf("Thumbprint = %s, want %s", Thumbprint(certificate), raw)
	}
}

// nextLetter is the letter that differs from c in the last bit, which the last letter of a thumbprint does not use.
func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func FuzzThumbprint(f *testing.F) {
	f.Add(Thumbprint(nil))
	f.Add(Thumbprint(nil) + "=")
	f.Add(hex.EncodeToString(make([]byte, 32)))
	f.Fuzz(func(t *testing.T, text string) {
		sum, ok := parseThumbprint(text)
		if !ok {
			return
		}
		for _, spelling := range []string{base64.RawURLEncoding.EncodeToString(sum[:]), base64.URLEncoding.EncodeToString(sum[:]), hex.EncodeToString(sum[:])} {
			if spelling == text {
				return
			}
		}
		t.Fatalf("%q is read, and is no spelling of %x", text, sum)
	})
}

func TestParseModeRefuses(t *testing.T) {
	for _, text := range []string{"named", "Named", "stric", "true", "x509;", "x509 kerberos"} {
		if mode, err := ParseMode(text); err == nil {
			t.Errorf("ParseMode(%q) = %v, want an error", text, mode)
		}
	}
}

func TestMechanism(t *testing.T) {
	for text, want := range map[string]string{"": "", "strict": "", "Required": "", "kerberos": Kerberos, " X509 ": X509} {
		if mode, err := ParseMode(text); err != nil || mode.Mechanism() != want {
			t.Errorf("%q: mechanism %q, %v", text, mode.Mechanism(), err)
		}
	}
}

func TestZeroModeIsPermissive(t *testing.T) {
	var m Mode
	if err := m.Check(map[string]string{"kerberos": "alice"}, Peer{}); !errors.Is(err, ErrBind) {
		t.Errorf("the zero mode let a bound token through: %v", err)
	}
}
