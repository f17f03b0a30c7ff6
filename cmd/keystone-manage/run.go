package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"authproxy/certs"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/bootstrap"
	"authproxy/keystone/server/store/sql"
	"authproxy/keystone/server/tokens"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	t := tool{stdout: stdout, stderr: stderr}
	command := &cli.App{
		Name:            "keystone-manage",
		Usage:           "set up and look after the identity backend",
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // main does it
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "config-file", Usage: "read `FILE` (more than once: later ones win) instead of the first keystone.conf in ~/.keystone, ~, /etc/keystone, /etc"},
		},
		Commands: []*cli.Command{
			{Name: "bootstrap", Usage: "make the first domain, administrator, roles, service user and the identity service's endpoints",
				Flags: bootstrapFlags(), Action: t.bootstrap},
			{Name: "db_sync", Usage: "make the tables of the database or bring them up to date", ArgsUsage: "[VERSION]",
				Flags:  []cli.Flag{&cli.StringFlag{Name: "extension", Usage: "accepted and ignored: the tables of extensions are always made"}},
				Action: t.dbSync},
			{Name: "db_version", Usage: "print the version of the database's tables", ArgsUsage: " ", Action: t.dbVersion},
			{Name: "pki_setup", Usage: "make a CA and a certificate that signs tokens", ArgsUsage: " ", Flags: slices.Concat(ownerFlags(), keyFlags(certs.KeyRSA), []cli.Flag{
				&cli.BoolFlag{Name: "rebuild", Usage: "replace files that are there: whoever trusts the old CA has to fetch the new one"},
			}), Action: t.pkiSetup},
			{Name: "ssl_setup", Usage: "make a certificate for TLS, by a CA that is there or one that is made", ArgsUsage: " ", Flags: slices.Concat(ownerFlags(), keyFlags(certs.KeyRSA), []cli.Flag{
				&cli.BoolFlag{Name: "rebuild", Usage: "replace files that are there, the CA's too"},
			}), Action: t.sslSetup},
			{Name: "csr", Usage: "make a key and the request that an external CA makes a signing certificate of", ArgsUsage: " ", Flags: slices.Concat(ownerFlags(), keyFlags(certs.KeyRSA), []cli.Flag{
				&cli.StringFlag{Name: "key", Usage: "`FILE` for the key, instead of [signing] keyfile"},
				&cli.StringFlag{Name: "out", Usage: "`FILE` for the request, instead of req.pem beside [signing] certfile"},
			}), Action: t.request},
			t.rotateCommand(),
			{Name: "mapping_engine", Usage: "say whom the rules of a mapping make of what an identity provider says", ArgsUsage: " ",
				Flags: mappingEngineFlags(), Action: t.mappingEngine},
			{Name: "policy_check", Usage: "say why a caller may or may not do an action", ArgsUsage: "ACTION",
				Description: "Goes through the rule of an action, like identity:update_user, with a caller and a target, prints what each check\n" +
					"comes to, and exits with 1 where the answer is no. Of the target it knows what --target says.",
				Flags: policyCheckFlags(), Action: t.policyCheck},
			{Name: "revocation_advance", Usage: "number the revocation list anew after the database was restored from a backup", ArgsUsage: " ",
				Description: "A restored database takes the list's sequence number back, and proxies that know a later list take each one for a\n" +
					"replay and do not use it. This gives the list a number that is higher than any it can have had. It never goes back, and\n" +
					"doing it again does no harm. Servers may be running; they follow by themselves.",
				Flags:  []cli.Flag{&cli.Int64Flag{Name: "past", Usage: "go just beyond `N`, the highest revocation.sequence in /status of a proxy; where the list is beyond it, change nothing"}},
				Action: t.revocationAdvance},
			{Name: "token_flush", Usage: "remove tokens that expired long enough ago, trusts that have ended and old failures of logins", ArgsUsage: " ", Action: t.tokenFlush},
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return fmt.Errorf("there is no command %q: keystone-manage without arguments lists them", name)
			}
			return cli.ShowAppHelp(c)
		},
	}
	command.Commands = append(command.Commands, append(t.credentialCommands(), t.domainConfigCommand())...)
	return command.RunContext(ctx, args)
}

// tool is the commands.
type tool struct{ stdout, stderr io.Writer }

// settings reads the configuration and repeats its warnings.
func (t tool) settings(c *cli.Context) (*app.Settings, error) {
	s, err := app.Load(c.StringSlice("config-file"), nil, os.Getenv)
	if err != nil {
		return nil, err
	}
	for _, w := range s.Warnings() {
		fmt.Fprintln(t.stderr, "keystone-manage: warning:", w)
	}
	return s, nil
}

// withDatabase runs f over the database that open gives.
func (t tool) withDatabase(c *cli.Context, open func(*app.Settings, context.Context) (*sql.Store, error), f func(*app.Settings, *sql.Store) error) (err error) {
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	db, err := open(s, c.Context)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(s, db)
}

