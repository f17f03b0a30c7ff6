package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"authproxy/keystone/config"
	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/store/sql"
)

func (t tool) domainConfigCommand() *cli.Command {
	return &cli.Command{
		Name: "domain_config_upload", Usage: "put the files keystone.DOMAIN.conf of [identity] domain_config_dir into the database", ArgsUsage: " ",
		Description: "Settings of domains that have some in the database already are left as they are. No driver reads them here.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "all files"},
			&cli.StringFlag{Name: "domain-name", Usage: "that of the domain `NAME` alone"},
		},
		Action: t.domainConfigUpload,
	}
}

const domainFileHead, domainFileTail = "keystone.", ".conf"

// domainFiles are the files to upload, by name of their domain, in order.
func domainFiles(dir string, all bool, name string) (names []string, err error) {
	switch {
	case all == (name != ""):
		return nil, errors.New("say either --all or --domain-name NAME")
	case strings.ContainsRune(name, filepath.Separator):
		return nil, fmt.Errorf("no file is named after the domain %q", name)
	case !all:
		return []string{name}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("[identity] domain_config_dir: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), domainFileHead)
		name, conf := strings.CutSuffix(name, domainFileTail)
		if ok && conf && name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

func (t tool) domainConfigUpload(c *cli.Context) error {
	return t.withDatabase(c, (*app.Settings).OpenStore, func(s *app.Settings, db *sql.Store) error {
		names, err := domainFiles(s.DomainConfigDir, c.Bool("all"), c.String("domain-name"))
		if err != nil {
			return err
		}
		backend := s.Build(db, app.Options{}).Server
		var failed []error
		for _, name := range names {
			path := filepath.Join(s.DomainConfigDir, domainFileHead+name+domainFileTail)
			if err := uploadDomainConfig(c.Context, backend, name, path); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", path, err))
				continue
			}
			fmt.Fprintln(t.stdout, "uploaded", path)
		}
		return errors.Join(failed...)
	})
}

// uploadDomainConfig stores what a file says, unless the domain has settings already.
func uploadDomainConfig(ctx context.Context, backend *server.Server, name, path string) error {
	f, err := config.ReadFile(path)
	if err != nil {
		return err
	}
	settings := domainconfig.Config{}
	for _, item := range f.Items {
		if settings[item.Section] == nil {
			settings[item.Section] = map[string]any{}
		}
		settings[item.Section][item.Key] = item.Value
	}
	domain, err := backend.Assignment.DomainByName(ctx, name)
	if fault.IsNotFound(err) {
		return fmt.Errorf("there is no domain %q", name)
	}
	if err != nil {
		return err
	}
	return backend.DomainConfig.Create(ctx, domain.ID, settings)
}
