package sharedcache

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/token"
)

const (
	uuid   = "0123456789abcdef0123456789abcdef"
	other  = "fedcba9876543210fedcba9876543210"
	secret = "a secret that only the proxies know"
	// body is what an Identity service answers.
	body = `{"token":{"methods":["password"],"expires_at":"2100-01-01T00:00:00.000000Z","audit_ids":["AAAAAAAAAAAAAAAAAAAAAA"],` +
		`"user":{"id":"u1","name":"alice","domain":{"id":"default","name":"Default"}},` +
		`"project":{"id":"p1","name":"proj","domain":{"id":"default","name":"Default"}},"roles":[{"id":"r1","name":"member"}]}}`
)

var since = time.UnixMilli(1_900_000_000_123)

var strategies = map[string]Strategy{"sealed": Sealed, "MAC": MAC, "ENCRYPT": Encrypt, "plain": InsecurePlain}

func entryOf(t testing.TB, s Strategy, secret, text string) entry {
	t.Helper()
	f, err := newFormat(s, secret)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.entry(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sealOf(t testing.TB, e entry, body string) []byte {
	t.Helper()
	value, err := e.seal([]byte(body), since)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// vectors are keys and values that the Python middleware made.
type vectors struct {
	DeriveKeys []struct {
		Token, Secret, Strategy string
		CacheKeyHex             string `json:"cache_key_hex"`
		MACHex                  string `json:"mac_hex"`
		EncHex                  string `json:"enc_hex"`
		KeyPy3                  string `json:"memcache_key_py3"`
	} `json:"derive_keys"`
	Protect []struct {
		Token, Secret, Strategy, Data, Stored string
		IVHex                                 string `json:"iv_hex"`
	}
	PlainKey plainVector `json:"plain_key"`
	PKIKey   plainVector `json:"pki_key"`
}

type plainVector struct {
	Token, MD5 string
	Key        string `json:"memcache_key"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "fixtures", "memcache_vectors.json"))
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SHARED=1, but %v", err)
		}
		t.Skipf("fixtures are not beside the project: %v", err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.DeriveKeys) < 2 || len(v.Protect) < 6 {
		t.Fatalf("only %d and %d vectors", len(v.DeriveKeys), len(v.Protect))
	}
	return v
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	for _, d := range v.DeriveKeys {
		e := entryOf(t, strategies[d.Strategy], d.Secret, d.Token).(*pythonEntry)
		if e.key() != d.KeyPy3 || hex.EncodeToString(e.name) != d.CacheKeyHex || hex.EncodeToString(e.mac) != d.MACHex {
			t.Errorf("%s: key %s, name %x, mac %x", d.Strategy, e.key(), e.name, e.mac)
		}
		// The encryption key shows in what it encrypts: see below.
	}
	for _, p := range v.Protect {
		e := entryOf(t, strategies[p.Strategy], p.Secret, p.Token).(*pythonEntry)
		iv, err := hex.DecodeString(p.IVHex)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.protect([]byte(p.Data), iv); string(got) != p.Stored {
			t.Errorf("%s of %s: %s, want %s", p.Strategy, p.Data, got, p.Stored)
		}
		if got, err := e.unprotect([]byte(p.Stored)); err != nil || string(got) != p.Data {
			t.Errorf("%s: read back %q, %v", p.Strategy, got, err)
		}
	}
	if e := entryOf(t, InsecurePlain, "", v.PlainKey.Token); e.key() != v.PlainKey.Key {
		t.Errorf("plain key %s, want %s", e.key(), v.PlainKey.Key)
	}
	// auth_token named PKI tokens by their hash. They are not kept here, but the names are made the same way.
	if e := entryOf(t, InsecurePlain, "", v.PKIKey.MD5); e.key() != v.PKIKey.Key {
		t.Errorf("plain key %s, want %s", e.key(), v.PKIKey.Key)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, s := range strategies {
		t.Run(name, func(t *testing.T) {
			e := entryOf(t, s, secret, uuid)
			value := sealOf(t, e, body)
			if bytes.Contains(value, []byte(uuid)) || strings.Contains(e.key(), uuid) {
				t.Error("memcached gets to see the token")
			}
			got, at, err := e.open(value)
			if err != nil || !at.Equal(since) {
				t.Fatalf("%v, %v", at, err)
			}
			read, err := token.DecodePayload(got)
			if err != nil || read.User.ID != "u1" || read.Project.ID != "p1" || len(read.Roles) != 1 {
				t.Errorf("%+v, %v", read, err)
			}
			// What only MAC and plain may show, in any spelling of base64.
			readable := bytes.Contains(value, []byte("alice")) || bytes.Contains(unbase64(value), []byte("alice"))
			if open := s == MAC || s == InsecurePlain; readable != open {
				t.Errorf("the name of the user can be read: %t", readable)
			}
		})
	}
}

// unbase64 decodes all that decodes behind a MAC of 64 characters.
func unbase64(value []byte) []byte {
	out, _ := base64.StdEncoding.AppendDecode(nil, value[min(64, len(value)):])
	return out
}

// TestForeignValues: W-6 and W-7. Whatever stands under the name of a token, only what was kept for it by a holder of the secret
// is taken.
func TestForeignValues(t *testing.T) {
	for name, s := range strategies {
		e := entryOf(t, s, secret, uuid)
		own := sealOf(t, e, body)
		foreign := map[string][]byte{
			"of another token":    sealOf(t, entryOf(t, s, secret, other), body),
			"nothing":             {},
			"plain JSON":          []byte(body),
			"the word invalid":    []byte(`"invalid"`),
			"a prefix":            own[:len(own)-1],
			"a truncated MAC":     own[min(len(own), 1):],
			"with another behind": append(bytes.Clone(own), own...),
			"garbage":             bytes.Repeat([]byte{0xff}, 100),
		}
		if s != InsecurePlain {
			foreign["under another secret"] = sealOf(t, entryOf(t, s, "another", uuid), body)
			for as, o := range strategies {
				if o != s {
					foreign["protected as "+as] = sealOf(t, entryOf(t, o, secret, uuid), body)
				}
			}
			for i := range own {
				changed := bytes.Clone(own)
				changed[i] ^= 1
				if got, _, err := e.open(changed); !errors.Is(err, errForeign) {
					t.Fatalf("%s: byte %d changed: %q, %v", name, i, got, err)
				}
			}
		}
		for what, value := range foreign {
			if got, _, err := e.open(value); !errors.Is(err, errForeign) && (s != InsecurePlain || !errors.Is(err, errUnusable)) {
				t.Errorf("%s: %s was taken: %q, %v", name, what, got, err)
			}
		}
	}
}

// TestPythonBodies: what auth_token keeps tells the token, which is no reason to refuse it, but for another token.
func TestPythonBodies(t *testing.T) {
	with := func(member string) string { return strings.Replace(body, `{"token":{`, `{"token":{`+member+`,`, 1) }
	for name, c := range map[string]struct {
		body  string
		plain error // in a cache without protection
		mac   error // under a MAC
	}{
		"own token":                {with(`"auth_token":"` + uuid + `"`), nil, nil},
		"another token":            {with(`"auth_token":"` + other + `"`), errForeign, errForeign},
		"token is no string":       {with(`"auth_token":7`), errForeign, errForeign},
		"no token":                 {body, errForeign, nil},
		"note of another token":    {with(`"authproxy":{"id":"` + digest(other) + `","since":1}`), errForeign, errForeign},
		"note without id":          {with(`"authproxy":{"since":1}`), errForeign, errForeign},
		"note is no object":        {with(`"authproxy":7`), errForeign, errForeign},
		"own token, foreign note":  {with(`"auth_token":"` + uuid + `","authproxy":{"id":"` + digest(other) + `"}`), errForeign, errForeign},
		"refused by auth_token":    {`"invalid"`, errUnusable, errUnusable},
		"list of an old release":   {`[` + body + `,"2100-01-01T00:00:00Z"]`, errUnusable, errUnusable},
		"two bodies":               {`{"token":{},"access":{}}`, errUnusable, errUnusable},
		"token is no object":       {`{"token":[]}`, errUnusable, errUnusable},
		"own token in a v2.0 body": {`{"access":{"auth_token":"` + uuid + `"}}`, nil, nil},
	} {
		if _, _, err := entryOf(t, InsecurePlain, "", uuid).open([]byte(c.body)); !errors.Is(err, c.plain) {
			t.Errorf("plain, %s: %v", name, err)
		}
		for _, s := range []Strategy{MAC, Encrypt} {
			e := entryOf(t, s, secret, uuid).(*pythonEntry)
			got, at, err := e.open(e.protect([]byte(c.body), make([]byte, 16)))
			if !errors.Is(err, c.mac) || err == nil && (string(got) != c.body || !at.IsZero()) {
				t.Errorf("%s, %s: %v %v", s.name(), name, at, err)
			}
		}
	}
}

// TestBodiesOfOneMember: auth_token takes a body of two members for a list of two, and crashes.
func TestBodiesOfOneMember(t *testing.T) {
	e := entryOf(t, InsecurePlain, "", uuid)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(sealOf(t, e, `{"links":{},`+body[1:]), &members); err != nil || len(members) != 1 || members["token"] == nil {
		t.Errorf("%q, %v", members, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"token":7}`, `{"token":null}`, `{"token":{"authproxy":1}}`, `{"token":{},"access":{}}`} {
		if value, err := e.seal([]byte(bad), since); err == nil {
			t.Errorf("%s was kept as %s", bad, value)
		}
	}
}

// TestNoTokenIsStored: W-26. Neither names nor values hold the token that they are about.
func TestNoTokenIsStored(t *testing.T) {
	for name, s := range strategies {
		e := entryOf(t, s, secret, uuid)
		value := sealOf(t, e, body)
		forms := [][]byte{[]byte(uuid), []byte(base64.StdEncoding.EncodeToString([]byte(uuid))[:40]), []byte(hex.EncodeToString([]byte(uuid)))}
		if i := bytes.IndexByte(value, '='); i > 0 { // in base64, behind a MAC
			if inner, err := base64.StdEncoding.DecodeString(string(value[64:])); err == nil {
				value = append(value, inner...)
			}
		}
		for _, form := range forms {
			if bytes.Contains(value, form) || strings.Contains(e.key(), string(form)) {
				t.Errorf("%s: the token is kept, as %s", name, form)
			}
		}
	}
}

func TestSealedKeysDiffer(t *testing.T) {
	one, two := entryOf(t, Sealed, "one", uuid), entryOf(t, Sealed, "two", uuid)
	if one.key() == two.key() {
		t.Error("the name does not depend on the secret")
	}
	if bytes.Equal(sealOf(t, one, body)[:1+keyIDSize], sealOf(t, two, body)[:1+keyIDSize]) {
		t.Error("the key id does not depend on the secret")
	}
	if bytes.Equal(sealOf(t, one, body), sealOf(t, one, body)) {
		t.Error("the nonce is not random")
	}
}

func TestSecretIsNeeded(t *testing.T) {
	for name, s := range strategies {
		if _, err := New(Options{Servers: []string{"127.0.0.1:1"}, Strategy: s}); (err == nil) != (s == InsecurePlain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, servers := range [][]string{nil, {"no-port"}, {"127.0.0.1:1", ""}} {
		if _, err := New(Options{Servers: servers, Secret: secret}); err == nil {
			t.Errorf("servers %q were accepted", servers)
		}
	}
}

// FuzzOpen: whatever memcached gives, nothing breaks, and only what verifies is taken.
func FuzzOpen(f *testing.F) {
	var entries []entry
	for _, s := range []Strategy{Sealed, MAC, Encrypt, InsecurePlain} {
		e := entryOf(f, s, secret, uuid)
		entries = append(entries, e)
		f.Add(sealOf(f, e, body))
	}
	f.Add([]byte(`{"token":{"auth_token":"` + uuid + `"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, e := range entries {
			got, _, err := e.open(value)
			if err != nil && !errors.Is(err, errForeign) && !errors.Is(err, errUnusable) {
				t.Errorf("%T: %v", e, err)
			}
			if _, ok := e.(plainEntry); ok && err == nil && !bytes.Equal(got, value) {
				t.Error("a plain body was changed")
			}
			// The MAC is not to be guessed: behind it, everything is tried.
			if e, ok := e.(*pythonEntry); ok {
				_, _, err := e.open(append(e.sign(value), value...))
				if err != nil && !errors.Is(err, errForeign) && !errors.Is(err, errUnusable) {
					t.Errorf("behind a right MAC: %v", err)
				}
				if got, err := e.unprotect(e.protect(value, make([]byte, 16))); err != nil || !bytes.Equal(got, value) {
					t.Errorf("read back %q, %v", got, err)
				}
			}
		}
	})
}
