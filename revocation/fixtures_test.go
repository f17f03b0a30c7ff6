package revocation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
	"authproxy/revocation"
)

func sharedFile(t testing.TB, name ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(shared(t, name...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sharedBundle loads signing_cert.pem and cacert.pem of a folder of fixtures.
func sharedBundle(t testing.TB, policy certs.Policy, folder ...string) (*certs.Bundle, error) {
	t.Helper()
	read := func(name string) []byte { return sharedFile(t, append(folder, name)...) }
	signing, err := certs.ParseCertificates(read("signing_cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.ParseCertificates(read("cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return certs.NewBundle(signing, ca, policy, time.Now())
}

func pollOnce(t testing.TB, b *certs.Bundle, signed []byte) (*revocation.Snapshot, error) {
	t.Helper()
	p := &revocation.Poller{Source: newSource(t, sends(signed)), Verifier: newVerifier(b)}
	err := p.Poll(t.Context())
	return p.Current(), err
}

// wantList wants the snapshot to hold just what the JSON beside the signed list says.
func wantList(t *testing.T, s *revocation.Snapshot, plain []byte) {
	t.Helper()
	var doc struct {
		Revoked []struct {
			ID      string `json:"id"`
			AuditID string `json:"audit_id"`
		} `json:"revoked"`
	}
	if err := json.Unmarshal(plain, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, e := range doc.Revoked {
		ids[e.ID] = true
		if !s.ContainsID(e.ID) || e.AuditID != "" && !s.ContainsAuditID(e.AuditID) {
			t.Errorf("%+v is not listed", e)
		}
	}
	if s.Len() != len(ids) || len(ids) == 0 || !s.HasEntriesWithoutAuditID() {
		t.Errorf("%d entries, want %d", s.Len(), len(ids))
	}
}

func TestAttackFixtures(t *testing.T) {
	t.Parallel()
	b, err := sharedBundle(t, certs.Policy{}, "attacks-pki")
	if err != nil {
		t.Fatal(err)
	}
	s, err := pollOnce(t, b, sharedFile(t, "attacks-pki", "revocation_list.pem"))
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, s, sharedFile(t, "attacks-pki", "revocation_list.json"))

	// No token of the corpus, good or forged, will do as a list.
	var attacks []struct{ Class, Name, Token string }
	if err := json.Unmarshal(sharedFile(t, "attacks.json"), &attacks); err != nil {
		t.Fatal(err)
	}
	replayed, lists := 0, 0
	for _, a := range attacks {
		signed := []byte(a.Token)
		if der, err := token.Decode(a.Token, token.Limits{}); err == nil {
			signed = cms.EncodePEM(der)
		}
		s, err := pollOnce(t, b, signed)
		switch {
		case err == nil && strings.Contains(a.Name, "revocation list"):
			lists++ // the corpus has the list itself presented as a token
		case err == nil:
			t.Errorf("%s, %s: taken for a list of %d entries", a.Class, a.Name, s.Len())
		case errors.Is(err, revocation.ErrNotAList):
			replayed++
		}
	}
	if replayed == 0 || lists > 2 {
		t.Errorf("%d tokens were replayed as lists, %d were lists", replayed, lists)
	}
}

func TestOpenStackFixtures(t *testing.T) {
	t.Parallel()
	sha1 := certs.Policy{InsecureAllowSHA1: true}
	for _, tc := range []struct {
		set, certs string
		policy     certs.Policy
		want       error
	}{
		{"ksc-5.8.0", "ksc-5.8.0", certs.Policy{}, nil},
		// The two sets have the same serial number, and the same issuer but for the kinds of string that spell it.
		{"ksc-5.8.0", "ksm-1.5.3", sha1, certs.ErrUnknownSigner},
		{"ksm-1.5.3", "ksm-1.5.3", sha1, nil},
		{"ksm-1.5.3", "ksc-5.8.0", sha1, certs.ErrUnknownSigner},
	} {
		t.Run(tc.set+" with "+tc.certs, func(t *testing.T) {
			b, err := sharedBundle(t, tc.policy, "openstack", tc.certs, "certs")
			if err != nil {
				t.Fatal(err)
			}
			file := func(ext string) []byte {
				return sharedFile(t, "openstack", tc.set, "cms", "revocation_list."+ext)
			}
			s, err := pollOnce(t, b, file("pem"))
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err == nil {
				wantList(t, s, file("json"))
			}
			if list, err := revocation.ParseList(bytes.ReplaceAll(file("json"), []byte("\n"), []byte("\r\n"))); err != nil || len(list.Entries) == 0 {
				t.Errorf("plain JSON with CRLF: %v", err)
			}
			// The .der files are empty: that is no list, and no empty one either.
			empty := file("der")
			if _, err := revocation.ParseList(empty); len(empty) != 0 || !errors.Is(err, revocation.ErrMalformed) {
				t.Errorf("%d bytes of .der: %v", len(empty), err)
			}
			if _, err := pollOnce(t, b, empty); !errors.Is(err, cms.ErrMalformed) {
				t.Errorf(".der as signed list: %v", err)
			}
			for _, name := range []string{"auth_token_scoped", "auth_v3_token_scoped", "auth_token_revoked"} {
				_, err := pollOnce(t, b, sharedFile(t, "openstack", tc.set, "cms", name+".pem"))
				if want := tc.want; err == nil || want == nil && !errors.Is(err, revocation.ErrNotAList) {
					t.Errorf("%s as a list: %v", name, err)
				}
			}
		})
	}
	if _, err := sharedBundle(t, certs.Policy{}, "openstack", "ksm-1.5.3", "certs"); !errors.Is(err, certs.ErrAlgorithm) {
		t.Errorf("SHA-1 certificates by default: %v", err)
	}
}
