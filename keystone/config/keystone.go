package config

import (
	"slices"
	"strings"
	"time"
)

// Keystone is the configuration of keystone-all and keystone-manage: the options of keystone.conf that these act on.
type Keystone struct {
	// File is the first of the configuration files, "" where the built-in defaults are used alone.
	File string

	// [DEFAULT]. AdminToken is unset where the shared secret is off. Endpoints are "" where links are made from the request's
	// Host, else as written, with %(public_port)s and the like filled in.
	AdminToken                    Secret
	PublicBindHost, AdminBindHost string
	PublicPort, AdminPort         int
	PublicEndpoint, AdminEndpoint string
	MaxRequestBodySize            int64 // bytes
	MaxParamSize                  int   // bytes of an id or name in a request
	// MaxTokenSize bounds the token text that is read from a header or a body, in bytes. Kilo's 8192 was a bound for ids;
	// a PKI token with a full catalog is longer, and the proxy takes 64 KiB.
	MaxTokenSize int
	// TrustedProxies are addresses and networks of reverse proxies whose X-Forwarded-For counts.
	TrustedProxies []string
	// NotificationFormat is "cadf" where audit events are logged, else "basic".
	NotificationFormat string
	// MemberRoleID and MemberRoleName are the role that the API v2.0 gives users on their own tenant.
	MemberRoleID, MemberRoleName string
	Debug                        bool
	LogFile, LogDir              string
	// PolicyFile and PolicyDirs hold the rules of who may do what; as written, "" and nil where the file does not say.
	PolicyFile        string
	PolicyDirs        []string
	PolicyDefaultRule string
	// PolicyRemoteChecks says which servers rules may ask: "off", "https" or "insecure_http", which has https too.
	PolicyRemoteChecks string

	// ListLimits bound lists by section, "" for [DEFAULT]; only sections that say so are there. 0 is no bound.
	ListLimits map[string]int
	// MaxProjectTreeDepth is how many levels of projects there may be.
	MaxProjectTreeDepth int
	// Inherit makes roles count that are inherited by projects ([os_inherit] enabled).
	Inherit bool

	// Later adds attributes to answers that clients of later releases look for (api_compat).
	Later bool

	// [token]
	Provider         string // "uuid", "pki" or "pkiz"
	TokenExpiration  time.Duration
	HashAlgorithm    string
	RevokeByID       bool
	Bind             []string
	EnforceTokenBind string

	Signing  Signing
	TLS      TLS
	Senders  Senders
	Guessing Guessing
	Database Database

	// [auth]
	AuthMethods []string

	// [catalog]. TemplateFile is as written; ComputePort is for URLs.
	CatalogDriver string // "sql", "templated", or "endpoint_filter.sql" for catalogs that show the endpoints of a project alone
	TemplateFile  string
	ComputePort   int

	// [identity]. DomainConfigDir has files for single domains, which domain_config_upload reads.
	DefaultDomainID string
	DomainConfigDir string

	Trust          Trust
	Federation     Federation
	EndpointFilter EndpointFilter
	OAuth1         OAuth1
	Credential     Credential

	apiCompat string
	limits    [len(limitSections)]string // of ListLimits, as written
	values    []Value
	warnings  []Warning
}

// Signing is the [signing] section: where the certificate and key are that sign tokens, and what pki_setup makes them from.
type Signing struct {
	CertFile, KeyFile string
	CACerts, CAKey    string
	KeySize           int // bits
	ValidDays         int
	CertSubject       string // "/C=US/…/CN=www.example.com"

	tokenFormat string
}

// Trust is the [trust] section.
type Trust struct {
	Enabled           bool
	AllowRedelegation bool
	// MaxRedelegationCount is how often a trust can be passed on.
	MaxRedelegationCount int
}

// OAuth1 is the [oauth1] section. How long tokens of OAuth live is 0 for ever.
type OAuth1 struct {
	RequestTokenDuration time.Duration
	AccessTokenDuration  time.Duration
	// EnforceSSL refuses the method PLAINTEXT over plain http.
	EnforceSSL bool
}

// Credential is the [credential] section.
type Credential struct {
	// AnonymousSignatures lets everybody ask whose a request is that was signed with an EC2 key.
	AnonymousSignatures bool
	// KeyRepository is the directory of the keys that credentials are encrypted with; "" where they are not.
	KeyRepository string
}

