package validate

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
	"authproxy/revocation"
)

// shared reads a file of the fixtures that lie beside the project, not in it.
func shared(t testing.TB, name ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "shared", "fixtures"}, name...)...))
	if err == nil {
		return data
	}
	if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
		t.Fatalf("AUTHPROXY_REQUIRE_SHARED=1, but %v", err)
	}
	t.Skipf("fixtures are not beside the project: %v", err)
	return nil
}

func sharedBundle(t testing.TB, p certs.Policy, dir ...string) *certs.Bundle {
	t.Helper()
	signing, err := certs.ParseCertificates(shared(t, append(dir, "signing_cert.pem")...))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.ParseCertificates(shared(t, append(dir, "cacert.pem")...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := certs.NewBundle(signing, ca, p, today)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// today is a time at which the fixtures' certificates and the corpus' good tokens are valid.
var today = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// sharedList reads a signed revocation list as the poller does.
func sharedList(t testing.TB, b *certs.Bundle, name ...string) *revocation.Snapshot {
	t.Helper()
	der, err := cms.DecodePEM(shared(t, name...))
	if err != nil {
		t.Fatal(err)
	}
	message, err := cms.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(&message, today); err != nil {
		t.Fatal(err)
	}
	list, err := revocation.ParseList(message.Content)
	if err != nil {
		t.Fatal(err)
	}
	return revocation.NewSnapshot(list.Entries, today)
}

func sharedValidator(t testing.TB, b *certs.Bundle, list *revocation.Snapshot, change ...func(*Options)) *Validator {
	t.Helper()
	l := new(lists)
	l.list.Store(list)
	o := Options{Signers: &signers{bundle: b}, Revocations: l, CacheTTL: time.Minute, Now: func() time.Time { return today }}
	for _, c := range change {
		c(&o)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reasons says why each attack of the corpus is refused: by class, and by class and name where a class has several reasons.
// "" is accepted. Where the corpus leaves the verdict to policy, ours is to refuse; the comments say why.
var reasons = map[string]Reason{
	"baseline":                        "",
	"baseline/revoked by md5 id":      Revoked,
	"baseline/revoked by id+audit":    Revoked,
	"baseline/revoked PKIZ by md5 id": Revoked,
	"baseline/revoked by sha256 id (hash_algorithms must include sha256)": Revoked,

	// The issuer's name in other letters names nobody.
	"malleable good token/issuer case":         UnknownSigner,
	"malleable revoked (id only)/issuer case":  UnknownSigner,
	"malleable revoked (audit id)/issuer case": UnknownSigner,

	"malleable good token":         Malformed,
	"malleable revoked (id only)":  Malformed,
	"malleable revoked (audit id)": Malformed,
	// The list names tokens by id alone, and this text is not one that Keystone's compressor made: the token may have been
	// issued, and revoked, in another.
	"malleable good token/rewrapped as PKIZ level 1":         Undecidable,
	"malleable good token/rewrapped as PKIZ level 9":         Undecidable,
	"malleable revoked (id only)/rewrapped as PKIZ level 1":  Revoked,
	"malleable revoked (id only)/rewrapped as PKIZ level 9":  Revoked,
	"malleable revoked (audit id)/rewrapped as PKIZ level 1": Revoked,
	"malleable revoked (audit id)/rewrapped as PKIZ level 9": Revoked,

	// A certificate inside the message makes it malformed, whoever signed.
	"forgery":                     Malformed,
	"variant":                     Malformed,
	"variant/good signer, sha512": "",
	"signed, not a token":         NotAToken, // an expiry without an offset may mean another time to another verifier: refused too
	"header safety":               "",        // names are for proxy/headers to refuse
	"malformed":                   Malformed,
}

// TestAttackCorpus runs every attack on a fresh Validator and on one that has seen all the others.
func TestAttackCorpus(t *testing.T) {
	var attacks []struct {
		Class, Name, Token string
		Expect             any `json:"strict_expect"`
	}
	if err := json.Unmarshal(shared(t, "attacks.json"), &attacks); err != nil {
		t.Fatal(err)
	}
	if len(attacks) < 69 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	bundle := sharedBundle(t, certs.Policy{}, "attacks-pki")
	list := sharedList(t, bundle, "attacks-pki", "revocation_list.pem")
	hashes := func(o *Options) { o.HashAlgorithms = []string{"md5", "sha256"} }
	seasoned := sharedValidator(t, bundle, list, hashes)
	for range 2 {
		for _, a := range attacks {
			reason, ok := reasons[a.Class+"/"+a.Name]
			if !ok {
				if reason, ok = reasons[a.Class]; !ok {
					t.Fatalf("no reason is expected for %s/%s", a.Class, a.Name)
				}
			}
			t.Run(a.Class+"/"+a.Name, func(t *testing.T) {
				if accepted := reason == ""; a.Expect != "policy" && accepted != (a.Expect == 200.0) {
					t.Fatalf("we expect %q, the corpus %v", reason, a.Expect)
				}
				want(t, sharedValidator(t, bundle, list, hashes), a.Token, reason)
				want(t, seasoned, a.Token, reason)
			})
		}
	}
}

// TestOpenStackFixtures gives each token that OpenStack made its verdict, with the certificates of its own set and of the
// other.
func TestOpenStackFixtures(t *testing.T) {
	sha1 := certs.Policy{InsecureAllowSHA1: true}
	newer := sharedBundle(t, certs.Policy{}, "openstack", "ksc-5.8.0", "certs")
	older := sharedBundle(t, sha1, "openstack", "ksm-1.5.3", "certs")
	lists := map[string]*revocation.Snapshot{
		"ksc-5.8.0": sharedList(t, newer, "openstack", "ksc-5.8.0", "cms", "revocation_list.pem"),
		"ksm-1.5.3": sharedList(t, older, "openstack", "ksm-1.5.3", "cms", "revocation_list.pem"),
	}
	// What each file is, by its name. Of the tokens that are called revoked the lists name just one text each: that of
	// auth_v3_token_revoked.pkiz. Tokens of v2.0 without a tenant are of no use to a service.
	verdicts := map[string]Reason{
		"auth_token_scoped": "", "auth_token_scoped_expired": Expired, "auth_token_unscoped": NoProject,
		"auth_token_revoked": "", "auth_v3_token_scoped": "", "auth_v3_token_revoked": "",
	}
	for name, verdict := range verdicts {
		for _, set := range []string{"ksc-5.8.0", "ksm-1.5.3"} {
			pem, err := cms.DecodePEM(shared(t, "openstack", set, "cms", name+".pem"))
			if err != nil {
				t.Fatal(err)
			}
			own, other := newer, older
			if set == "ksm-1.5.3" {
				own, other = older, newer
			}
			t.Run(set+"/"+name+".pem", func(t *testing.T) {
				text := token.EncodePKI(pem)
				want(t, sharedValidator(t, own, lists[set]), text, verdict)
				want(t, sharedValidator(t, other, lists[set]), text, UnknownSigner)
				listed := revocation.NewSnapshot([]revocation.Entry{{ID: md5Of(t, text)}}, today)
				if verdict == "" {
					want(t, sharedValidator(t, own, listed), text, Revoked)
				}
			})
			t.Run(set+"/"+name+".pkiz", func(t *testing.T) {
				text := strings.TrimSpace(string(shared(t, "openstack", set, "cms", name+".pkiz")))
				verdict := verdict
				if name == "auth_v3_token_revoked" {
					verdict = Revoked
				}
				// All PKIZ files, of the newer set too, are signed by the older set's key.
				want(t, sharedValidator(t, older, lists[set]), text, verdict)
				want(t, sharedValidator(t, newer, lists[set]), text, UnknownSigner)
			})
		}
	}
}

// TestOpenStackFixturesNeedSHA1 refuses the older set where SHA-1 is not allowed.
func TestOpenStackFixturesNeedSHA1(t *testing.T) {
	signing, err := certs.ParseCertificates(shared(t, "openstack", "ksm-1.5.3", "certs", "signing_cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.ParseCertificates(shared(t, "openstack", "ksm-1.5.3", "certs", "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.NewBundle(signing, ca, certs.Policy{}, today); !errors.Is(err, certs.ErrAlgorithm) {
		t.Errorf("got %v, want ErrAlgorithm", err)
	}
}