func (t tool) dbSync(c *cli.Context) error {
	return t.withDatabase(c, (*app.Settings).OpenAnyStore, func(_ *app.Settings, db *sql.Store) error { return db.Migrate(c.Context) })
}

func (t tool) dbVersion(c *cli.Context) error {
	return t.withDatabase(c, (*app.Settings).OpenAnyStore, func(_ *app.Settings, db *sql.Store) error {
		version, err := db.Version(c.Context)
		if err == nil {
			fmt.Fprintln(t.stdout, version)
		}
		return err
	})
}

func (t tool) tokenFlush(c *cli.Context) error {
	return t.withDatabase(c, (*app.Settings).OpenStore, func(s *app.Settings, db *sql.Store) error {
		n, err := app.Flush(c.Context, s.Build(db, app.Options{}).Server)
		if err == nil {
			fmt.Fprintf(t.stdout, "%d tokens removed\n", n)
		}
		return err
	})
}

func (t tool) revocationAdvance(c *cli.Context) error {
	past := c.Int64("past")
	if c.IsSet("past") && (past < 1 || past > maxPast) {
		return fmt.Errorf("--past %d: a sequence number is from 1 to %d", past, int64(maxPast))
	}
	return t.withDatabase(c, (*app.Settings).OpenStore, func(_ *app.Settings, db *sql.Store) error {
		now := time.Now()
		before, err := db.ListState(c.Context)
		if err != nil {
			return err
		}
		if !c.IsSet("past") {
			past = tokens.AdvancePast(before, now)
		}
		state, moved, err := db.AdvanceList(c.Context, past, now)
		switch {
		case err != nil:
			return err
		case moved:
			fmt.Fprintf(t.stdout, "The revocation list has the sequence number %d now; it had %d.\n", state.Sequence, before.Sequence)
		default:
			fmt.Fprintf(t.stdout, "The revocation list has the sequence number %d, which is beyond %d: nothing to do.\n", state.Sequence, past)
		}
		return nil
	})
}

// maxPast leaves room for a thousand years of milliseconds, and for readers who have numbers as 64-bit floats.
const maxPast = 1 << 52

func bootstrapFlags() []cli.Flag {
	text := func(name, env, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, EnvVars: []string{env}, Value: value, Usage: usage}
	}
	return []cli.Flag{
		text("bootstrap-password", "OS_BOOTSTRAP_PASSWORD", "", "password of the administrator; better given by the variable, for others can see a command line"),
		text("bootstrap-username", "OS_BOOTSTRAP_USERNAME", "admin", "name of the administrator"),
		text("bootstrap-project-name", "OS_BOOTSTRAP_PROJECT_NAME", "admin", "project of the administrator"),
		text("bootstrap-role-name", "OS_BOOTSTRAP_ROLE_NAME", "admin", "role of the administrator"),
		text("bootstrap-service-name", "OS_BOOTSTRAP_SERVICE_NAME", "keystone", "name of the identity service in the catalog"),
		text("bootstrap-region-id", "OS_BOOTSTRAP_REGION_ID", "", "region of its endpoints"),
		text("bootstrap-admin-url", "OS_BOOTSTRAP_ADMIN_URL", "", "its admin endpoint"),
		text("bootstrap-public-url", "OS_BOOTSTRAP_PUBLIC_URL", "", "its public endpoint"),
		text("bootstrap-internal-url", "OS_BOOTSTRAP_INTERNAL_URL", "", "its internal endpoint"),
		text("bootstrap-service-username", "OS_BOOTSTRAP_SERVICE_USERNAME", "", "name of a user with role service, for authproxy to log in by"),
		text("bootstrap-service-password", "OS_BOOTSTRAP_SERVICE_PASSWORD", "", "password of that user"),
	}
}

func (t tool) bootstrap(c *cli.Context) error {
	return t.withDatabase(c, (*app.Settings).OpenStore, func(s *app.Settings, db *sql.Store) error {
		return bootstrap.Run(c.Context, s.Build(db, app.Options{}).Server, bootstrap.Options{
			Password:        c.String("bootstrap-password"),
			Username:        c.String("bootstrap-username"),
			ProjectName:     c.String("bootstrap-project-name"),
			RoleName:        c.String("bootstrap-role-name"),
			ServiceName:     c.String("bootstrap-service-name"),
			RegionID:        c.String("bootstrap-region-id"),
			AdminURL:        c.String("bootstrap-admin-url"),
			PublicURL:       c.String("bootstrap-public-url"),
			InternalURL:     c.String("bootstrap-internal-url"),
			FixedCatalog:    s.CatalogDriver == "templated",
			ServiceUsername: c.String("bootstrap-service-username"),
			ServicePassword: c.String("bootstrap-service-password"),
		})
	})
}
