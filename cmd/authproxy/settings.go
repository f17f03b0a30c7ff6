package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"authproxy/keystone/config"
	"authproxy/proxy"
	"authproxy/proxy/guard"
)

// settings is everything that the command was told.
type settings struct {
	upstream                                            string
	insecureUpstream                                    bool
	upstreamKeepAlive                                   bool
	upstreamClient                                      string
	upstreamCAFile                                      string
	upstreamCertFile, upstreamKeyFile, upstreamProtocol string
	guardFile, guardHeader                              string
	maxCatalogSize                                      int
	anonymous                                           []string
	anonymousPreflight                                  bool
	requiredRoles                                       []string
	routeFlags                                          multi
	headerEncoding                                      string

	listen, adminListen, server    string
	authListen                     string
	authTLS, insecureAuthListen    bool
	authTrustedPeers               []string
	authTrustedPeerNames           []string
	tlsCertFile, tlsKeyFile        string
	http2                          bool
	tlsClientCAFile                string
	kerberosKeytab                 string
	kerberosPrincipal              string
	kerberosRealmMap               []string
	trustedPeers                   []string
	trustedPeerNames               []string
	closeStreams                   []string
	forwardedFrom                  []string
	onlineLimit, onlineLimitClient int
	remoteUserHeader               string
	authTypeHeader                 string
	drainDelay, shutdownTimeout    time.Duration
	reloadInterval                 time.Duration
	logLevel, logFormat            string
	checkConfig                    bool

	token  *config.AuthToken // [keystone_authtoken]
	routes []config.Route    // [authproxy:route:NAME] and --route
	values []config.Value    // the proxy's own options, for --check-config
}

// The values of --server.
const (
	serverPlain    = "plain"
	serverStandard = "standard"
)

// An ownOption is an option of the proxy that is no option of auth_token, so that it has no place in a service's file. It is
// set by flag or by environment: --drain-delay, AUTHPROXY_DRAIN_DELAY.
type ownOption struct {
	name, help, byDefault string
	to                    func(*settings) any // *string, *[]string, *multi, *bool, *int or *time.Duration
}

