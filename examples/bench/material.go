package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// material is what the proxies check: certificates in files, and token texts.
type material struct {
	signingCert, ca, revoked, publicKey string // files
	pki, jwt                            []string
	sizedPKI, sizedJWT                  []string // of growing size
}

// sizes are the sizes of sized tokens, about.
var sizes = []int{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10}

// maxJWT bounds the JWTs: none of those who check them keeps any, so that many cost what some do.
const maxJWT = 10_000

// makeMaterial makes a CA, a signer, an empty revocation list and n tokens of each kind.
func makeMaterial(dir string, n int) (*material, error) {
	file := func(name string) string { return filepath.Join(dir, name) }
	m := &material{signingCert: file("certs/signing_cert.pem"), ca: file("certs/ca.pem"), revoked: file("revoked.pem"), publicKey: file("public.pem")}
	if err := certs.Setup(certs.SetupOptions{
		CertFile: m.signingCert, KeyFile: file("private/signing_key.pem"), CACerts: m.ca, CAKey: file("private/cakey.pem"),
		KeySize: 2048, ValidDays: 10, Subject: "/C=US/O=Unset/CN=bench",
	}); err != nil {
		return nil, err
	}
	pair, err := certs.LoadSigner(m.signingCert, file("private/signing_key.pem"))
	if err != nil {
		return nil, err
	}
	list, err := cms.Sign([]byte(`{"revoked":[]}`), pair.Leaf, pair.Key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(pair.Key.Public())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.revoked, cms.EncodePEM(list), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.publicKey, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		return nil, err
	}
	m.pki, m.jwt = make([]string, n), make([]string, min(n, maxJWT))
	m.sizedPKI, m.sizedJWT = make([]string, len(sizes)), make([]string, len(sizes))
	for i, size := range sizes {
		if err := m.makeSized(i, size, pair); err != nil {
			return nil, err
		}
	}
	var group sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for worker := range errs {
		group.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += len(errs) {
				errs[worker] = m.makeTokens(i, pair)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// services and groups make the tokens that are common: a PKI token of 4.9 KB for five services, a JWT of 2.3 KB.
const (
	services = 5
	groups   = 90
)

func (m *material) makeTokens(i int, pair *certs.SigningPair) (err error) {
	if m.pki[i], err = signPKI(services, pair); err == nil && i < len(m.jwt) {
		m.jwt[i], err = signJWT(groups, pair.Key.(*rsa.PrivateKey))
	}
	return err
}

// makeSized makes tokens of about a size: of the last size that is not above, or the smallest that there is.
func (m *material) makeSized(i, size int, pair *certs.SigningPair) (err error) {
	for n := 0; ; n++ {
		text, err := signPKI(n, pair)
		if err != nil {
			return err
		}
		if n > 0 && len(text) > size {
			break
		}
		m.sizedPKI[i] = text
	}
	m.sizedJWT[i], err = signJWT(max(0, size*3/4-350)/len(group), pair.Key.(*rsa.PrivateKey))
	return err
}

func auditID() (string, error) {
	var id [16]byte
	_, err := rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:]), err
}

const lifetime = 24 * time.Hour

func signPKI(services int, pair *certs.SigningPair) (string, error) {
	audit, err := auditID()
	if err != nil {
		return "", err
	}
	der, err := cms.Sign(payload(audit, time.Now().Add(lifetime).UTC(), services), pair.Leaf, pair.Key, crypto.SHA256)
	return token.EncodePKI(der), err
}

// payload is a token body as a cloud with so many services issues it.
func payload(audit string, expires time.Time, n int) []byte {
	names := []string{"identity", "compute", "image", "network", "volumev3"}
	var services []string
	for i := range n {
		var endpoints []string
		for _, face := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, fmt.Sprintf(`{"id":"c038174808b448ef94089917f5ba66c4","interface":"%s","region_id":"RegionOne","url":"http://controller.example.com:8774/v2.1","region":"RegionOne"}`, face))
		}
		services = append(services, fmt.Sprintf(`{"endpoints":[%s],"id":"800a92c487f8498eab26f225c7d62260","type":"%s","name":"%[2]s"}`, strings.Join(endpoints, ","), names[i%len(names)]))
	}
	return fmt.Appendf(nil, `{"token":{"methods":["password"],"extras":{},"project":{"id":"393ee9bc054e4acca3da070bb357c77e","name":"demo","domain":{"id":"default","name":"Default"}},`+
		`"user":{"id":"456ab2afb74c4c0380614ba3695a832b","name":"alice","domain":{"id":"default","name":"Default"}},"roles":[{"id":"3f155233ce24407ca28418ba2eb31f0e","name":"member"}],`+
		`"audit_ids":["%s"],"catalog":[%s],"expires_at":"%s","issued_at":"%s"}}`, audit, strings.Join(services, ","), expires.Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano))
}

const group = "group-of-users,"

// signJWT makes an RS256 token (RFC 7519) as identity providers issue it for a user with so many groups.
func signJWT(groups int, key *rsa.PrivateKey) (string, error) {
	id, err := auditID()
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://idp.example.com", "aud": "upstream", "sub": "alice", "jti": id, "exp": time.Now().Add(lifetime).Unix(), "groups": strings.Repeat(group, groups),
	})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + enc.EncodeToString(signature), nil
}

// spoil changes the signature of a token, in another way for each n.
func spoil(text string, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := []byte(text)
	step, base := 1+n%(len(alphabet)-1), len(alphabet)-1 // the first character changes in any case
	for i := range 4 {
		at := len(b) - 40 - i
		b[at] = alphabet[(strings.IndexByte(alphabet, b[at])+len(alphabet)+step)%len(alphabet)]
		n /= base
		step, base = n%len(alphabet), len(alphabet)
	}
	return string(b)
}
