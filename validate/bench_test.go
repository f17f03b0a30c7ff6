package validate

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"go.mozilla.org/pkcs7"

	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// cloudCatalog is the catalog of a cloud with five services of three endpoints each: it makes a token of about 4.9 KB.
var cloudCatalog = func() string {
	var services []string
	for _, name := range []string{"identity", "compute", "image", "network", "volumev3"} {
		var endpoints []string
		for _, face := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, fmt.Sprintf(`{"id":"c038174808b448ef94089917f5ba66c4","interface":"%s","region_id":"RegionOne","url":"http://controller.example.com:8774/v2.1/%s","region":"RegionOne"}`, face, "393ee9bc"))
		}
		services = append(services, fmt.Sprintf(`{"endpoints":[%s],"id":"800a92c487f8498eab26f225c7d62260","type":"%s","name":"%[2]s"}`, strings.Join(endpoints, ","), name))
	}
	return `,"catalog":[` + strings.Join(services, ",") + `]`
}()

// BenchmarkToken sets what a token costs here beside what it is made of: the raw RSA check, and the general CMS reader.
func BenchmarkToken(b *testing.B) {
	f := newFixture(b, certstest.RSA)
	content := body("own", cloudCatalog)
	der := f.sign(f.signer, content)
	text := token.EncodePKI(der)
	pkiz, err := token.EncodePKIZ(der)
	if err != nil {
		b.Fatal(err)
	}
	forged := token.EncodePKI(flip(der, len(der)-10))
	message, err := cms.Parse(der)
	if err != nil {
		b.Fatal(err)
	}
	pub := f.signer.Cert.PublicKey.(*rsa.PublicKey)
	sum := sha256.Sum256(message.Content)
	b.Logf("PKI text %d bytes, PKIZ text %d, payload %d", len(text), len(pkiz), len(content))

	run := func(name string, once func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("raw-rsa-verify", func() error { return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], message.Signature) })
	run("strict-parse", func() error {
		_, err := cms.Parse(der)
		return err
	})
	cold := f.validator(func(o *Options) { o.CacheTTL = 0 })
	run("verify-cold", func() error {
		_, _, refused := cold.verify(context.Background(), text, token.PKI)
		return orNil(refused)
	})
	run("verify-cold-pkiz", func() error {
		_, _, refused := cold.verify(context.Background(), pkiz, token.PKIZ)
		return orNil(refused)
	})
	run("validate-cold", func() error {
		_, err := cold.Validate(context.Background(), Request{Token: text})
		return err
	})
	hot := f.validator()
	run("validate-hot", func() error {
		_, err := hot.Validate(context.Background(), Request{Token: text})
		return err
	})
	run("validate-refused-signature", func() error {
		_, _, refused := hot.verify(context.Background(), forged, token.PKI)
		return unless(refused, BadSignature)
	})
	run("validate-refused-again", func() error {
		_, err := hot.Validate(context.Background(), Request{Token: forged})
		return unless(err, BadSignature)
	})
	run("validate-refused-garbage", func() error {
		_, err := hot.Validate(context.Background(), Request{Token: text[:len(text)-8]})
		return unless(err, Malformed)
	})
	run("pkcs7-parse-and-verify", func() error {
		raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "-", "/"))
		if err != nil {
			return err
		}
		p, err := pkcs7.Parse(raw)
		if err != nil {
			return err
		}
		p.Certificates = []*x509.Certificate{f.signer.Cert}
		return p.Verify()
	})
}

func orNil(refused *Error) error {
	if refused == nil {
		return nil
	}
	return refused
}

func unless(err error, reason Reason) error {
	if ReasonOf(err) == reason {
		return nil
	}
	return fmt.Errorf("got %v, want %s", err, reason)
}
