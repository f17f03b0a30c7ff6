package config

import "slices"

// Senders is what says who sends a request, for the methods external and kerberos and for bound tokens ([auth]).
type Senders struct {
	// TrustedPeers are addresses and networks, TrustedPeerNames names in client certificates, of front ends that say by
	// X-Remote-User, X-Auth-Type and X-Remote-Domain whom they have authenticated.
	TrustedPeers, TrustedPeerNames []string
	KerberosKeytab                 string // "" where the server does not do Kerberos itself
	KerberosPrincipal              string // "" for every HTTP/… of the keytab
	KerberosRealmMap               []string
	// External is the class of the method external: DefaultDomain, Domain or KerberosDomain.
	External string
}

// Domains says whether front ends may say which domain a user is of.
func (s Senders) Domains() bool { return s.External != "DefaultDomain" }

// Any says whether users can be told by anything but what they send themselves.
func (s Senders) Any() bool {
	return len(s.TrustedPeers)+len(s.TrustedPeerNames) > 0 || s.KerberosKeytab != ""
}

// TLS is the [eventlet_server_ssl] section, [ssl] by its older name: TLS on both listeners, and what ssl_setup makes files from.
type TLS struct {
	Enable            bool
	CertFile, KeyFile string // the key may stand in CertFile
	CACerts, CAKey    string
	CertRequired      bool
	KeySize           int // bits
	ValidDays         int
	CertSubject       string
}

// ClientCertificates says whether clients are asked for certificates, which have to be of one of the CAs in CACerts.
func (k *Keystone) ClientCertificates() bool {
	return k.TLS.Enable && (k.TLS.CertRequired || k.EnforceTokenBind == "x509" || slices.Contains(k.Bind, "x509") || len(k.Senders.TrustedPeerNames) > 0)
}

func senderFields() []field[Keystone] {
	return []field[Keystone]{
		{Option{Section: "auth", Name: "trusted_peers",
			Help: "addresses and networks of front ends that say in X-Remote-User and X-Auth-Type whom they have authenticated"},
			func(k *Keystone) any { return &k.Senders.TrustedPeers }},
		{Option{Section: "auth", Name: "trusted_peer_names", Help: "DNS names or URIs in client certificates of such front ends"},
			func(k *Keystone) any { return &k.Senders.TrustedPeerNames }},
		{Option{Section: "auth", Name: "kerberos_keytab", Help: "keytab with the keys of HTTP/…, by which clients are authenticated (Negotiate)"},
			func(k *Keystone) any { return &k.Senders.KerberosKeytab }},
		{Option{Section: "auth", Name: "kerberos_principal", Help: "the one principal that tickets may be for; unset: every HTTP/… of the keytab"},
			func(k *Keystone) any { return &k.Senders.KerberosPrincipal }},
		{Option{Section: "auth", Name: "kerberos_realm_map",
			Help: "REALM=TEXT: write alice@REALM as alice@TEXT, or as alice where TEXT is empty, to find the user of that name"},
			func(k *Keystone) any { return &k.Senders.KerberosRealmMap }},
		{Option{Section: "auth", Name: "external", Default: "DefaultDomain", Choices: []string{"DefaultDomain", "Domain", "KerberosDomain"},
			dotted: className("keystone.auth.plugins.external.", ""),
			Help:   "in which domain users are whom a front end has authenticated: the default one (DefaultDomain), or that of X-Remote-Domain (Domain; KerberosDomain, by Kerberos alone)"},
			func(k *Keystone) any { return &k.Senders.External }},
	}
}

