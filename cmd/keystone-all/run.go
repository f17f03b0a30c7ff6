package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
)

// overrides are the options of keystone.conf that have a flag of the same name.
var overrides = []string{"public-bind-host", "public-port", "admin-bind-host", "admin-port", "provider"}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command := &cli.App{
		Name:      "keystone-all",
		Usage:     "the identity backend: Identity API v3 on a public and an admin port",
		ArgsUsage: " ",
		Writer:    stdout,
		ErrWriter: stderr,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "config-file", Usage: "read `FILE` (more than once: later ones win) instead of the first keystone.conf in ~/.keystone, ~, /etc/keystone, /etc"},
			&cli.StringFlag{Name: "public-bind-host", Usage: "listen on `ADDRESS`, public port"},
			&cli.StringFlag{Name: "public-port", Usage: "public `PORT`; 0 for any"},
			&cli.StringFlag{Name: "admin-bind-host", Usage: "listen on `ADDRESS`, admin port"},
			&cli.StringFlag{Name: "admin-port", Usage: "admin `PORT`; 0 for any"},
			&cli.StringFlag{Name: "provider", Usage: "`FORM` of new tokens: uuid, pki or pkiz"},
			&cli.StringFlag{Name: "metrics-listen", Usage: "serve /metrics for Prometheus on `HOST:PORT`; off by default"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "`FORMAT` of the log: text or json"},
		},
		HideHelpCommand:        true,
		UseShortOptionHandling: false,
		ExitErrHandler:         func(*cli.Context, error) {}, // main does it
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			flags := map[string]string{}
			for _, name := range overrides {
				if c.IsSet(name) {
					flags[name] = c.String(name)
				}
			}
			settings, err := app.Load(c.StringSlice("config-file"), flags, os.Getenv)
			if err != nil {
				return err
			}
			log, closer, err := settings.NewLog(stderr, c.String("log-format"))
			if err != nil {
				return err
			}
			defer closer.Close()
			return serve(c.Context, settings, c.String("metrics-listen"), log)
		},
	}
	return command.RunContext(ctx, args)
}

// serve answers requests until ctx ends, and then those that are under way.
func serve(ctx context.Context, s *app.Settings, metricsAddress string, log *slog.Logger) (err error) {
	for _, w := range s.Warnings() {
		log.Warn("configuration", slog.String("warning", w.String()))
	}
	for _, note := range s.Notes {
		log.Warn("configuration", slog.String("warning", note))
	}
	if err := s.CheckCredentialKeys(); err != nil {
		return err
	}
	db, err := s.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	parts := s.Build(db, app.Options{Log: log, Metrics: registry})
	if err := s.CheckKeys(parts.Keys); err != nil {
		return err
	}
	if err := parts.Policy.Load(); err != nil {
		return err
	}
	outside, err := readOutside(s, parts.Catalog, log)
	if err != nil {
		return err
	}
	if outside.identifier != nil {
		parts.Server.Peers, parts.Server.Negotiate = outside.identifier, outside.negotiate
	}

	servers := []*listener{
		{name: "public", option: "public_port", address: net.JoinHostPort(s.PublicBindHost, strconv.Itoa(s.PublicPort)), handler: parts.Server.Handler(
			server.Listener{Endpoint: s.PublicEndpoint})},
		{name: "admin", option: "admin_port", address: net.JoinHostPort(s.AdminBindHost, strconv.Itoa(s.AdminPort)), handler: parts.Server.Handler(
			server.Listener{Admin: true, Endpoint: s.AdminEndpoint, PublicEndpoint: s.PublicEndpoint})},
	}
	if metricsAddress != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		servers = append(servers, &listener{name: metricsListener, option: "metrics-listen", address: metricsAddress, handler: mux})
	}
	defer func() {
		for _, l := range servers {
			l.close()
		}
	}()
	for _, l := range servers {
		if err := l.listen(ctx); err != nil {
			return err
		}
		scheme := "http"
		if l.name != metricsListener && outside.tls != nil {
			scheme, l.socket = "https", tls.NewListener(l.socket, outside.tls.Config())
		}
		log.Info("listening", slog.String("listener", l.name), slog.String("url", scheme+"://"+l.socket.Addr().String()+"/"))
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range servers {
		group.Go(func() error { return l.serve(ctx, parts.Server.StopWaiting, log) })
	}
	group.Go(func() error { return parts.Policy.Run(ctx) })
	for _, w := range outside.watchers {
		group.Go(func() error { return w.Run(ctx) })
	}
	group.Go(func() error { return outside.followHangups(ctx) })
	f := flusher{
		remove: func(ctx context.Context) (int, error) { return app.Flush(ctx, parts.Server) },
		now:    time.Now,
		log:    log,
	}
	group.Go(func() error { return f.run(ctx) })
	err = group.Wait()
	log.Info("stopped")
	return err
}

const metricsListener = "metrics"

// listener is one port.
type listener struct {
	name, option, address string
	handler               http.Handler
	socket                net.Listener
}

func (l *listener) listen(ctx context.Context) error {
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("%s listener (%s): %w: is another keystone-all running?", l.name, l.option, err)
	}
	l.socket = socket
	return nil
}

func (l *listener) close() {
	if l.socket != nil {
		l.socket.Close() // does nothing where the server has closed it
	}
}

// Limits of a connection. A header holds up to two PKI tokens; an answer may wait for a password check.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 256 << 10
	drainTimeout      = 30 * time.Second
)

// serve answers requests until ctx ends, calls draining, and answers those that are under way.
func (l *listener) serve(ctx context.Context, draining func(), log *slog.Logger) error {
	s := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l.socket) }()
	select {
	case err := <-failed:
		return fmt.Errorf("%s listener: %w", l.name, err)
	case <-ctx.Done():
	}
	draining()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := s.Shutdown(drain)
	<-failed
	if err != nil {
		s.Close()
		return fmt.Errorf("%s listener: requests still ran after %s: %w", l.name, drainTimeout, err)
	}
	return nil
}
