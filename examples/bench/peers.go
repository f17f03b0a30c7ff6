package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A peer is a proxy to measure.
type peer struct {
	name string
	// header is the request header that carries the token, "" for a proxy that checks none; jwt says which kind it wants.
	header string
	jwt    bool
	// command gives the command line for an address to listen on; cold asks for one that keeps no verified tokens. An error
	// that wraps exec.ErrNotFound says that the program is not installed.
	command func(b *bench, listen string, cold bool) ([]string, error)
	// caches says that a token seen before costs less, so that a cold measurement takes another start.
	caches bool
}

func peers() []peer {
	return []peer{
		{name: "direct, no proxy"},
		{name: "nginx, plain", command: nginx},
		{name: "HAProxy, plain", command: haproxy(false)},
		{name: "HAProxy, jwt_verify RS256", header: "Authorization: Bearer ", jwt: true, command: haproxy(true)},
		{name: "httputil.ReverseProxy, plain", command: reverseProxy},
		{name: "authproxy, PKI", header: "X-Auth-Token: ", command: authproxy, caches: true},
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
daemon off; worker_processes 1; pid %[1]s/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; large_client_header_buffers 8 64k;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream up { server %[2]s; keepalive 256; }
  server { listen %[3]s; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }
}
`, b.dir, b.upstream, listen), 0o600)
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
  maxconn 4096
  nbthread 1
  tune.bufsize 65536
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind %s%s
  default_backend b
backend b
  server s %s
`, listen, rules, b.upstream), 0o600)
	}
}

// reverseProxy is this program itself, in the role of the plainest proxy that Go's library makes.
func reverseProxy(b *bench, listen string, _ bool) ([]string, error) {
	self, err := os.Executable()
	return []string{self, "-reverse-proxy", listen, b.upstream}, err
}

func authproxy(b *bench, listen string, cold bool) ([]string, error) {
	args := []string{filepath.Join(b.bin, "authproxy"), "--upstream", "http://" + b.upstream, "--listen", listen, "--admin-listen", "127.0.0.1:0", "--drain-delay", "0s",
		"--log-level", "error", "--signing-cert-file", b.material.signingCert, "--signing-ca-file", b.material.ca, "--revocation-file", b.material.revoked}
	if cold {
		args = append(args, "--token-cache-time", "0")
	}
	return args, nil
}