func tlsFields() []field[Keystone] {
	const section = "eventlet_server_ssl"
	option := func(name, value, help string, at func(*Keystone) any) field[Keystone] {
		return field[Keystone]{Option{Section: section, Name: name, Default: value, Aliases: []string{"ssl." + name}, Help: help}, at}
	}
	made := func(o Option, at func(*Keystone) any) field[Keystone] {
		o.Section = "ssl"
		return field[Keystone]{o, at}
	}
	return []field[Keystone]{
		option("enable", "false", "TLS on both listeners", func(k *Keystone) any { return &k.TLS.Enable }),
		option("certfile", "/etc/keystone/ssl/certs/keystone.pem", "PEM file of the server's certificate and those above it",
			func(k *Keystone) any { return &k.TLS.CertFile }),
		option("keyfile", "/etc/keystone/ssl/private/keystonekey.pem", "PEM file of its private key, which may stand in certfile instead",
			func(k *Keystone) any { return &k.TLS.KeyFile }),
		option("ca_certs", "/etc/keystone/ssl/certs/ca.pem", "PEM file of the CAs of clients", func(k *Keystone) any { return &k.TLS.CACerts }),
		option("cert_required", "false", "refuse clients without a certificate", func(k *Keystone) any { return &k.TLS.CertRequired }),
		made(Option{Name: "ca_key", Default: "/etc/keystone/ssl/private/cakey.pem", Help: "private key of the CA, for ssl_setup"},
			func(k *Keystone) any { return &k.TLS.CAKey }),
		made(Option{Name: "key_size", Default: "2048", Min: 512, Max: 16384, Help: "bits of the keys that ssl_setup makes"},
			func(k *Keystone) any { return &k.TLS.KeySize }),
		made(Option{Name: "valid_days", Default: "3650", Min: 1, Max: 36500, Help: "days that certificates of ssl_setup are valid"},
			func(k *Keystone) any { return &k.TLS.ValidDays }),
		made(Option{Name: "cert_subject", Default: "/C=US/ST=Unset/L=Unset/O=Unset/CN=localhost", rule: checkSubject,
			Help: "subject of the certificate that ssl_setup makes; its CN is the server's name"},
			func(k *Keystone) any { return &k.TLS.CertSubject }),
	}
}

// checkSenders says where what is asked for cannot come about: a cloud that counts on bound tokens is not to be started without.
func (k *Keystone) checkSenders(l *loader) {
	fail := func(section, option, format string, args ...any) {
		l.fail(l.where(option), "["+section+"] "+option, format, args...)
	}
	certificates := k.ClientCertificates()
	for _, name := range k.Bind {
		switch {
		case name == "kerberos" && !k.Senders.Any():
			fail("token", "bind", "tokens cannot be bound to kerberos where nothing says who sends a request; set [auth] kerberos_keytab or trusted_peers")
		case name == "x509" && !certificates:
			fail("token", "bind", "tokens cannot be bound to x509 without TLS; set [eventlet_server_ssl] enable")
		}
	}
	switch mode := k.EnforceTokenBind; {
	case mode == "kerberos" && !slices.Contains(k.Bind, mode), mode == "x509" && !slices.Contains(k.Bind, mode):
		fail("token", "enforce_token_bind", "refuses every token here, since none is bound to %s; set [token] bind = %s too", mode, mode)
	case mode == "required" && len(k.Bind) == 0:
		fail("token", "enforce_token_bind", "refuses every token here, since none is bound; set [token] bind too")
	}
	switch {
	case len(k.Senders.TrustedPeerNames) > 0 && !certificates:
		fail("auth", "trusted_peer_names", "count only in client certificates; set [eventlet_server_ssl] enable")
	case k.Senders.KerberosPrincipal != "" && k.Senders.KerberosKeytab == "":
		fail("auth", "kerberos_principal", "has no effect without kerberos_keytab")
	case len(k.Senders.KerberosRealmMap) > 0 && !k.Senders.Any():
		fail("auth", "kerberos_realm_map", "has no effect without kerberos_keytab or trusted_peers: nobody else brings a principal")
	}
	for _, name := range []string{"external", "kerberos"} {
		if slices.Contains(k.AuthMethods, name) && !k.Senders.Any() {
			l.warn(l.where("methods"), "[auth] methods", "%s lets nobody in, since nothing says who sends a request; set [auth] kerberos_keytab or trusted_peers", name)
		}
	}
}
