package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"

	"authproxy/keystone/config"
)

// run is the command: args as os.Args. Errors are for the operator to read; the log goes to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	options := config.AuthTokenOptions()
	app := &cli.App{
		Name:  "authproxy",
		Usage: "checks OpenStack tokens before a service that does not",
		UsageText: "authproxy --upstream URL --config-file FILE [options]\n" +
			"authproxy --upstream URL --signing-cert-file FILE --signing-ca-file FILE --revocation-file FILE [options]",
		Description: "Options of [keystone_authtoken] can stand in the file, in the environment (AUTHPROXY_AUTH_URL) or be flags;\n" +
			"flags win over the environment, the environment over files. Secrets have no flags. The same goes for the\n" +
			"proxy's own options, but that they are never in the file; routes to further upstreams can be, as sections [authproxy:route:NAME].",
		Flags:                     flags(options),
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		// Errors are returned, and printed once by whoever called run.
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return fmt.Errorf("%w (authproxy --help lists all flags)", err)
		},
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q: everything is a flag, and a boolean takes its value with =, as in --insecure=false", c.Args().First())
			}
			s, err := readSettings(c, options, os.Environ())
			if err != nil {
				return err
			}
			return start(c.Context, s, stdout, stderr)
		},
	}
	return app.RunContext(ctx, args)
}

func start(ctx context.Context, s *settings, stdout, stderr io.Writer) error {
	log, err := newLog(s, stderr)
	if err != nil {
		return err
	}
	slog.SetDefault(log) // net/http says some things by way of package log
	for _, w := range s.token.Warnings() {
		log.Warn(w.String())
	}
	if s.insecureUpstream {
		log.Warn("insecure_upstream is on: whoever reaches the upstream, or the network to it, can be anyone")
	}
	if s.insecureAuthListen {
		log.Warn("insecure_auth_listen is on: whoever reaches the network between front end and proxy can be anyone")
	}
	p, err := build(s, log)
	if s.checkConfig {
		printConfig(stdout, s)
		if err == nil {
			fmt.Fprintln(stdout, "\nconfiguration is good")
		}
		return err
	}
	if err != nil {
		return err
	}
	return p.serve(ctx)
}

func newLog(s *settings, w io.Writer) (*slog.Logger, error) {
	o := &slog.HandlerOptions{}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", s.logLevel)
	}
	o.Level = level
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", s.logFormat)
}

// printConfig shows every effective value with where it came from, secrets masked.
func printConfig(w io.Writer, s *settings) {
	for _, v := range s.values {
		fmt.Fprintln(w, v)
	}
	section := ""
	for _, v := range s.token.Effective() {
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(w, "\n[%s]\n", section)
		}
		fmt.Fprintln(w, v)
	}
	for _, r := range s.routes {
		fmt.Fprintf(w, "\n[%s]\n", r.Section())
		for _, v := range r.Effective() {
			fmt.Fprintln(w, v)
		}
	}
}

var errNoUpstream = errors.New("no upstream: say where requests go, as in --upstream http://127.0.0.1:9292, or where front ends ask, as in --auth-listen 127.0.0.1:8082")