// EndpointFilter is the [endpoint_filter] section. It counts where CatalogDriver is "endpoint_filter.sql".
type EndpointFilter struct {
	// AllIfNone gives projects that no endpoint is associated with the whole catalog.
	AllIfNone bool
}

// Effective lists every option that has an effect with its value, secrets masked, and where it came from.
func (k *Keystone) Effective() []Value { return slices.Clone(k.values) }

// Warnings says what an operator should look at, though it does not stop the server.
func (k *Keystone) Warnings() []Warning { return slices.Clone(k.warnings) }

// KeystoneOptions is the table that [LoadKeystone] reads by.
func KeystoneOptions() []Option { return describe(keystoneTable()) }

// LoadKeystone reads the backend's configuration. Operators bring whole files of a real Keystone: sections and keys that mean
// nothing here only draw warnings. A wrong value of an option that is acted on is an error, as is one that asks for what is
// not there (a driver, TLS), since going on without it would surprise. The environment is not read.
func LoadKeystone(in Input) (*Keystone, error) {
	table := keystoneTable()
	l, err := newLoader(describe(table), in, "")
	if err != nil {
		return nil, err
	}
	k := new(Keystone)
	if len(in.Files) > 0 {
		k.File = in.Files[0]
	}
	l.foreignKeys()
	fill(l, k, table)
	if len(l.errs) == 0 {
		k.check(l)
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	k.ListLimits, k.Later = k.listLimits(), k.apiCompat == "later"
	k.values, k.warnings = l.values, l.warnings
	return k, nil
}

func keystoneTable() []field[Keystone] {
	return slices.Concat(defaultFields(), resourceFields(), tokenFields(), senderFields(), guessingFields(), signingFields(), delegationFields(), federationFields(), tlsFields(), driverFields())
}

func defaultFields() []field[Keystone] {
	return []field[Keystone]{
		{Option{Section: defaultSection, Name: "admin_token", Secret: true, rule: checkAdminToken,
			Help: "shared secret that makes a request all-powerful, for bootstrapping; off where empty"},
			func(k *Keystone) any { return &k.AdminToken }},
		{Option{Section: defaultSection, Name: "public_bind_host", Default: "127.0.0.1",
			Aliases: []string{"bind_host", "eventlet_server.public_bind_host"}, Help: "address of the public listener"},
			func(k *Keystone) any { return &k.PublicBindHost }},
		{Option{Section: defaultSection, Name: "admin_bind_host", Default: "127.0.0.1",
			Aliases: []string{"bind_host", "eventlet_server.admin_bind_host"}, Help: "address of the admin listener"},
			func(k *Keystone) any { return &k.AdminBindHost }},
		{Option{Section: defaultSection, Name: "public_port", Default: "5000", Min: 0, Max: 65535,
			Aliases: []string{"eventlet_server.public_port"}, Help: "port of the public listener"},
			func(k *Keystone) any { return &k.PublicPort }},
		{Option{Section: defaultSection, Name: "admin_port", Default: "35357", Min: 0, Max: 65535,
			Aliases: []string{"eventlet_server.admin_port"}, Help: "port of the admin listener"},
			func(k *Keystone) any { return &k.AdminPort }},
		{Option{Section: defaultSection, Name: "public_endpoint",
			Help: "base URL of the public listener in links; made from each request's Host where unset"},
			func(k *Keystone) any { return &k.PublicEndpoint }},
		{Option{Section: defaultSection, Name: "admin_endpoint",
			Help: "base URL of the admin listener in links; made from each request's Host where unset"},
			func(k *Keystone) any { return &k.AdminEndpoint }},
		{Option{Section: defaultSection, Name: "max_request_body_size", Default: "114688", Min: 1024, Max: 1 << 30,
			Aliases: []string{"oslo_middleware.max_request_body_size"}, Help: "longest request body in bytes"},
			func(k *Keystone) any { return &k.MaxRequestBodySize }},
		{Option{Section: defaultSection, Name: "max_param_size", Default: "64", Min: 32, Max: 4096, Help: "longest id or name in a request"},
			func(k *Keystone) any { return &k.MaxParamSize }},
		{Option{Section: defaultSection, Name: "max_token_size", Default: "65536", Min: 32, Max: 1 << 20, Help: "longest token in bytes"},
			func(k *Keystone) any { return &k.MaxTokenSize }},
		{Option{Section: defaultSection, Name: "trusted_proxies",
			Help: "addresses and networks of reverse proxies that say in X-Forwarded-For where requests come from"},
			func(k *Keystone) any { return &k.TrustedProxies }},
		{Option{Section: defaultSection, Name: "notification_format", Default: "basic", Choices: []string{"basic", "cadf"},
			Help: "cadf: log an audit event of the form CADF 1.0 for each login and change; basic: do not"},
			func(k *Keystone) any { return &k.NotificationFormat }},
		{Option{Section: defaultSection, Name: "member_role_id", Default: "9fe2ff9ee4384b1894a90878d3e92bab",
			Help: "id of the role that v2.0 gives users on their own tenant"},
			func(k *Keystone) any { return &k.MemberRoleID }},
		{Option{Section: defaultSection, Name: "member_role_name", Default: "_member_", Help: "name of that role, where it is yet to be made"},
			func(k *Keystone) any { return &k.MemberRoleName }},
		{Option{Section: defaultSection, Name: "debug", Default: "false", Help: "log more, and tell clients why they got a 401"},
			func(k *Keystone) any { return &k.Debug }},
		{Option{Section: defaultSection, Name: "log_file", Aliases: []string{"logfile"}, Help: "file to log to instead of standard error"},
			func(k *Keystone) any { return &k.LogFile }},
		{Option{Section: defaultSection, Name: "log_dir", Aliases: []string{"logdir"}, Help: "directory of log_file"},
			func(k *Keystone) any { return &k.LogDir }},
		{Option{Section: defaultSection, Name: "policy_file", Aliases: []string{"oslo_policy.policy_file"},
			Help: "JSON file of the rules who may do what; unset: policy.json beside the configuration file, else the built-in rules"},
			func(k *Keystone) any { return &k.PolicyFile }},
		{Option{Section: defaultSection, Name: "policy_dirs", Aliases: []string{"oslo_policy.policy_dirs"},
			Help: "directories of more rules, whose *.json files replace rules of policy_file; unset: policy.d beside the configuration file"},
			func(k *Keystone) any { return &k.PolicyDirs }},
		{Option{Section: defaultSection, Name: "policy_default_rule", Default: "default", Aliases: []string{"oslo_policy.policy_default_rule"},
			Help: "name of the rule that decides where there is none"},
			func(k *Keystone) any { return &k.PolicyDefaultRule }},
		{Option{Section: defaultSection, Name: "policy_remote_checks", Default: "off", Choices: []string{"off", "https", "insecure_http"},
			Help: "which servers rules may ask: off, https, or insecure_http for both kinds of URL"},
			func(k *Keystone) any { return &k.PolicyRemoteChecks }},
		{Option{Section: "database", Name: "connection", Default: "sqlite:///keystone.db", Secret: true,
			Deprecated: []string{"DEFAULT.sql_connection", "sql.connection"},
			Help:       "where data is kept: sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host/name"},
			func(k *Keystone) any { return &k.Database.connection }},
		{Option{Section: "database", Name: "idle_timeout", Default: "3600", Min: 1,
			Deprecated: []string{"DEFAULT.sql_idle_timeout", "sql.idle_timeout"}, Help: "seconds after which an idle connection is closed"},
			func(k *Keystone) any { return &k.Database.IdleTimeout }},
		{Option{Section: "database", Name: "max_pool_size", Default: "10", Min: 1, Max: 10000,
			Deprecated: []string{"DEFAULT.sql_max_pool_size", "DATABASE.sql_max_pool_size"}, Help: "connections to PostgreSQL that are kept open"},
			func(k *Keystone) any { return &k.Database.MaxPoolSize }},
		{Option{Section: "database", Name: "max_overflow", Default: "20", Min: 0, Max: 10000,
			Deprecated: []string{"DEFAULT.sql_max_overflow", "DATABASE.sqlalchemy_max_overflow"}, Help: "further connections under load"},
			func(k *Keystone) any { return &k.Database.MaxOverflow }},
		{Option{Section: "catalog", Name: "driver", Default: "sql", Choices: []string{"sql", "templated", "endpoint_filter.sql"}, dotted: catalogDriver,
			Help: "where the catalog is: sql, templated for template_file, or endpoint_filter.sql to show each project the endpoints that are associated with it"},
			func(k *Keystone) any { return &k.CatalogDriver }},
		{Option{Section: "catalog", Name: "template_file", Default: "default_catalog.templates",
			Help: "file of the catalog, beside the configuration file unless it is absolute"},
			func(k *Keystone) any { return &k.TemplateFile }},
		{Option{Section: defaultSection, Name: "compute_port", Default: "8774", Min: 0, Max: 65535, Help: "what $(compute_port)s in endpoint URLs stands for"},
			func(k *Keystone) any { return &k.ComputePort }},
		{Option{Section: "identity", Name: "default_domain_id", Default: "default", Help: "id of the domain that v2.0 shows"},
			func(k *Keystone) any { return &k.DefaultDomainID }},
		{Option{Section: "identity", Name: "domain_config_dir", Default: "/etc/keystone/domains",
			Help: "directory of the files keystone.DOMAIN.conf, for keystone-manage domain_config_upload alone: no driver reads them"},
			func(k *Keystone) any { return &k.DomainConfigDir }},
	}
}

func tokenFields() []field[Keystone] {
	return []field[Keystone]{
		{Option{Section: "token", Name: "provider", Choices: []string{"uuid", "pki", "pkiz"}, dotted: className("keystone.token.providers.", ".Provider"),
			Help: "form of the tokens that are issued: uuid (the default), pki, pkiz, or keystone.token.providers.pki.Provider and the like"},
			func(k *Keystone) any { return &k.Provider }},
		{Option{Section: "token", Name: "expiration", Default: "3600", Min: 1, Max: 10 * 365 * 86400, Help: "seconds that a token is valid"},
			func(k *Keystone) any { return &k.TokenExpiration }},
		{Option{Section: "token", Name: "hash_algorithm", Default: "md5", Choices: hashNames,
			Help: "hash of PKI tokens that is their id; proxies name it in hash_algorithms"},
			func(k *Keystone) any { return &k.HashAlgorithm }},
		{Option{Section: "token", Name: "revoke_by_id", Default: "true", Help: "keep revoked ids, and serve the revocation list"},
			func(k *Keystone) any { return &k.RevokeByID }},
		{Option{Section: "token", Name: "bind", Choices: []string{"kerberos", "x509"}, Help: "mechanisms that new tokens are bound to: kerberos, x509"},
			func(k *Keystone) any { return &k.Bind }},
		{Option{Section: "token", Name: "enforce_token_bind", Default: "permissive", rule: checkBind,
			Help: "disabled, permissive, strict, required, or the name of the mechanism that every token must be bound to (kerberos, x509)"},
			func(k *Keystone) any { return &k.EnforceTokenBind }},
		{Option{Section: "auth", Name: "methods", Default: "password,token,oauth1", Choices: append([]string{"external", "kerberos", "password", "token", "oauth1"}, FederatedMethods[:]...),
			Help: "ways to log in: external, kerberos, password, token, oauth1; by identity providers saml2, oidc, openid, and mapped for any protocol"},
			func(k *Keystone) any { return &k.AuthMethods }},
	}
}

func signingFields() []field[Keystone] {
	return []field[Keystone]{
		{Option{Section: "signing", Name: "token_format", Choices: []string{"PKI", "UUID"}, Help: "old way to say [token] provider; must agree with it"},
			func(k *Keystone) any { return &k.Signing.tokenFormat }},
		{Option{Section: "signing", Name: "certfile", Default: "/etc/keystone/ssl/certs/signing_cert.pem", Help: "PEM file of the certificates that verify tokens"},
			func(k *Keystone) any { return &k.Signing.CertFile }},
		{Option{Section: "signing", Name: "keyfile", Default: "/etc/keystone/ssl/private/signing_key.pem", Help: "PEM file of the private key that signs tokens"},
			func(k *Keystone) any { return &k.Signing.KeyFile }},
		{Option{Section: "signing", Name: "ca_certs", Default: "/etc/keystone/ssl/certs/ca.pem", Help: "PEM file of the CA that issued certfile"},
			func(k *Keystone) any { return &k.Signing.CACerts }},
		{Option{Section: "signing", Name: "ca_key", Default: "/etc/keystone/ssl/private/cakey.pem", Help: "private key of the CA, for pki_setup"},
			func(k *Keystone) any { return &k.Signing.CAKey }},
		{Option{Section: "signing", Name: "key_size", Default: "2048", Min: 512, Max: 16384, Help: "bits of the keys that pki_setup makes"},
			func(k *Keystone) any { return &k.Signing.KeySize }},
		{Option{Section: "signing", Name: "valid_days", Default: "3650", Min: 1, Max: 36500, Help: "days that certificates of pki_setup are valid"},
			func(k *Keystone) any { return &k.Signing.ValidDays }},
		{Option{Section: "signing", Name: "cert_subject", Default: "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com", rule: checkSubject,
			Help: "subject of the certificates that pki_setup makes"},
			func(k *Keystone) any { return &k.Signing.CertSubject }},
	}
}

func delegationFields() []field[Keystone] {
	return []field[Keystone]{
		{Option{Section: "trust", Name: "enabled", Default: "true", Help: "let users trust each other with roles (OS-TRUST)"},
			func(k *Keystone) any { return &k.Trust.Enabled }},
		{Option{Section: "trust", Name: "allow_redelegation", Default: "false", Help: "let who was trusted pass that on"},
			func(k *Keystone) any { return &k.Trust.AllowRedelegation }},
		{Option{Section: "trust", Name: "max_redelegation_count", Default: "3", Min: 0, Max: 100, Help: "how often a trust can be passed on"},
			func(k *Keystone) any { return &k.Trust.MaxRedelegationCount }},
		{Option{Section: "oauth1", Name: "request_token_duration", Default: "28800", Min: 0, Max: 10 * 365 * 86400,
			Help: "seconds that a program's request to act for a user can be granted, 0 for ever"},
			func(k *Keystone) any { return &k.OAuth1.RequestTokenDuration }},
		{Option{Section: "oauth1", Name: "access_token_duration", Default: "86400", Min: 0, Max: 10 * 365 * 86400,
			Help: "seconds that a program can act for a user who granted that, 0 for ever"},
			func(k *Keystone) any { return &k.OAuth1.AccessTokenDuration }},
		{Option{Section: "credential", Name: "key_repository",
			Help: "directory of the keys that credentials are encrypted with, see keystone-manage credential_setup; unset: they are not"},
			func(k *Keystone) any { return &k.Credential.KeyRepository }},
		{Option{Section: "oauth1", Name: "enforce_ssl", Default: "true",
			Help: "refuse OAuth's method PLAINTEXT over plain http, where everybody on the way can read the secrets"},
			func(k *Keystone) any { return &k.OAuth1.EnforceSSL }},
		{Option{Section: "credential", Name: "insecure_anonymous_signatures", Default: "false",
			Help: "let everybody hand over requests signed with EC2 keys to ec2tokens and s3tokens, as before CVE-2025-65073 was known: for services that cannot log in"},
			func(k *Keystone) any { return &k.Credential.AnonymousSignatures }},
		{Option{Section: "endpoint_filter", Name: "return_all_endpoints_if_no_filter", Default: "true",
			Help: "give projects without endpoints of their own the whole catalog, where [catalog] driver shows a project its own"},
			func(k *Keystone) any { return &k.EndpointFilter.AllIfNone }},
	}
}

// driverFields are options that ask for a part by name, of which there is one. They have no place in Keystone: any other
// value is an error.
func driverFields() []field[Keystone] {
	only := func(section, name, help string, rule func(string) error) field[Keystone] {
		return field[Keystone]{Option: Option{Section: section, Name: name, Help: help, rule: rule}}
	}
	fields := []field[Keystone]{
		only("auth", "kerberos", "class of the method kerberos", checkClass("keystone.auth.plugins.external.KerberosDomain", "KerberosDomain")),
		only("auth", "password", "class of the method password", checkClass("keystone.auth.plugins.password.Password", "password")),
		only("auth", "token", "class of the method token", checkClass("keystone.auth.plugins.token.Token", "token")),
		only("auth", "oauth1", "class of the method oauth1", checkClass("keystone.auth.plugins.oauth1.OAuth", "oauth1")),
		only("identity", "domain_specific_drivers_enabled", "one identity driver for each domain", checkNoDomainDrivers),
		only("token", "driver", "where tokens are kept",
			checkClass("keystone.token.persistence.backends.sql.Token", "keystone.token.backends.sql.Token", "sql")),
	}
	for _, class := range []string{
		"keystone.identity.backends.sql.Identity", "keystone.resource.backends.sql.Resource",
		"keystone.assignment.backends.sql.Assignment", "keystone.assignment.role_backends.sql.Role",
	} {
		section := strings.ToLower(class[strings.LastIndexByte(class, '.')+1:])
		fields = append(fields, only(section, "driver", "where the data of ["+section+"] is kept", checkClass(class, "sql")))
	}
	return fields
}
