package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"authproxy/certs"
)

// pkiSetup makes the files of [signing].
func (t tool) pkiSetup(c *cli.Context) error {
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	paths := []string{s.Signing.CertFile, s.Signing.KeyFile, s.Signing.CACerts, s.Signing.CAKey}
	give, err := newOwner(c, paths)
	if err != nil {
		return err
	}
	if err := certs.Setup(certs.SetupOptions{
		CertFile: s.Signing.CertFile, KeyFile: s.Signing.KeyFile, CACerts: s.Signing.CACerts, CAKey: s.Signing.CAKey,
		KeyType: certs.KeyType(c.String("key-type")), KeySize: keySize(c, s.Signing.KeySize), ValidDays: s.Signing.ValidDays,
		Subject: s.Signing.CertSubject, Rebuild: c.Bool("rebuild"),
	}); err != nil {
		return err
	}
	if err := give(); err != nil {
		return err
	}
	for _, path := range paths {
		fmt.Fprintln(t.stdout, "made", path)
	}
	return nil
}

// sslSetup makes the files of [eventlet_server_ssl].
func (t tool) sslSetup(c *cli.Context) error {
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	var missing []string // what is there belongs to whom it belongs to
	for _, path := range []string{s.TLS.CertFile, s.TLS.KeyFile, s.TLS.CACerts, s.TLS.CAKey} {
		if _, err := os.Lstat(path); err != nil || c.Bool("rebuild") {
			missing = append(missing, path)
		}
	}
	give, err := newOwner(c, missing)
	if err != nil {
		return err
	}
	if err := certs.SetupServer(certs.SetupOptions{
		CertFile: s.TLS.CertFile, KeyFile: s.TLS.KeyFile, CACerts: s.TLS.CACerts, CAKey: s.TLS.CAKey,
		KeyType: certs.KeyType(c.String("key-type")), KeySize: keySize(c, max(s.TLS.KeySize, certs.DefaultKeySize)), ValidDays: s.TLS.ValidDays,
		Subject: s.TLS.CertSubject, Rebuild: c.Bool("rebuild"),
	}); err != nil {
		return err
	}
	if s.TLS.KeySize < certs.DefaultKeySize {
		fmt.Fprintf(t.stderr, "keystone-manage: warning: [ssl] key_size = %d is too short for clients of today; made %d bits\n", s.TLS.KeySize, certs.DefaultKeySize)
	}
	if err := give(); err != nil {
		return err
	}
	for _, path := range missing {
		fmt.Fprintln(t.stdout, "made", path)
	}
	return nil
}

// ownerFlags say whom new files are to belong to.
func ownerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "keystone-user", Usage: "`USER` that the files are to belong to"},
		&cli.StringFlag{Name: "keystone-group", Usage: "`GROUP` that the files are to belong to"},
	}
}

// newOwner returns what gives files that are yet to be made, and the directories to be made for them, to the user and group of
// the flags. Wrong names are noticed before anything is made.
func newOwner(c *cli.Context, paths []string) (give func() error, err error) {
	uid, gid, err := owner(c.String("keystone-user"), c.String("keystone-group"))
	if err != nil {
		return nil, err
	}
	made, err := missingDirs(paths)
	if err != nil {
		return nil, err
	}
	return func() error {
		if uid < 0 && gid < 0 {
			return nil
		}
		for _, path := range append(made, paths...) {
			if err := os.Lchown(path, uid, gid); err != nil {
				return fmt.Errorf("giving the files to the server's user: %w", err)
			}
		}
		return nil
	}, nil
}

// owner looks up the ids of a user and a group; -1 stands for one that is not named.
func owner(userName, groupName string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if userName != "" {
		u, err := user.Lookup(userName)
		if err != nil {
			return 0, 0, fmt.Errorf("--keystone-user: %w", err)
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return 0, 0, fmt.Errorf("--keystone-user: %w", err)
		}
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			return 0, 0, fmt.Errorf("--keystone-group: %w", err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return 0, 0, fmt.Errorf("--keystone-group: %w", err)
		}
	}
	return uid, gid, nil
}

// missingDirs are the directories above the paths that are yet to be made.
func missingDirs(paths []string) (dirs []string, err error) {
	for _, path := range paths {
		for dir := filepath.Dir(path); !slices.Contains(dirs, dir); dir = filepath.Dir(dir) {
			_, err := os.Stat(dir)
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}
