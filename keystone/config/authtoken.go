package config

import (
	"slices"
	"time"
)

// AuthTokenSection is the section of an OpenStack service's file that the proxy reads.
const AuthTokenSection = "keystone_authtoken"

// envPrefix begins the environment variables of the proxy: AUTHPROXY_AUTH_URL.
const envPrefix = "AUTHPROXY_"

// AuthToken is the configuration of the proxy: what Python's auth_token middleware knows, and the proxy's own options.
// Texts are "" and lists nil where an option is unset.
type AuthToken struct {
	// The Identity service, and how to log in there. AuthURL is "" where the proxy runs without one.
	AuthURL     string
	AuthType    string // "password", "application_credential", "admin_token" or "none"
	AuthVersion string // "auto", "v3" or "v2.0"
	AuthSection string

	Username, UserID               string
	Password                       Secret
	UserDomainID, UserDomainName   string
	ProjectID, ProjectName         string
	ProjectDomainID                string
	ProjectDomainName              string
	DomainID, DomainName           string
	DefaultDomainID                string
	DefaultDomainName              string
	SystemScope, TrustID           string
	ApplicationCredentialID        string
	ApplicationCredentialName      string
	ApplicationCredentialSecret    Secret
	Token                          Secret // of auth_type admin_token
	CAFile, CertFile, KeyFile      string
	Insecure                       bool
	HTTPConnectTimeout             time.Duration
	HTTPRequestMaxRetries          int
	WWWAuthenticateURI             string
	Interface, RegionName          string
	SigningDir                     string
	SigningCertFile, SigningCAFile string
	RevocationFile                 string
	InsecureSkipRevocation         bool

	// How tokens are judged.
	PKI                    string // "auto", "required" or "off"
	HashAlgorithms         []string
	EnforceTokenBind       string // a mode, or the name of the mechanism that is required
	DelayAuthDecision      bool
	IncludeServiceCatalog  bool
	UndecidablePolicy      string // "online" or "reject"
	JWSPublicKeyRepository string // a directory
	MaxTokenSize           int    // bytes of token text
	MaxInflatedSize        int    // bytes inside a PKIZ token
	InsecureAllowSHA1      bool
	InsecureAllowWeakRSA   bool
	InsecureAllowFetchedCA bool

	ServiceTokenRoles         []string
	ServiceTokenRolesRequired bool
	ServiceType               string
	// InsecureServiceTokenSkipsBind leaves the user token's binding unchecked beside a service token with such a role.
	InsecureServiceTokenSkipsBind bool

	// What is kept, and for how long. TokenCacheTime 0 is off.
	TokenCacheTime         time.Duration
	CacheSizeBytes         int64
	RevocationCacheTime    time.Duration // period of the revocation list's poller
	RevocationLongPoll     time.Duration // 0 is off
	RevocationMaxStale     time.Duration
	RevocationStalePolicy  string // "reject", "online" or "accept"
	RevocationEvents       string // "auto" or "off"
	CertRefreshInterval    time.Duration
	CertRefreshCooldown    time.Duration
	CheckRevocationsCached bool // always true

	SharedCache SharedCache

	values   []Value
	warnings []Warning
}

// SharedCache is the cache on memcached that several proxies, and Python services, share. Without Servers there is none.
type SharedCache struct {
	Servers       []string // "host:port" or the path of a unix socket
	Strategy      string   // "mac", "encrypt", "none", or "" for the format of our own
	SecretKey     Secret
	InsecurePlain bool

	DeadRetry, SocketTimeout, UnusedTimeout time.Duration
	MaxConnections                          int // to each server

	TLS                                bool
	TLSCAFile, TLSCertFile, TLSKeyFile string
}

// Effective lists every option that has an effect with its value, secrets masked, and where it came from.
func (a *AuthToken) Effective() []Value { return slices.Clone(a.values) }

// Warnings says what an operator should look at, though it does not stop the proxy.
func (a *AuthToken) Warnings() []Warning { return slices.Clone(a.warnings) }

