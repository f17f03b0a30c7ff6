package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"authproxy/certs"
	"authproxy/proxy/listen"
	"authproxy/proxy/plain"
	"authproxy/proxy/socket"
)

// lifetime is what the shutdown needs to know of the requests, and the requests of the shutdown.
type lifetime struct {
	underWay atomic.Int64
	draining atomic.Bool
	ready    atomic.Bool // was so once
}

// track counts requests, upgraded connections among them, which http.Server.Shutdown does not wait for.
func (l *lifetime) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.underWay.Add(1)
		defer l.underWay.Add(-1)
		next.ServeHTTP(w, r)
	})
}

// idle waits until no request is under way, or ctx ends.
func (l *lifetime) idle(ctx context.Context) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for l.underWay.Load() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// serve answers requests until ctx ends, lets load balancers notice, and then ends what is under way. All that it starts has
// ended when it returns.
func (p *parts) serve(ctx context.Context) error {
	if err := p.loadLocal(ctx); err != nil {
		return err
	}
	handed, err := listen.FromSystemd()
	if err != nil {
		return err
	}
	admin, err := p.adminAddress.Listen(ctx, handed)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	defer admin.Close() // does nothing where the server has closed it
	var data, auth net.Listener
	if p.data != nil {
		if data, err = p.dataAddress.Listen(ctx, handed); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		defer data.Close()
	}
	if p.auth != nil {
		if auth, err = p.authAddress.Listen(ctx, handed); err != nil {
			return fmt.Errorf("--auth-listen: %w", err)
		}
		defer auth.Close()
	}
	for _, name := range handed.Rest() {
		p.log.Warn("systemd has handed over a socket that no option asks for; write --listen systemd, --admin-listen systemd or --auth-listen systemd", slog.String("name", name))
	}
	defer p.close()

	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives the signal: requests are still under way
	defer stop()
	group, work := errgroup.WithContext(work)
	requests, cut := context.WithCancel(work)
	defer cut()

	if p.certificates != nil {
		group.Go(func() error {
			// Whatever else is wrong mends itself or is waited for, but not a signing_dir that others can write to.
			if err := p.certificates.Load(work); errors.Is(err, certs.ErrUnsafeDir) {
				return err
			}
			return p.certificates.Run(work)
		})
	}
	if p.list != nil {
		group.Go(func() error { return p.list.Run(work) })
	}
	if p.streams != nil {
		group.Go(func() error { return p.streams.Run(work) })
	}
	if p.events != nil {
		group.Go(func() error { return p.events.Run(work) })
	}
	group.Go(func() error { return p.followHangups(work) })
	for _, w := range p.watchers {
		group.Go(func() error { return w.Run(work) })
	}
	// serve answers what comes by a listener, and says where it is.
	serve := func(server *http.Server, l net.Listener, encrypted bool) string {
		where := urlOf(l, encrypted)
		server.BaseContext = func(net.Listener) context.Context { return requests }
		l = socket.Listener{Listener: l}
		switch {
		case encrypted:
			l = tls.NewListener(l, p.listener.Config())
		case server == p.data && p.settings.server == serverPlain:
			p.plain = plain.NewListener(l, server)
			p.plain.Near = p.validator.Near
			l = p.plain
		}
		group.Go(func() error { return serveOn(server, l) })
		return where
	}
	group.Go(func() error { return serveOn(p.admin, admin) })
	var dataURL, authURL string
	if p.data != nil {
		dataURL = serve(p.data, data, p.listener != nil)
	}
	if p.auth != nil {
		authURL = serve(p.auth, auth, p.settings.authTLS)
	}
	group.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
			p.drain(work)
		case <-work.Done(): // a part has failed: end the others
		}
		p.shutdown(cut)
		return nil
	})
	p.log.Info("listening", slog.String("url", dataURL), slog.String("admin", urlOf(admin, false)), slog.String("auth", authURL),
		slog.String("upstream", p.settings.upstream))
	p.tell("READY=1")
	err = group.Wait()
	p.log.Info("stopped")
	return err
}

// loadLocal reads certificates and list that come from files: if that fails, the operator wants to know before there are
// requests. What comes from the Identity service is waited for, see ready.
func (p *parts) loadLocal(ctx context.Context) error {
	if !p.local {
		return nil
	}
	if err := p.certificates.Load(ctx); err != nil {
		return err
	}
	if p.list == nil {
		return nil
	}
	return p.list.Load(ctx)
}

// urlOf is where requests for a listener go to.
func urlOf(l net.Listener, encrypted bool) string {
	switch address := l.Addr(); {
	case address.Network() == "unix":
		return "unix:" + address.String()
	case encrypted:
		return "https://" + address.String()
	default:
		return "http://" + address.String()
	}
}

// tell lets the service manager know, if there is one.
func (p *parts) tell(state string) {
	if err := listen.Notify(state); err != nil {
		p.log.Warn("the service manager was not told", slog.String("state", state), slog.Any("cause", err))
	}
}

func serveOn(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain goes on serving while /readyz says 503.
func (p *parts) drain(work context.Context) {
	p.life.draining.Store(true)
	p.tell("STOPPING=1")
	p.log.Info("stopping", slog.Duration("drain_delay", p.settings.drainDelay))
	select {
	case <-time.After(p.settings.drainDelay):
	case <-work.Done():
	}
}

// afterCut is how long handlers get to notice that their requests have been cut off.
const afterCut = 5 * time.Second

// shutdown closes the listeners and waits for requests; those that take too long are cut off. The admin listener goes last.
func (p *parts) shutdown(cut context.CancelFunc) {
	p.life.draining.Store(true)
	deadline, cancel := context.WithTimeout(context.Background(), p.settings.shutdownTimeout)
	defer cancel()
	if err := p.eachServer(func(s *http.Server) error { return s.Shutdown(deadline) }); err != nil || p.plain.Wait(deadline) != nil || !p.life.idle(deadline) {
		p.log.Warn("requests cut off: they took longer than the shutdown timeout",
			slog.Int64("requests", p.life.underWay.Load()), slog.Duration("shutdown_timeout", p.settings.shutdownTimeout))
		cut()
		_ = p.eachServer((*http.Server).Close)
		p.plain.Abort()
		rest, cancel := context.WithTimeout(context.Background(), afterCut)
		defer cancel()
		_ = p.plain.Wait(rest)
		p.life.idle(rest)
	}
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.admin.Shutdown(last); err != nil {
		p.admin.Close()
	}
}

// eachServer does something with each server of requests.
func (p *parts) eachServer(do func(*http.Server) error) (err error) {
	for _, s := range []*http.Server{p.data, p.auth} {
		if s != nil {
			err = errors.Join(err, do(s))
		}
	}
	return err
}

func (p *parts) close() {
	for _, u := range p.upstreams {
		u.CloseIdle()
	}
	if p.identity != nil {
		p.identity.Close()
	}
	if p.shared != nil {
		p.shared.Close()
	}
}
