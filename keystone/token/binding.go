package token

func (d *decoder) bind() {
	d.members("bind", func(name string) {
		if d.t.Bind == nil {
			d.t.Bind = make(map[string]string, 1)
		}
		d.t.Bind[name] = d.text("bind")
	})
}

// oauth2Credential takes what Keystone's OAuth 2.0 with mutual TLS (OS-OAUTH2) puts into a token: the thumbprint of the
// client certificate that it was issued to (RFC 8705, section 3.1).
func (d *decoder) oauth2Credential() {
	d.members("oauth2_credential", func(name string) {
		switch {
		case name != "x5t#S256":
			d.skip()
		case !d.null():
			d.certificate, d.boundToIt = d.text("oauth2_credential.x5t#S256"), true
		}
	})
}

// foldCertificate makes one binding of bind.x509 and oauth2_credential, which say the same in two places.
func (d *decoder) foldCertificate() {
	if !d.boundToIt {
		return
	}
	if other, ok := d.t.Bind["x509"]; ok && other != d.certificate {
		d.wrong("bind.x509 and oauth2_credential name two certificates")
		return
	}
	if d.t.Bind == nil {
		d.t.Bind = make(map[string]string, 1)
	}
	d.t.Bind["x509"] = d.certificate
}
