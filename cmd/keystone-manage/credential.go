package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"authproxy/keystone/server/app"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/credential/fernet"
	"authproxy/keystone/server/store/sql"
)

func (t tool) credentialCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "credential_setup", Usage: "make the keys that credentials are encrypted with", ArgsUsage: " ", Flags: ownerFlags(), Action: t.credentialSetup},
		{Name: "credential_migrate", Usage: "encrypt all credentials with the key that encrypts now", ArgsUsage: " ", Action: t.credentialMigrate},
		{Name: "credential_rotate", Usage: "have another key encrypt credentials from now on", ArgsUsage: " ",
			Description: "The next key, which all nodes have by now, begins to encrypt; another one is made for the time after it, and the oldest is\n" +
				"removed. Copy the keys to the other nodes then, and run credential_migrate. Refused while a credential is not encrypted with\n" +
				"the present key.",
			Action: t.credentialRotate},
	}
}

// credentialKeys is where the keys are to be.
func credentialKeys(s *app.Settings) (fernet.Repository, error) {
	repository, ok := s.CredentialKeys()
	if !ok {
		return repository, errors.New("[credential] key_repository is not set: name the directory for the keys")
	}
	return repository, nil
}

func (t tool) credentialSetup(c *cli.Context) error {
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	repository, err := credentialKeys(s)
	if err != nil {
		return err
	}
	give, err := newOwner(c, []string{filepath.Join(repository.Dir, "0"), filepath.Join(repository.Dir, "1")})
	if err != nil {
		return err
	}
	if err := repository.Setup(); err != nil {
		return err
	}
	if err := give(); err != nil {
		return err
	}
	fmt.Fprintln(t.stdout, "made two keys in", repository.Dir)
	return nil
}

// withCredentials runs f over the credentials and their keys.
func (t tool) withCredentials(c *cli.Context, f func(fernet.Repository, *credential.Manager) error) error {
	return t.withDatabase(c, (*app.Settings).OpenStore, func(s *app.Settings, db *sql.Store) error {
		repository, err := credentialKeys(s)
		if err != nil {
			return err
		}
		return f(repository, s.Build(db, app.Options{}).Server.Credentials)
	})
}

func (t tool) credentialMigrate(c *cli.Context) error {
	return t.withCredentials(c, func(_ fernet.Repository, m *credential.Manager) error {
		n, err := m.Encrypt(c.Context)
		if err == nil {
			fmt.Fprintf(t.stdout, "%d credentials encrypted with the present key\n", n)
		}
		return err
	})
}

func (t tool) credentialRotate(c *cli.Context) error {
	return t.withCredentials(c, func(repository fernet.Repository, m *credential.Manager) error {
		left, err := m.Left(c.Context)
		switch {
		case err != nil:
			return err
		case left > 0:
			return fmt.Errorf("%d credentials are not encrypted with the present key: run credential_migrate first", left)
		}
		if err := repository.Rotate(); err != nil {
			return err
		}
		fmt.Fprintf(t.stdout, "another key encrypts now; copy %s to the other nodes, then run credential_migrate\n", repository.Dir)
		return nil
	})
}