func (o *ownOption) env() string {
	return "AUTHPROXY_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

const configFileEnv = "AUTHPROXY_CONFIG_FILE"

func ownOptions() []ownOption {
	return []ownOption{
		{"upstream", "where requests go: http://HOST:PORT, https://HOST[:PORT] or unix:/PATH", "", func(s *settings) any { return &s.upstream }},
		{"insecure-upstream", "allow plain http to an upstream that is not on this machine: who can write to that network can be anyone", "false",
			func(s *settings) any { return &s.insecureUpstream }},
		{"upstream-keepalive", "use connections to the upstream more than once; false for uwsgi's http-socket", "true",
			func(s *settings) any { return &s.upstreamKeepAlive }},
		{"upstream-client", "what carries requests to the upstream: relay, which is authproxy's own, or standard, which is Go's and costs more", "relay",
			func(s *settings) any { return &s.upstreamClient }},
		{"upstream-cafile", "PEM file of the CAs that may sign an https upstream's certificate, instead of the system's", "",
			func(s *settings) any { return &s.upstreamCAFile }},
		{"upstream-certfile", "PEM file of the TLS client certificate for an https upstream; taken into use when it changes, as upstream-cafile is", "",
			func(s *settings) any { return &s.upstreamCertFile }},
		{"upstream-keyfile", "PEM file of its key, where upstream-certfile does not hold it", "", func(s *settings) any { return &s.upstreamKeyFile }},
		{"upstream-protocol", "what is spoken to the upstream: http/1.1, h2 (over TLS), or h2c (HTTP/2 without TLS); gRPC takes one of the latter", proxy.HTTP1,
			func(s *settings) any { return &s.upstreamProtocol }},
		{"upstream-guard-file", "file of secrets, one in each line: the first is sent to the upstream, which so knows the proxy; taken into use when it changes", "",
			func(s *settings) any { return &s.guardFile }},
		{"upstream-guard-header", "header for that secret; clients' own is removed", guard.DefaultHeader, func(s *settings) any { return &s.guardHeader }},
		{"max-catalog-size", "largest X-Service-Catalog in bytes, larger ones are left out; 0 is no limit", "49152",
			func(s *settings) any { return &s.maxCatalogSize }},
		{"header-encoding", "how names that are not ASCII are written into identity headers: utf-8, or iso-8859-1 for Python services behind WSGI", "utf-8",
			func(s *settings) any { return &s.headerEncoding }},
		{"anonymous", "list of METHOD|METHOD /PATH: requests that need no token; /PATH/* is every path that begins with /PATH/", "",
			func(s *settings) any { return &s.anonymous }},
		{"anonymous-preflight", "CORS preflights (OPTIONS with Origin and Access-Control-Request-Method) need no token", "false",
			func(s *settings) any { return &s.anonymousPreflight }},
		{"required-roles", "list of roles of which a user needs one, or gets a 403", "", func(s *settings) any { return &s.requiredRoles }},
		{"route", "NAME; path=/PATH; host=HOST; upstream=URL; ...: another upstream for requests beneath a path or for a host, as the section [authproxy:route:NAME] of a --config-file; more than once", "",
			func(s *settings) any { return &s.routeFlags }},
		{"listen", "address for requests: HOST:PORT, unix:/PATH[,mode=0660], or systemd for its socket with FileDescriptorName=data", "127.0.0.1:8080", func(s *settings) any { return &s.listen }},
		{"tls-cert-file", "PEM file of the certificate, with its chain, that --listen shows; TLS is off without; taken into use when it changes", "",
			func(s *settings) any { return &s.tlsCertFile }},
		{"tls-key-file", "PEM file of its key", "", func(s *settings) any { return &s.tlsKeyFile }},
		{"server", "who reads requests that come without TLS: plain reads those of the simplest form itself and leaves all others to net/http's server, standard leaves it all of them", serverPlain,
			func(s *settings) any { return &s.server }},
		{"http2", "offer HTTP/2 to clients of a --listen that speaks TLS", "true", func(s *settings) any { return &s.http2 }},
		{"tls-client-ca-file", "PEM file of the CAs whose client certificates are verified, if a client shows one: for tokens bound to x509, and for --trusted-peer-names", "",
			func(s *settings) any { return &s.tlsClientCAFile }},
		{"kerberos-keytab", "keytab of HTTP/HOST: clients authenticate by Negotiate (SPNEGO), for tokens bound to kerberos; taken into use when it changes", "",
			func(s *settings) any { return &s.kerberosKeytab }},
		{"kerberos-principal", "the one principal that tickets may be for, HTTP/HOST@REALM, instead of every HTTP/... in the keytab", "",
			func(s *settings) any { return &s.kerberosPrincipal }},
		{"kerberos-realm-map", "list of REALM= (alice@REALM is alice to Keystone) and REALM=NEW (she is alice@NEW)", "",
			func(s *settings) any { return &s.kerberosRealmMap }},
		{"trusted-peers", "list of addresses and networks (192.0.2.0/24) of front ends that say by header who sends a request, and the word unix for whoever connects to a unix socket", "",
			func(s *settings) any { return &s.trustedPeers }},
		{"trusted-peer-names", "the same by client certificate: list of DNS names and URIs in it", "",
			func(s *settings) any { return &s.trustedPeerNames }},
		{"close-streams", "list of kinds of exchanges that are closed when their tokens expire or are revoked: websocket, sse, grpc, download (of 1 MiB or more)", "",
			func(s *settings) any { return &s.closeStreams }},
		{"forwarded-from", "list of addresses and networks of front ends whose X-Forwarded- headers and Forwarded are believed and added to, and the word unix", "127.0.0.0/8,::1,unix",
			func(s *settings) any { return &s.forwardedFrom }},
		{"online-limit", "how many questions about tokens the Identity service is asked at once; more are a 503", "32", func(s *settings) any { return &s.onlineLimit }},
		{"online-limit-client", "how many of them for one client address, so that one client cannot keep out the others; 0 is half of --online-limit", "0",
			func(s *settings) any { return &s.onlineLimitClient }},
		{"remote-user-header", "header in which trusted peers tell the user (REMOTE_USER); removed from all requests where there are any such peers", "X-Remote-User",
			func(s *settings) any { return &s.remoteUserHeader }},
		{"auth-type-header", "header in which they tell how he was authenticated (AUTH_TYPE): Negotiate", "X-Auth-Type",
			func(s *settings) any { return &s.authTypeHeader }},
		{"auth-listen", "address for the questions of front ends that pass requests on themselves (nginx, Traefik, Caddy, Envoy): HOST:PORT, unix:/PATH[,mode=0660], or systemd for its socket with FileDescriptorName=auth; off without. --upstream is not needed then", "",
			func(s *settings) any { return &s.authListen }},
		{"auth-tls", "speak TLS on --auth-listen, with the files of --tls-cert-file, --tls-key-file and --tls-client-ca-file", "false",
			func(s *settings) any { return &s.authTLS }},
		{"insecure-auth-listen", "allow --auth-listen without TLS on an address that is not of this machine alone: who can write to that network can be anyone", "false",
			func(s *settings) any { return &s.insecureAuthListen }},
		{"auth-trusted-peers", "list of addresses and networks of front ends that may ask at --auth-listen, and are believed about the requests they ask for; and the word unix", "127.0.0.0/8,::1,unix",
			func(s *settings) any { return &s.authTrustedPeers }},
		{"auth-trusted-peer-names", "the same by client certificate, with --auth-tls: list of DNS names and URIs in it", "",
			func(s *settings) any { return &s.authTrustedPeerNames }},
		{"admin-listen", "address for /metrics, /healthz, /readyz and /status: HOST:PORT, unix:/PATH[,mode=0660], or systemd for its socket with FileDescriptorName=admin", "127.0.0.1:8081",
			func(s *settings) any { return &s.adminListen }},
		{"reload-interval", "how often to look whether the files of TLS and Kerberos have changed", "10s", func(s *settings) any { return &s.reloadInterval }},
		{"drain-delay", "after SIGTERM: how long to go on serving while /readyz says 503, so that load balancers notice", "3s",
			func(s *settings) any { return &s.drainDelay }},
		{"shutdown-timeout", "after that: how long requests under way may take", "30s", func(s *settings) any { return &s.shutdownTimeout }},
		{"log-level", "debug, info, warn or error", "info", func(s *settings) any { return &s.logLevel }},
		{"log-format", "text or json", "text", func(s *settings) any { return &s.logFormat }},
		{"check-config", "print every effective value with where it came from, say whether all is well, and end", "false",
			func(s *settings) any { return &s.checkConfig }},
	}
}

// multi is an option that is given more than once, since its values may hold commas. In the environment each has its line.
type multi []string

// text is the value of any flag: the parsing is done later, in one place for flags and environment.
type text struct {
	value   string
	join    string // given more than once, values are joined by it; "": the last one counts
	boolean bool   // --flag is --flag=true
	given   bool
}

func (t *text) Set(value string) error {
	if t.join != "" && t.given {
		value = t.value + t.join + value
	}
	t.value, t.given = value, true
	return nil
}

func (t *text) String() string   { return t.value }
func (t *text) IsBoolFlag() bool { return t.boolean }

func flags(options []config.Option) []cli.Flag {
	all := []cli.Flag{&cli.StringSliceFlag{
		Name: "config-file", EnvVars: []string{configFileEnv},
		Usage: "read [keystone_authtoken] of `FILE`, such as /etc/glance/glance-api.conf; more than once: later files win",
	}}
	for _, o := range ownOptions() {
		to := o.to(new(settings))
		_, boolean := to.(*bool)
		join := ""
		switch to.(type) {
		case *[]string:
			join = ","
		case *multi:
			join = "\n"
		}
		all = append(all, &cli.GenericFlag{Name: o.name, Usage: o.help, DefaultText: cmp.Or(o.byDefault, "unset"), Value: &text{boolean: boolean, join: join}})
	}
	for _, o := range options {
		if o.Flag() == "" {
			continue
		}
		join := ""
		if o.Kind == config.List {
			join = ","
		}
		all = append(all, &cli.GenericFlag{
			Name: o.Flag(), Usage: o.Help, DefaultText: cmp.Or(o.Default, "unset"), Category: "[" + o.Section + "]",
			Value: &text{join: join, boolean: o.Kind == config.Bool},
		})
	}
	return all
}

// readSettings puts flags, environment and files together. The error names all that is wrong.
func readSettings(c *cli.Context, options []config.Option, environ []string) (*settings, error) {
	s := &settings{}
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	delete(env, configFileEnv) // urfave/cli has read it

	var problems []error
	for _, o := range ownOptions() {
		value, source := o.byDefault, config.Source{}
		if v, ok := env[o.env()]; ok {
			value, source = v, config.Source{Origin: config.Environment, Name: o.env()}
			delete(env, o.env())
		}
		if t := c.Generic(o.name).(*text); t.given {
			value, source = t.value, config.Source{Origin: config.Flag, Name: o.name}
		}
		if err := parse(value, o.to(s)); err != nil {
			problems = append(problems, &config.Error{Source: source, Text: err.Error()})
		}
		s.values = append(s.values, config.Value{Name: strings.ReplaceAll(o.name, "-", "_"), Text: strings.ReplaceAll(value, "\n", ", "), Source: source})
	}

	if s.server != serverPlain && s.server != serverStandard {
		problems = append(problems, fmt.Errorf("--server %q: want %s or %s", s.server, serverPlain, serverStandard))
	}
	in := config.Input{Files: c.StringSlice("config-file"), Flags: map[string]string{}}
	for name, value := range env {
		in.Environ = append(in.Environ, name+"="+value)
	}
	for _, o := range options {
		if name := o.Flag(); name != "" {
			if t := c.Generic(name).(*text); t.given {
				in.Flags[name] = t.value
			}
		}
	}
	var err error
	if s.token, err = config.LoadAuthToken(in); err != nil {
		problems = append(problems, err)
	} else if s.routes, err = config.LoadRoutes(in.Files, s.routeFlags, s.inherited()); err != nil {
		problems = append(problems, err)
	}
	return s, errors.Join(problems...)
}

// inherited are the values that count for routes which do not say otherwise. What makes requests pass more easily, rules for
// requests without a token, is each route's own.
func (s *settings) inherited() (values []config.Value) {
	for _, v := range s.token.Effective() {
		if v.Name == "enforce_token_bind" || v.Name == "delay_auth_decision" || v.Name == "include_service_catalog" {
			values = append(values, v)
		}
	}
	for _, v := range s.values {
		if v.Name == "required_roles" || v.Name == "upstream_protocol" {
			values = append(values, v)
		}
	}
	return values
}

func parse(value string, to any) (err error) {
	switch to := to.(type) {
	case *string:
		*to = value
	case *[]string:
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*to = append(*to, item)
			}
		}
	case *multi:
		for item := range strings.Lines(value) {
			if item = strings.TrimSpace(item); item != "" {
				*to = append(*to, item)
			}
		}
	case *bool:
		switch strings.ToLower(value) {
		case "true", "yes", "on", "1":
			*to = true
		case "false", "no", "off", "0":
			*to = false
		default:
			err = fmt.Errorf("%q is not a boolean; write true or false", value)
		}
	case *int:
		if *to, err = strconv.Atoi(value); err != nil || *to < 0 {
			err = fmt.Errorf("%q is not a whole number, 0 or more", value)
		}
	case *time.Duration:
		if *to, err = time.ParseDuration(value); err != nil || *to < 0 {
			err = fmt.Errorf("%q is not a duration; write 5s, 500ms or 1m30s", value)
		}
	default:
		panic(fmt.Sprintf("an option of type %T", to))
	}
	return err
}

func readPEM(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return b, err
}
