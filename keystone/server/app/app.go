// Package app puts the identity backend together out of a keystone.conf. keystone-all and keystone-manage both begin here.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone/config"
	"authproxy/keystone/peer"
	"authproxy/keystone/server"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/catalog/templated"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/credential/fernet"
	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/oauth1"
	"authproxy/keystone/server/policies"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/store/sql"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/server/trust"
	"authproxy/keystone/token"
	"authproxy/validate/bind"
)

// Settings are the configuration and where it leaves what it makes.
type Settings struct {
	*config.Keystone
	// StateDir is set where there is no configuration file: database and certificates are in this directory then, and the
	// database is brought up to date without db_sync.
	StateDir string
	// Notes say what an operator should look at, beside the Warnings of the configuration.
	Notes []string
}

// Load reads the configuration: the named files, else the keystone.conf that is found in the usual places, else the defaults.
// flags are options that win over files, see config.Input. getenv is os.Getenv.
func Load(files []string, flags map[string]string, getenv func(string) string) (*Settings, error) {
	home := getenv("HOME")
	if len(files) == 0 {
		found, err := config.FindKeystoneConf(home, "")
		if err != nil {
			return nil, err
		}
		if found != "" {
			files = []string{found}
		}
	}
	k, err := config.LoadKeystone(config.Input{Files: files, Flags: flags})
	if err != nil {
		return nil, err
	}
	s := &Settings{Keystone: k}
	if err := s.refuseWhatIsNotThere(); err != nil {
		return nil, err
	}
	if err := s.findPolicy(files, home); err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return s, nil
	}
	if s.StateDir, err = stateDir(home, getenv("XDG_STATE_HOME")); err != nil {
		return nil, err
	}
	certificates, private := filepath.Join(s.StateDir, "ssl", "certs"), filepath.Join(s.StateDir, "ssl", "private")
	k.Database.Path = filepath.Join(s.StateDir, "keystone.db")
	k.Signing.CertFile, k.Signing.KeyFile = filepath.Join(certificates, "signing_cert.pem"), filepath.Join(private, "signing_key.pem")
	k.Signing.CACerts, k.Signing.CAKey = filepath.Join(certificates, "ca.pem"), filepath.Join(private, "cakey.pem")
	return s, nil
}

// refuseWhatIsNotThere names options of Keystone whose effect an operator would miss.
func (s *Settings) refuseWhatIsNotThere() error {
	switch {
	case s.checkProxies() != nil:
		return s.checkProxies()
	case s.DefaultDomainID != assignment.DefaultDomainID:
		return fmt.Errorf("[identity] default_domain_id = %s: the default domain's id is always %s; take the line out", s.DefaultDomainID, assignment.DefaultDomainID)
	}
	return nil
}

func (s *Settings) checkProxies() error {
	proxies, err := peer.ParseFronts(s.TrustedProxies, nil)
	if err == nil && proxies.UnixSocket {
		err = errors.New("unix has no effect: the listeners are no unix sockets")
	}
	if err != nil {
		return fmt.Errorf("[DEFAULT] trusted_proxies: %w", err)
	}
	return nil
}

// stateDir is $XDG_STATE_HOME/authproxy, by default ~/.local/state/authproxy, made for its owner alone.
func stateDir(home, xdg string) (string, error) {
	switch {
	case filepath.IsAbs(xdg): // the specification says to ignore a relative one
	case home != "":
		xdg = filepath.Join(home, ".local", "state")
	default:
		return "", fmt.Errorf("no --config-file, and neither XDG_STATE_HOME nor HOME says where to keep the database")
	}
	dir := filepath.Join(xdg, "authproxy")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("directory for the database: %w", err)
	}
	return dir, nil
}

