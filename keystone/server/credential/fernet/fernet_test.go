package fernet

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The example of the specification of Fernet.
const (
	specKey   = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
	specToken = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
)

func specRing(t *testing.T) Ring {
	t.Helper()
	k, err := ParseKey(specKey)
	if err != nil || k.String() != specKey {
		t.Fatal(k, err)
	}
	return Ring{k}
}

func TestSpecification(t *testing.T) {
	ring := specRing(t)
	if text, err := ring.Open(specToken); err != nil || text != "hello" {
		t.Errorf("got %q, %v", text, err)
	}
	var iv [16]byte
	for i := range iv {
		iv[i] = byte(i)
	}
	if got := ring[0].seal([]byte("hello"), time.Unix(499162800, 0), iv); got != specToken {
		t.Errorf("got %s", got)
	}
}

func TestRing(t *testing.T) {
	one, two, three := NewKey(), NewKey(), NewKey()
	for _, text := range []string{"", "x", "ü\x00", strings.Repeat("y", 15), strings.Repeat("y", 16), strings.Repeat("y", 10000)} {
		token, hash := Ring{one, two}.Seal(text, time.Now())
		if hash != one.Hash() || hash == two.Hash() {
			t.Errorf("hash %s", hash)
		}
		for _, ring := range []Ring{{one}, {two, one}, {three, two, one}} {
			if got, err := ring.Open(token); err != nil || got != text {
				t.Errorf("%q: got %q, %v", text, got, err)
			}
		}
		if got, err := (Ring{two, three}).Open(token); err == nil {
			t.Errorf("%q: opened by other keys: %q", text, got)
		}
		if again, _ := (Ring{one}).Seal(text, time.Now()); again == token {
			t.Error("the same text is the same twice")
		}
	}
}

// TestOpenRefuses: a change of any bit, and any other length.
func TestOpenRefuses(t *testing.T) {
	ring := specRing(t)
	raw, err := base64.URLEncoding.DecodeString(specToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) * 8 {
		changed := slices.Clone(raw)
		changed[i/8] ^= 1 << (i % 8)
		if text, err := ring.Open(base64.URLEncoding.EncodeToString(changed)); err == nil {
			t.Errorf("bit %d: %q", i, text)
		}
	}
	for i := range raw {
		if text, err := ring.Open(base64.URLEncoding.EncodeToString(raw[:i])); err == nil {
			t.Errorf("%d bytes: %q", i, text)
		}
	}
	for _, token := range []string{"", "hello", specToken + "\n", specToken[:40] + "\r\n" + specToken[40:], strings.TrimRight(specToken, "="), specToken + "AAAA"} {
		if text, err := ring.Open(token); err == nil {
			t.Errorf("%q: %q", token, text)
		}
	}
	for _, key := range []string{"", "x", specKey + "\n", specKey[:40], strings.Repeat("A", 64), strings.Replace(specKey, "_", "/", 1), specKey[:42] + "5="} {
		if k, err := ParseKey(key); err == nil {
			t.Errorf("%q is the key %s", key, k)
		}
	}
}

func numbers(t *testing.T, dir string) (names string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
		names += e.Name() + " "
	}
	return strings.TrimSpace(names)
}

func TestRepository(t *testing.T) {
	r := Repository{Dir: filepath.Join(t.TempDir(), "new", "keys")}
	if _, err := r.Load(); err == nil {
		t.Error("loaded what is not there")
	}
	if err := r.Setup(); err != nil {
		t.Fatal(err)
	}
	if err := r.Setup(); err == nil {
		t.Error("set up twice")
	}
	ring, err := r.Load()
	if err != nil || len(ring) != 2 || numbers(t, r.Dir) != "0 1" {
		t.Fatal(ring, err, numbers(t, r.Dir))
	}
	token, _ := ring.Seal("text", time.Now())
	for i, want := range []string{"0 1 2", "0 2 3", "0 3 4"} {
		next := ring[len(ring)-1]
		before := ring[0]
		if err := r.Rotate(); err != nil {
			t.Fatal(err)
		}
		if ring, err = r.Load(); err != nil || ring[0] != next || ring[1] != before || numbers(t, r.Dir) != want {
			t.Errorf("rotation %d: %s, %v", i+1, numbers(t, r.Dir), err)
		}
		if _, err := ring.Open(token); (err == nil) != (i == 0) {
			t.Errorf("rotation %d: a text of the first key: %v", i+1, err)
		}
	}
	// A rotation that was interrupted is finished by the next one, which does no more.
	if err := os.Rename(r.path(0), r.path(5)); err != nil {
		t.Fatal(err)
	}
	if err := r.Setup(); err == nil {
		t.Error("set up over keys")
	}
	promoted, err := r.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(); err != nil || numbers(t, r.Dir) != "0 4 5" {
		t.Error(numbers(t, r.Dir), err)
	}
	if ring, err = r.Load(); err != nil || ring[0] != promoted[0] {
		t.Error("it went on to another key", err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "README"), []byte("no key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(); err != nil {
		t.Error(err)
	}
}

func TestRepositoryRefuses(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"mode 0640":  func(path string) error { return os.Chmod(path, 0o660) },
		"mode 0604":  func(path string) error { return os.Chmod(path, 0o604) },
		"empty":      func(path string) error { return os.Truncate(path, 0) },
		"long":       func(path string) error { return os.Truncate(path, 2000) },
		"no key":     func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o600) },
		"link":       func(path string) error { return os.Rename(path, path+"x") },
		"two keys":   func(path string) error { return os.WriteFile(path, []byte(specKey+"\n"+specKey), 0o600) },
		"half a key": func(path string) error { return os.Truncate(path, 30) },
	} {
		r := Repository{Dir: t.TempDir()}
		if err := r.Setup(); err != nil {
			t.Fatal(err)
		}
		if err := spoil(r.path(1)); err != nil {
			t.Fatal(err)
		}
		if name == "link" {
			if err := os.Symlink(r.path(1)+"x", r.path(1)); err != nil {
				t.Fatal(err)
			}
		}
		if ring, err := r.Load(); err == nil {
			t.Errorf("%s: loaded %d keys", name, len(ring))
		} else if strings.Contains(err.Error(), specKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpen: what opens has one spelling.
func FuzzOpen(f *testing.F) {
	f.Add(specToken)
	f.Add("gAAAAA==")
	f.Fuzz(func(t *testing.T, token string) {
		k, err := ParseKey(specKey)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := (Ring{k}).Open(token); err == nil && token != specToken {
			t.Errorf("%q is %q", token, text)
		}
	})
}
