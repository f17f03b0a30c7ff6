package spnego

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

func TestKeytab(t *testing.T) {
	k := newKDC(t)
	k.add(other, etypeID.AES128_CTS_HMAC_SHA1_96)
	k.save(k.file)
	for only, want := range map[string][]string{
		"":                        {service + "@" + realm, other + "@" + realm},
		other + "@" + realm:       {other + "@" + realm},
		"host/localhost@" + realm: {"host/localhost@" + realm}, // if the operator wants it
	} {
		a := k.acceptor(func(o *Options) { o.Principal = only })
		if got := a.Principals(); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", only, got, want)
		}
	}
	token, _ := k.token(nil)
	if _, _, err := k.acceptor(func(o *Options) { o.Principal = other + "@" + realm }).Accept(token); !errors.Is(err, ErrTicket) {
		t.Errorf("a ticket for another principal of the keytab: %v", err)
	}
}

func TestWrongKeytab(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	of := func(name string, entries ...any) string {
		k := &kdc{t: t, table: keytab.New()}
		for i := 0; i < len(entries); i += 2 {
			k.add(entries[i].(string), entries[i+1].(int32))
		}
		path := filepath.Join(dir, name)
		k.save(path)
		return path
	}
	good := of("good", service, etypeID.AES256_CTS_HMAC_SHA1_96, "host/localhost", etypeID.AES256_CTS_HMAC_SHA1_96)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ file, only, want string }{
		"missing":           {filepath.Join(dir, "nothing"), "", "no such file"},
		"directory":         {dir, "", "is not a file"},
		"open to all":       {file("open", content, 0o644), "", "can be read or changed by every user (mode 0644): chmod 600 "},
		"empty":             {file("empty", nil, 0o600), "", "this is no keytab"},
		"no keytab":         {file("text", []byte("password = hunter2"), 0o600), "", "this is no keytab"},
		"damaged":           {file("damaged", content[:40], 0o600), "", "this is no keytab"},
		"no keys":           {file("head", []byte{5, 2, 0, 0, 0, 0}, 0o600), "", "has no keys"},
		"no such principal": {good, "HTTP/www.example.org@" + realm, "no key for the principal HTTP/www.example.org@TEST.EXAMPLE.ORG; it has keys for HTTP/localhost@TEST.EXAMPLE.ORG, host/localhost@"},
		"none for HTTP":     {of("host", "host/localhost", etypeID.AES256_CTS_HMAC_SHA1_96), "", "no key for the principal HTTP/…; it has keys for host/localhost@"},
		"RC4 only":          {of("rc4", service, etypeID.RC4_HMAC), "", "no AES key for HTTP/…"},
	} {
		_, err := New(Options{KeytabFile: tt.file, Principal: tt.only})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
		if err != nil && (bytes.Contains([]byte(err.Error()), content[20:40]) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: the error holds content of the file", name)
		}
	}
}

// TestReload: a keytab with a new key is taken, one that cannot be used is not.
func TestReload(t *testing.T) {
	k := newKDC(t)
	a := k.acceptor(nil)
	if err := os.WriteFile(k.file, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err == nil {
		t.Error("a broken keytab was taken")
	}
	token, _ := k.token(nil)
	if _, _, err := a.Accept(token); err != nil {
		t.Errorf("the last good keytab did not stay: %v", err)
	}
	forOther := func(d *draft) { d.service, d.key = other, other }
	k.add(other, etypeID.AES256_CTS_HMAC_SHA1_96)
	token, _ = k.token(forOther)
	if _, _, err := a.Accept(token); !errors.Is(err, ErrTicket) {
		t.Errorf("before: %v", err)
	}
	k.save(k.file)
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Accept(token); err != nil {
		t.Errorf("after: %v", err)
	}
}

func FuzzKeytab(f *testing.F) {
	k := newKDC(f)
	content, err := os.ReadFile(k.file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := parseKeytab(content); err != nil && !errors.Is(err, errKeytab) {
			t.Fatal(err)
		}
	})
}