// OpenStore opens the database. Without a configuration file its schema is brought up to date, else it has to be.
func (s *Settings) OpenStore(ctx context.Context) (*sql.Store, error) {
	db, err := s.OpenAnyStore(ctx)
	if err != nil {
		return nil, err
	}
	if s.StateDir != "" {
		err = db.Migrate(ctx)
	} else {
		err = db.Check(ctx)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// OpenAnyStore opens the database whatever its schema is.
func (s *Settings) OpenAnyStore(ctx context.Context) (*sql.Store, error) {
	d := s.Database
	if d.Driver == "postgresql" {
		return sql.OpenPostgreSQL(ctx, sql.PostgreSQL{URL: d.URL.Reveal(), Pool: d.MaxPoolSize, Overflow: d.MaxOverflow, IdleTimeout: d.IdleTimeout})
	}
	return sql.OpenSQLite(ctx, d.Path)
}

// Parts is the backend put together.
type Parts struct {
	Server *server.Server
	Keys   *tokens.KeyPair
	// Policy is the Server's; where files are configured, it denies everything until they are loaded.
	Policy *policy.Files
	// Catalog is the Server's where it comes from a file; it is empty until that is loaded. Else it is nil.
	Catalog *templated.Store
}

// Options are what Build needs beside the configuration.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none
	Now     func() time.Time      // time.Now where nil
	// Hashing are the costs of password hashes; zero for the default.
	Hashing identity.Params
}

// Build wires the subsystems over a database. It starts nothing.
func (s *Settings) Build(db store.Store, o Options) *Parts {
	if o.Now == nil {
		o.Now = time.Now
	}
	watch := &tokens.Watch{Store: db}
	revoker := &tokens.Revoker{Store: db, Now: o.Now, Window: tokens.DefaultWindow, Watch: watch}
	users := &identity.Manager{Store: db, Hasher: identity.NewHasher(o.Hashing), Tokens: revoker, Failures: db, Throttle: identity.Throttle{
		MaxDelay: s.Guessing.MaxDelay, LockAfter: s.Guessing.LockAfter, LockFor: s.Guessing.LockFor, AnyAddress: s.Guessing.AnyAddress,
		AddressLockAfter: s.Guessing.AddressLockAfter, Now: o.Now,
	}}
	proxies, err := peer.ParseFronts(s.TrustedProxies, nil)
	if err != nil {
		panic(err) // the configuration has been checked
	}
	assignments := &assignment.Manager{Store: db, Users: users, Tokens: revoker, MaxDepth: s.MaxProjectTreeDepth, Inherit: s.Inherit}
	services := &catalog.Manager{Store: db, Log: o.Log, Variables: map[string]string{
		"public_port": strconv.Itoa(s.PublicPort), "admin_port": strconv.Itoa(s.AdminPort),
		"public_bind_host": s.PublicBindHost, "admin_bind_host": s.AdminBindHost,
		"compute_port":    strconv.Itoa(s.ComputePort),
		"public_endpoint": s.PublicEndpoint, "admin_endpoint": s.AdminEndpoint,
	}}
	var file *templated.Store
	if s.CatalogDriver == "templated" {
		file = &templated.Store{File: s.templateFile()}
		services.Store, services.WithoutIDs = file, true
	}
	endpointFilter := &endpointfilter.Manager{Store: db, Endpoints: services, Projects: assignments}
	var catalogs tokens.Catalog = services
	if s.CatalogDriver == "endpoint_filter.sql" {
		catalogs = &endpointfilter.Filtered{Builder: services, Filter: endpointFilter, AllIfNone: s.EndpointFilter.AllIfNone}
	}
	consumers := &oauth1.Manager{Store: db, Assignment: assignments, Tokens: revoker, Now: o.Now,
		RequestDuration: s.OAuth1.RequestTokenDuration, AccessDuration: s.OAuth1.AccessTokenDuration}
	var trusts *trust.Manager
	var usableTrusts tokens.Trusts
	if s.Trust.Enabled {
		trusts = &trust.Manager{Store: db, Users: users, Assignment: assignments, Tokens: revoker, Now: o.Now,
			AllowRedelegation: s.Trust.AllowRedelegation, MaxRedelegationCount: s.Trust.MaxRedelegationCount}
		usableTrusts = trusts
	}
	federated := &federation.Manager{Store: db, Tokens: revoker, RemoteIDAttribute: s.Federation.RemoteIDAttribute}
	keys := &tokens.KeyPair{CertFile: s.Signing.CertFile, KeyFile: s.Signing.KeyFile, CAFile: s.Signing.CACerts, Now: o.Now, Log: o.Log}
	rules := s.policy(o.Log)
	mode, err := bind.ParseMode(s.EnforceTokenBind)
	if err != nil {
		panic(err) // the configuration has been checked
	}
	credentials := &credential.Manager{Store: db, Users: users, Projects: assignments, Now: o.Now}
	if repository, ok := s.CredentialKeys(); ok {
		credentials.Keys = repository.Load
	}
	return &Parts{Keys: keys, Policy: rules, Catalog: file, Server: &server.Server{
		Identity:   users,
		Assignment: assignments,
		Catalog:    services,
		Trusts:     trusts,

		Credentials:    credentials,
		Policies:       &policies.Manager{Store: db, Catalog: services},
		EndpointFilter: endpointFilter,
		OAuth1:         consumers,
		Federation:     federated,
		DomainConfig:   &domainconfig.Manager{Store: db, Domains: assignments},
		Tokens: &tokens.Manager{
			Store: db, Revoker: revoker, Identity: users, Assignment: assignments, Catalog: catalogs, Trusts: usableTrusts, OAuth1: consumers, Federation: federated,
			Credentials: credentials,
			Form:        s.form(), Keys: keys, HashAlgorithm: s.HashAlgorithm, Expiration: s.TokenExpiration,
			Methods: s.AuthMethods, FederatedMethods: config.FederatedMethods[:],
			RemoteDomains: s.Senders.Domains(), ExternalByKerberos: s.Senders.External == "KerberosDomain",
			Bind: s.Bind, BindMode: mode,
			MaxText: s.MaxTokenSize, Watch: watch, Now: o.Now, Log: o.Log,
		},
		Policy:     rules,
		AdminToken: s.AdminToken.Reveal(),
		RevokeByID: s.RevokeByID,

		OAuth1InClear:       !s.OAuth1.EnforceSSL,
		AnonymousSignatures: s.Credential.AnonymousSignatures,
		Fronts:              proxies,
		Audit:               s.NotificationFormat == "cadf",
		MemberRole:          assignment.MemberRole{ID: s.MemberRoleID, Name: s.MemberRoleName},
		MaxParam:            s.MaxParamSize,
		MaxBody:             s.MaxRequestBodySize,
		ListLimits:          s.ListLimits,
		Later:               s.Later,
		Log:                 o.Log,
		Metrics:             o.Metrics,
	}}
}

// templateFile is where [catalog] template_file is.
func (s *Settings) templateFile() string {
	if filepath.IsAbs(s.TemplateFile) {
		return s.TemplateFile
	}
	return filepath.Join(filepath.Dir(s.File), s.TemplateFile)
}

func (s *Settings) form() token.Form {
	switch s.Provider {
	case "pki":
		return token.PKI
	case "pkiz":
		return token.PKIZ
	}
	return token.UUID
}

// CheckKeys says what would keep the server from signing tokens or verifiers from checking them.
func (s *Settings) CheckKeys(keys *tokens.KeyPair) error {
	if s.form() == token.UUID {
		return nil
	}
	if _, err := keys.Load(); err != nil {
		return fmt.Errorf("[token] provider = %s: %w", s.Provider, err)
	}
	if _, err := keys.Authorities(); err != nil {
		return fmt.Errorf("[signing] ca_certs: %w (run keystone-manage pki_setup, or name the CA that issued %s)", err, s.Signing.CertFile)
	}
	return nil
}

// CredentialKeys is where the keys are that credentials are encrypted with; ok is false where they are not.
func (s *Settings) CredentialKeys() (repository fernet.Repository, ok bool) {
	return fernet.Repository{Dir: s.Credential.KeyRepository}, s.Credential.KeyRepository != ""
}

// CheckCredentialKeys says what would keep the server from encrypting and reading credentials.
func (s *Settings) CheckCredentialKeys() error {
	repository, ok := s.CredentialKeys()
	if !ok {
		return nil
	}
	if _, err := repository.Load(); err != nil {
		return fmt.Errorf("[credential] key_repository: %w (run keystone-manage credential_setup, or copy the keys of another node)", err)
	}
	return nil
}

// NewLog makes the logger that [DEFAULT] log_file, log_dir and debug ask for. format is "text" or "json". The file it writes
// to, if it is not the one given, is to be closed.
func (s *Settings) NewLog(stderr io.Writer, format string) (*slog.Logger, io.Closer, error) {
	out, closer := stderr, io.Closer(io.NopCloser(nil))
	if s.LogFile != "" {
		path := s.LogFile
		if s.LogDir != "" && !filepath.IsAbs(path) {
			path = filepath.Join(s.LogDir, path)
		}
		f, err := openLog(path)
		if err != nil {
			return nil, nil, fmt.Errorf("[DEFAULT] log_file: %w", err)
		}
		out, closer = f, f
	}
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if s.Debug {
		o.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(out, o)), closer, nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, o)), closer, nil
	}
	closer.Close()
	return nil, nil, fmt.Errorf("log format %q is not one of text, json", format)
}
