package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A peer is a proxy to measure.
type peer struct {
	name string
	// header is the request header that carries the token, "" for a proxy that checks none.
	header string
	// tokens are good ones. sized are good ones of growing size; nil where there are none.
	tokens, sized func(b *bench) []string
	// command gives the command line for an address to listen on; cold asks for one that keeps no verified tokens. An error
	// that wraps exec.ErrNotFound says that the program is not installed.
	command func(b *bench, listen string, cold bool) ([]string, error)
	// caches says that a token seen before costs less, so that a cold measurement takes another start.
	caches bool
	// needs starts what the peer asks besides, if it does not run yet.
	needs func(ctx context.Context, b *bench) error
	// wsgi says that there is an application in the peer, so that it has no upstream.
	wsgi bool
}

const (
	directName    = "direct, no proxy"
	baseName      = "HAProxy, jwt_verify RS256" // what ratios are to
	authproxyName = "authproxy, PKI"
	authTokenName = "auth_token under uwsgi, PKI"
)

func peers() []peer {
	pki := peer{header: "X-Auth-Token: ", caches: true,
		tokens: func(b *bench) []string { return b.material.pki }, sized: func(b *bench) []string { return b.material.sizedPKI }}
	relay, standard := pki, pki
	relay.name, relay.command = authproxyName, authproxy("relay")
	standard.name, standard.command = "authproxy, PKI, --upstream-client standard", authproxy("standard")
	return []peer{
		{name: directName},
		{name: "nginx, plain", command: nginx},
		{name: "HAProxy, plain", command: haproxy(false)},
		{name: "httputil.ReverseProxy, plain", command: reverseProxy},
		{name: baseName, header: "Authorization: Bearer ", command: haproxy(true),
			tokens: func(b *bench) []string { return b.material.jwt }, sized: func(b *bench) []string { return b.material.sizedJWT }},
		{name: "uwsgi, no check", command: uwsgi(false), wsgi: true},
		{name: authTokenName, header: "X-Auth-Token: ", command: uwsgi(true), caches: true, wsgi: true,
			tokens: func(b *bench) []string { return b.issued }, needs: startIdentity},
		relay,
		standard,
	}
}

func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil {
			return "", fmt.Errorf("%s: %w", program, exec.ErrNotFound)
		}
	}
	return path, nil
}

func nginx(b *bench, listen string, _ bool) ([]string, error) {
	program, err := find("nginx")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "nginx.conf")
	return []string{program, "-c", config, "-p", b.dir, "-e", filepath.Join(b.dir, "nginx.log")}, os.WriteFile(config, fmt.Appendf(nil, `
daemon off; worker_processes 1; worker_rlimit_nofile %[6]d; pid %[1]s/nginx.pid;
events { worker_connections %[5]d; }
http {
  access_log off; keepalive_requests 1000000000; large_client_header_buffers 8 64k;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream up { server %[2]s; keepalive %[4]d; keepalive_requests 1000000000; }
  server { listen %[3]s; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }
}
`, b.dir, b.upstream.Addr, listen, mostConnections, 3*mostConnections, openFiles(mostConnections)), 0o600)
}

func haproxy(verify bool) func(*bench, string, bool) ([]string, error) {
	return func(b *bench, listen string, _ bool) ([]string, error) {
		program, err := find("haproxy")
		if err != nil {
			return nil, err
		}
		rules := ""
		if verify {
			rules = fmt.Sprintf(`
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request del-header X-User-Name
  http-request deny deny_status 401 unless { var(txn.alg) -m str "RS256" }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"%s") 1 }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request set-header X-User-Name %%[var(txn.sub)]`, b.material.publicKey)
		}
		config := filepath.Join(b.dir, fmt.Sprintf("haproxy-%t.cfg", verify))
		return []string{program, "-db", "-f", config}, os.WriteFile(config, fmt.Appendf(nil, `
global
  maxconn %[4]d
  nbthread 1
  tune.bufsize 65536
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend f
  bind %[1]s%[2]s
  default_backend b
backend b
  server s %[3]s
`, listen, rules, b.upstream.Addr, mostConnections+100), 0o600)
	}
}

// reverseProxy is this program itself, in the role of the plainest proxy that Go's library makes.
func reverseProxy(b *bench, listen string, _ bool) ([]string, error) {
	self, err := os.Executable()
	return []string{self, "-reverse-proxy", listen, b.upstream.Addr}, err
}

// cacheBytes is room for all tokens of a run; the default has room for some thousand of them.
const cacheBytes = 4 << 30

func authproxy(client string) func(*bench, string, bool) ([]string, error) {
	return func(b *bench, listen string, cold bool) ([]string, error) {
		args := []string{filepath.Join(b.bin, "authproxy"), "--upstream", "http://" + b.upstream.Addr, "--listen", listen, "--admin-listen", "127.0.0.1:0", "--drain-delay", "0s",
			"--log-level", "error", "--signing-cert-file", b.material.signingCert, "--signing-ca-file", b.material.ca, "--revocation-file", b.material.revoked,
			"--upstream-client", client, "--cache-size-bytes", fmt.Sprint(cacheBytes), "--token-cache-time", "3600"}
		if cold {
			args = append(args, "--token-cache-time", "0")
		}
		return args, nil
	}
}

//go:embed auth_token.py
var wsgiApplication []byte

// uwsgi is an application in uwsgi, as services are run, with auth_token in it or without. Each request has its connection, since
// uwsgi's plain HTTP keeps none.
func uwsgi(check bool) func(*bench, string, bool) ([]string, error) {
	return func(b *bench, listen string, cold bool) ([]string, error) {
		program, err := find("uwsgi_python3")
		if err != nil {
			return nil, err
		}
		if check {
			if out, err := exec.Command("/usr/bin/python3", "-c", "import keystonemiddleware.auth_token").CombinedOutput(); err != nil {
				return nil, fmt.Errorf("python3-keystonemiddleware: %w\n%s", exec.ErrNotFound, out)
			}
		}
		file := filepath.Join(b.dir, "application.py")
		if err := os.WriteFile(file, wsgiApplication, 0o600); err != nil {
			return nil, err
		}
		args := []string{program, "--http-socket", listen, "--wsgi-file", file, "--need-app", "--processes", "1", "--threads", "4", "--enable-threads",
			"--die-on-term", "--buffer-size", "65535", "--listen", "1024", "--disable-logging", "--add-header", "Connection: close"}
		if !check {
			return args, nil
		}
		options := map[string]string{
			"auth_url": b.cloud.Keystone, "auth_type": "password", "username": "authproxy", "password": b.cloud.ServicePassword,
			"user_domain_id": "default", "project_name": "service", "project_domain_id": "default", "interface": "public",
			"www_authenticate_uri": b.cloud.Keystone,
		}
		if cold { // that others put into memcached would be taken from there
			options["token_cache_time"] = "-1"
		} else {
			options["memcached_servers"] = b.memcached
		}
		text, err := json.Marshal(options)
		if err != nil {
			return nil, err
		}
		config := filepath.Join(b.dir, fmt.Sprintf("auth_token-%t.json", cold))
		return append(args, "--env", "BENCH_AUTH_TOKEN="+config), os.WriteFile(config, text, 0o600)
	}
}
