package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// SetupServer makes a certificate for a TLS server, with its key: what "keystone-manage ssl_setup" does. CertFile and KeyFile are
// those of the server; the certificate is for the name or the address in the subject's CN. A CA that is there, with its key,
// issues it, else one is made. Rebuild makes all of them new. See Setup for the rest.
func SetupServer(o SetupOptions) error {
	if o.Subject == "" {
		o.Subject = "/C=US/ST=Unset/L=Unset/O=Unset/CN=localhost"
	}
	if err := o.complete(); err != nil {
		return err
	}
	if !o.Rebuild {
		if err := refuseExisting([]string{o.CertFile, o.KeyFile}); err != nil {
			return fmt.Errorf("%w; use rebuild to replace the server's certificate, its key and the CA", err)
		}
	}
	name, err := parseSubject(o.Subject)
	if err != nil {
		return err
	}
	files := []newFile{}
	ca, caKey, err := o.existingCA()
	if err != nil {
		return err
	}
	if ca == nil {
		caName := append(name[:len(name):len(name)], pkix.RelativeDistinguishedNameSET{{Type: attributes["ou"].oid, Value: "Certificate Authority"}})
		template, err := newTemplate(caName, o.Now(), o.ValidDays)
		if err != nil {
			return err
		}
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		var text []byte
		if ca, caKey, text, err = o.issue(template, nil, nil); err != nil {
			return fmt.Errorf("CA: %w", err)
		}
		files = append(files, newFile{o.CAKey, text, 0o600}, newFile{o.CACerts, encode([]*x509.Certificate{ca}), 0o644})
	}
	leaf, err := newTemplate(name, o.Now(), o.ValidDays)
	if err != nil {
		return err
	}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	host := commonName(name)
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	if leaf.NotAfter.After(ca.NotAfter) {
		leaf.NotAfter = ca.NotAfter
	}
	cert, _, key, err := o.issue(leaf, ca, caKey)
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: o.Now()}); err != nil {
		return fmt.Errorf("no client would accept the server's certificate: %w", err)
	}
	return placeAll(append(files, newFile{o.KeyFile, key, 0o600}, newFile{o.CertFile, encode([]*x509.Certificate{cert}), 0o644}), o.Rebuild)
}

// existingCA is the CA that is there, nil where there is none or where it is to be replaced.
func (o *SetupOptions) existingCA() (*x509.Certificate, crypto.Signer, error) {
	if o.Rebuild {
		return nil, nil, nil
	}
	missing := 0
	for _, path := range []string{o.CACerts, o.CAKey} {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			missing++
		} else if err != nil {
			return nil, nil, err
		}
	}
	if missing == 2 {
		return nil, nil, nil
	}
	list, _, err := ReadCertificates(o.CACerts)
	var pair SigningPair
	if err == nil {
		err = pair.readKey(o.CAKey)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("CA that is there: %w", err)
	}
	for _, c := range list {
		if sameKey(c.PublicKey, pair.Key.Public()) {
			return c, pair.Key, nil
		}
	}
	return nil, nil, fmt.Errorf("no certificate in %s goes with the CA key %s", o.CACerts, o.CAKey)
}

// commonName is the last CN of a subject.
func commonName(name pkix.RDNSequence) (cn string) {
	for _, set := range name {
		for _, a := range set {
			if text, ok := a.Value.(string); ok && a.Type.Equal(attributes["cn"].oid) {
				cn = text
			}
		}
	}
	return cn
}

// newFile is a file that is to be made.
type newFile struct {
	path string
	text []byte
	mode fs.FileMode
}

// placeAll writes files, and gives them their names when all are complete.
func placeAll(list []newFile, replace bool) error {
	var files []staged
	defer func() {
		for _, f := range files {
			os.Remove(f.temporary) // gone already where it was put in place
		}
	}()
	for _, n := range list {
		f, err := stage(n.path, n.text, n.mode, nil)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return putInPlace(files, replace)
}