// AuthTokenOptions is the table that [LoadAuthToken] reads by. A command makes a flag of each whose Flag is not "".
func AuthTokenOptions() []Option { return describe(authTokenTable()) }

// EnvName is the environment variable that sets an option of [AuthTokenOptions].
func (o *Option) EnvName() string { return envName(envPrefix, o) }

// LoadAuthToken reads the proxy's configuration. Sections other than [keystone_authtoken] (and one that auth_section names)
// are ignored, though a substitution may refer to them. An unknown key of the section is an error, and so is a value that its
// option cannot have; the error names all of them.
func LoadAuthToken(in Input) (*AuthToken, error) {
	table := authTokenTable()
	l, err := newLoader(describe(table), in, envPrefix)
	if err != nil {
		return nil, err
	}
	a := new(AuthToken)
	l.movePlugin()
	l.unknownKeys()
	l.unknownVariables()
	fill(l, a, table)
	if len(l.errs) == 0 {
		a.check(l)
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	a.values, a.warnings = l.values, l.warnings
	return a, nil
}

func authTokenTable() []field[AuthToken] {
	table := slices.Concat(identityFields(), judgingFields(), keepingFields(), sharedCacheFields(), idleFields())
	for i := range table {
		table[i].Section = AuthTokenSection
	}
	return table
}

// identityFields is how to reach the Identity service and log in there.
func identityFields() []field[AuthToken] {
	return []field[AuthToken]{
		{Option{Name: "auth_url", Deprecated: []string{"identity_uri"}, plugin: true, rule: checkURL,
			Help: "URL of the Identity service, with or without /v3 at its end"},
			func(a *AuthToken) any { return &a.AuthURL }},
		{Option{Name: "auth_type", Aliases: []string{"auth_plugin"}, Default: "password", Choices: authTypes, dotted: authType, plugin: true,
			Help: "how the proxy logs in: password (also written v3password), v2password, application_credential (v3applicationcredential), admin_token, none"},
			func(a *AuthToken) any { return &a.AuthType }},
		{Option{Name: "auth_section", Help: "section that holds auth_type and the options of the login instead of this one"},
			func(a *AuthToken) any { return &a.AuthSection }},
		{Option{Name: "auth_version", Default: "auto", Choices: []string{"auto", "v3", "v2.0"}, dotted: authVersion,
			Help: "version of the Identity API to log in, validate and fetch the revocation list with: auto (v3 where there is one), v3, v2.0"},
			func(a *AuthToken) any { return &a.AuthVersion }},
		{Option{Name: "username", Aliases: []string{"user_name"}, Deprecated: []string{"admin_user"}, plugin: true,
			Help: "name of the proxy's user; needs user_domain_id or user_domain_name"},
			func(a *AuthToken) any { return &a.Username }},
		{Option{Name: "user_id", plugin: true, Help: "id of the proxy's user, instead of username"},
			func(a *AuthToken) any { return &a.UserID }},
		{Option{Name: "password", Deprecated: []string{"admin_password"}, plugin: true, Secret: true, Help: "password of the proxy's user"},
			func(a *AuthToken) any { return &a.Password }},
		{Option{Name: "user_domain_id", plugin: true, Help: "id of the domain that owns username"},
			func(a *AuthToken) any { return &a.UserDomainID }},
		{Option{Name: "user_domain_name", plugin: true, Help: "name of the domain that owns username"},
			func(a *AuthToken) any { return &a.UserDomainName }},
		{Option{Name: "project_id", Aliases: []string{"tenant_id"}, plugin: true, Help: "id of the project to log in to"},
			func(a *AuthToken) any { return &a.ProjectID }},
		{Option{Name: "project_name", Aliases: []string{"tenant_name"}, Deprecated: []string{"admin_tenant_name"}, plugin: true,
			Help: "name of the project to log in to; needs project_domain_id or project_domain_name"},
			func(a *AuthToken) any { return &a.ProjectName }},
		{Option{Name: "project_domain_id", plugin: true, Help: "id of the domain that owns project_name"},
			func(a *AuthToken) any { return &a.ProjectDomainID }},
		{Option{Name: "project_domain_name", plugin: true, Help: "name of the domain that owns project_name"},
			func(a *AuthToken) any { return &a.ProjectDomainName }},
		{Option{Name: "domain_id", plugin: true, Help: "id of the domain to log in to, instead of a project"},
			func(a *AuthToken) any { return &a.DomainID }},
		{Option{Name: "domain_name", plugin: true, Help: "name of the domain to log in to, instead of a project"},
			func(a *AuthToken) any { return &a.DomainName }},
		{Option{Name: "default_domain_id", plugin: true, Help: "id of the domain of user and project where their own options do not say"},
			func(a *AuthToken) any { return &a.DefaultDomainID }},
		{Option{Name: "default_domain_name", plugin: true, Help: "name of the domain of user and project where their own options do not say"},
			func(a *AuthToken) any { return &a.DefaultDomainName }},
		{Option{Name: "system_scope", plugin: true, rule: checkSystemScope, Help: "all: log in to the system, instead of a project"},
			func(a *AuthToken) any { return &a.SystemScope }},
		{Option{Name: "trust_id", plugin: true, Help: "id of the trust to log in by, instead of a project"},
			func(a *AuthToken) any { return &a.TrustID }},
		{Option{Name: "application_credential_id", plugin: true, Help: "id of the proxy's application credential"},
			func(a *AuthToken) any { return &a.ApplicationCredentialID }},
		{Option{Name: "application_credential_name", plugin: true, Help: "its name instead; needs its user's id, or name and domain"},
			func(a *AuthToken) any { return &a.ApplicationCredentialName }},
		{Option{Name: "application_credential_secret", plugin: true, Secret: true, Help: "its secret"},
			func(a *AuthToken) any { return &a.ApplicationCredentialSecret }},
		{Option{Name: "token", Deprecated: []string{"admin_token"}, plugin: true, Secret: true, Help: "the token itself that the proxy uses, for auth_type = admin_token"},
			func(a *AuthToken) any { return &a.Token }},
		{Option{Name: "cafile", Help: "PEM file of the CAs that may sign the Identity service's TLS certificate, instead of the system's"},
			func(a *AuthToken) any { return &a.CAFile }},
		{Option{Name: "certfile", Help: "PEM file of the TLS client certificate"},
			func(a *AuthToken) any { return &a.CertFile }},
		{Option{Name: "keyfile", Help: "PEM file of the TLS client key, where certfile does not hold it"},
			func(a *AuthToken) any { return &a.KeyFile }},
		{Option{Name: "insecure", Default: "false", Help: "do not verify the Identity service's TLS certificate"},
			func(a *AuthToken) any { return &a.Insecure }},
		{Option{Name: "http_connect_timeout", Default: "5", Min: 1, Max: 3600, Help: "seconds to wait for a connection to the Identity service"},
			func(a *AuthToken) any { return &a.HTTPConnectTimeout }},
		{Option{Name: "http_request_max_retries", Default: "3", Max: 20, Help: "how often a failed connection is tried again"},
			func(a *AuthToken) any { return &a.HTTPRequestMaxRetries }},
		{Option{Name: "www_authenticate_uri", Deprecated: []string{"auth_uri"}, rule: checkURL,
			Help: "URL of the Identity service as clients reach it, for WWW-Authenticate; auth_url where unset"},
			func(a *AuthToken) any { return &a.WWWAuthenticateURI }},
		{Option{Name: "signing_dir", Help: "state directory of fetched certificates and the last revocation list; nothing is kept where unset"},
			func(a *AuthToken) any { return &a.SigningDir }},
		{Option{Name: "signing_cert_file", Help: "PEM file of the signing certificates, instead of fetching them"},
			func(a *AuthToken) any { return &a.SigningCertFile }},
		{Option{Name: "signing_ca_file", Help: "PEM file of the CA that the signing certificates must chain to"},
			func(a *AuthToken) any { return &a.SigningCAFile }},
		{Option{Name: "revocation_file", Help: "file of the signed revocation list, instead of fetching it"},
			func(a *AuthToken) any { return &a.RevocationFile }},
		{Option{Name: "insecure_skip_revocation", Default: "false", Help: "accept tokens without knowing which are revoked"},
			func(a *AuthToken) any { return &a.InsecureSkipRevocation }},
	}
}

// judgingFields is how tokens are judged.
func judgingFields() []field[AuthToken] {
	return []field[AuthToken]{
		{Option{Name: "pki", Default: "auto", Choices: []string{"auto", "required", "off"},
			Help: "verify PKI tokens offline: auto (where the Identity service has certificates), required, off"},
			func(a *AuthToken) any { return &a.PKI }},
		{Option{Name: "hash_algorithms", Default: "md5", Choices: hashNames,
			Help: "hashes by which revocation lists may name a token, as the Identity service's [token] hash_algorithm"},
			func(a *AuthToken) any { return &a.HashAlgorithms }},
		{Option{Name: "enforce_token_bind", Default: "permissive", rule: checkBind,
			Help: "disabled, permissive, strict, required, or the name of the mechanism that every token must be bound to (kerberos, x509)"},
			func(a *AuthToken) any { return &a.EnforceTokenBind }},
		{Option{Name: "delay_auth_decision", Default: "false", Help: "pass requests without a valid token on, marked X-Identity-Status: Invalid"},
			func(a *AuthToken) any { return &a.DelayAuthDecision }},
		{Option{Name: "include_service_catalog", Default: "true", Help: "send X-Service-Catalog to the upstream"},
			func(a *AuthToken) any { return &a.IncludeServiceCatalog }},
		{Option{Name: "undecidable_policy", Default: "online", Choices: []string{"online", "reject"},
			Help: "tokens that cannot be decided offline: ask the Identity service, or reject"},
			func(a *AuthToken) any { return &a.UndecidablePolicy }},
		{Option{Name: "jws_public_key_repository",
			Help: "directory of the PEM public keys (*.pem) of the Identity service's JWS tokens: what they did not sign, and what has expired, is refused without asking"},
			func(a *AuthToken) any { return &a.JWSPublicKeyRepository }},
		{Option{Name: "max_token_size", Default: "65536", Min: 256, Max: 1 << 20, Help: "longest token in bytes"},
			func(a *AuthToken) any { return &a.MaxTokenSize }},
		{Option{Name: "max_inflated_size", Default: "524288", Min: 1024, Max: 64 << 20, Help: "longest content of a PKIZ token in bytes"},
			func(a *AuthToken) any { return &a.MaxInflatedSize }},
		{Option{Name: "insecure_allow_sha1", Default: "false", Help: "accept SHA-1 in signatures of tokens, lists and certificates"},
			func(a *AuthToken) any { return &a.InsecureAllowSHA1 }},
		{Option{Name: "insecure_allow_weak_rsa", Default: "false", Help: "accept RSA keys of less than 2048 bits"},
			func(a *AuthToken) any { return &a.InsecureAllowWeakRSA }},
		{Option{Name: "insecure_allow_fetched_ca", Default: "false",
			Help: "trust a CA that was fetched over plain http or from an unverified server"},
			func(a *AuthToken) any { return &a.InsecureAllowFetchedCA }},
		{Option{Name: "service_token_roles", Default: "service", Help: "a service token needs one of these roles"},
			func(a *AuthToken) any { return &a.ServiceTokenRoles }},
		{Option{Name: "service_token_roles_required", Default: "true", Help: "refuse service tokens without such a role"},
			func(a *AuthToken) any { return &a.ServiceTokenRolesRequired }},
		{Option{Name: "insecure_service_token_skips_bind", Default: "false",
			Help: "beside a service token with such a role, do not check whom the user's token is bound to"},
			func(a *AuthToken) any { return &a.InsecureServiceTokenSkipsBind }},
		{Option{Name: "service_type", Help: "the upstream's type in the catalog, for access rules of application credentials"},
			func(a *AuthToken) any { return &a.ServiceType }},
	}
}

// keepingFields is what the proxy keeps and for how long.
func keepingFields() []field[AuthToken] {
	return []field[AuthToken]{
		{Option{Name: "token_cache_time", Default: "300", Min: -1, Help: "seconds that a verified token is kept; 0 and -1 are off"},
			func(a *AuthToken) any { return &a.TokenCacheTime }},
		{Option{Name: "cache_size_bytes", Default: "67108864", Min: 1 << 16, Max: 1 << 40, Help: "bound of the token cache"},
			func(a *AuthToken) any { return &a.CacheSizeBytes }},
		{Option{Name: "revocation_cache_time", Default: "10", Min: 1, Max: 86400, Help: "seconds between two fetches of the revocation list"},
			func(a *AuthToken) any { return &a.RevocationCacheTime }},
		{Option{Name: "revocation_long_poll", Default: "30", Max: 60,
			Help: "seconds that an Identity service which can may hold its answer back until a token is revoked; 0 is off"},
			func(a *AuthToken) any { return &a.RevocationLongPoll }},
		{Option{Name: "revocation_max_stale", Default: "300", Min: 1, Help: "age in seconds up to which a revocation list counts; three times revocation_cache_time where that is longer"},
			func(a *AuthToken) any { return &a.RevocationMaxStale }},
		{Option{Name: "revocation_stale_policy", Default: "reject", Choices: []string{"reject", "online", "accept"},
			Help: "with no list younger than that: reject tokens (503), ask the Identity service, or accept them"},
			func(a *AuthToken) any { return &a.RevocationStalePolicy }},
		{Option{Name: "revocation_events", Default: "auto", Choices: []string{"auto", "off"},
			Help: "revocation events (OS-REVOKE): auto (where the Identity service offers them, over https or from this machine), off"},
			func(a *AuthToken) any { return &a.RevocationEvents }},
		{Option{Name: "check_revocations_for_cached", Default: "true", Help: "cached tokens are always checked; false only draws a warning"},
			func(a *AuthToken) any { return &a.CheckRevocationsCached }},
		{Option{Name: "cert_refresh_interval", Default: "3600", Min: 1, Help: "seconds between two fetches of the signing certificates"},
			func(a *AuthToken) any { return &a.CertRefreshInterval }},
		{Option{Name: "cert_refresh_cooldown", Default: "30", Min: 1, Max: 86400,
			Help: "least seconds between fetches that tokens of unknown signers cause"},
			func(a *AuthToken) any { return &a.CertRefreshCooldown }},
	}
}

// idleFields are the options of auth_token that are recognised, so that a service's file can be used as it is.
func idleFields() []field[AuthToken] {
	var fields []field[AuthToken]
	add := func(why string, names ...string) {
		for _, n := range names {
			fields = append(fields, field[AuthToken]{Option: Option{Name: n, NoEffect: why, Secret: slices.Contains(idleSecrets, n)}})
		}
	}
	fields = append(fields,
		field[AuthToken]{Option{Name: "interface", NoEffect: "the Identity service is always reached at auth_url"},
			func(a *AuthToken) any { return &a.Interface }},
		field[AuthToken]{Option{Name: "region_name", NoEffect: "the Identity service is always reached at auth_url"},
			func(a *AuthToken) any { return &a.RegionName }})
	add("one connection pool serves all", "memcache_use_advanced_pool")
	add("memcache_pool_socket_timeout bounds the whole look-up, the wait for a connection included", "memcache_pool_conn_get_timeout")
	add("the ciphers of TLS are chosen by the proxy", "memcache_tls_allowed_ciphers")
	add("the proxy cannot log in to memcached; close it by TLS or by the network", "memcache_sasl_enabled", "memcache_username", "memcache_password")
	add("it names an object inside a Python service", "cache", "log_name", "oslo_config_project", "oslo_config_file", "oslo_config_config")
	add("the proxy has nobody to ask for one", "passcode")
	add("write auth_url", "endpoint", "auth_host", "auth_port", "auth_protocol", "auth_admin_prefix")
	return fields
}

var idleSecrets = []string{"memcache_password", "passcode"}

// hashNames are the hashes that may name a token; Keystone's default is the first.
var hashNames = []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
