package extauth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"authproxy/proxy"
	"authproxy/proxy/headers"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func dial(t *testing.T, target string) authv3.AuthorizationClient {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

// envoy is a question as Envoy puts it.
func envoy(method, path string, header map[string]string) *authv3.CheckRequest {
	all := map[string]string{":path": path, ":method": method, ":authority": "image"}
	maps.Copy(all, header)
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.9",
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 1234}}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: method, Path: path, Host: "image", Headers: all}},
	}}
}

var errRefused = errors.New("permission denied")

// checkCalls asks once, as a stranger may.
func checkCalls(t *testing.T, address string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := dial(t, address).Check(ctx, envoy("GET", "/healthcheck", nil))
	if status.Code(err) == codes.PermissionDenied {
		return errRefused
	}
	return err
}

func TestGRPC(t *testing.T) {
	h, asked := handler(t, local(t), nil)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h, l)
	tcp := serve(t, h, nil)
	roles, _ := handler(t, local(t), func(p *proxy.Handler) { p.RequiredRoles = []string{"admin"} })
	strict := serve(t, roles, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	for _, target := range []string{"unix:" + l.Addr().String(), tcp.Listener.Addr().String()} {
		client := dial(t, target)
		res, err := client.Check(ctx, envoy("GET", "/v2/a%2Fb?x", map[string]string{"x-auth-token": "zoe", "x-roles": "admin", "x_roles": "admin", "X.Roles": "admin",
			"x-service-roles": "service", "x-remote-user": "root", "x-authproxy-guard": "x", "x_auth_token": "y", "accept": "*/*"}))
		if err != nil {
			t.Fatal(err)
		}
		ok := res.GetOkResponse()
		if res.Status.Code != int32(codes.OK) || ok == nil {
			t.Fatalf("%v", res)
		}
		if r := asked.asked(); r.Method != "GET" || r.Path != "/v2/a/b" || r.Client != "192.0.2.9" {
			t.Errorf("%+v", r)
		}
		set := map[string]string{}
		for _, o := range ok.Headers {
			if o.AppendAction != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || o.GetHeader().GetValue() == "" {
				t.Errorf("%v", o)
			}
			set[o.Header.Key] = o.Header.Value
		}
		if set["x-user-name"] != "Zoë" || set["x-roles"] != "member" || set["x-identity-status"] != "Confirmed" {
			t.Errorf("%v", set)
		}
		for _, name := range headers.Names() {
			name = strings.ToLower(name)
			if _, there := set[name]; there == slices.Contains(ok.HeadersToRemove, name) {
				t.Errorf("%s: set %v", name, there)
			}
		}
		for _, name := range []string{"x_roles", "x.roles", "x-remote-user", "x-authproxy-guard", "x_auth_token"} {
			if !slices.Contains(ok.HeadersToRemove, name) {
				t.Errorf("%s is not removed", name)
			}
		}
		if slices.Contains(ok.HeadersToRemove, "x-auth-token") || slices.Contains(ok.HeadersToRemove, "accept") {
			t.Errorf("removed: %v", ok.HeadersToRemove)
		}
	}

	client := dial(t, tcp.Listener.Addr().String())
	raw := envoy("GET", "/", nil)
	raw.Attributes.Request.Http.Headers = nil
	raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x-auth-token", RawValue: []byte("alice")}, {Key: "x-auth-token", RawValue: []byte("alice")}}}
	for name, tt := range map[string]struct {
		client authv3.AuthorizationClient
		q      *authv3.CheckRequest
		http   int
		code   codes.Code
	}{
		"no token":       {client, envoy("GET", "/", nil), 401, codes.Unauthenticated},
		"revoked":        {client, envoy("GET", "/", map[string]string{"x-auth-token": "revoked"}), 401, codes.Unauthenticated},
		"undecided":      {client, envoy("GET", "/", map[string]string{"x-auth-token": "unsure"}), 503, codes.Unavailable},
		"lacks the role": {dial(t, strict.Listener.Addr().String()), envoy("GET", "/", map[string]string{"x-auth-token": "alice"}), 403, codes.PermissionDenied},
		"two joined":     {client, envoy("GET", "/", map[string]string{"x-auth-token": "alice,alice"}), 400, codes.PermissionDenied},
		"two apart":      {client, raw, 400, codes.PermissionDenied},
	} {
		res, err := tt.client.Check(ctx, tt.q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := res.GetDeniedResponse()
		if d == nil || int(d.GetStatus().GetCode()) != tt.http || codes.Code(res.Status.Code) != tt.code || d.Body == "" {
			t.Errorf("%s: %v", name, res)
			continue
		}
		got := http.Header{}
		for _, o := range d.Headers {
			got.Add(o.Header.Key, o.Header.Value)
		}
		if got.Get("Content-Type") == "" || (tt.http == 401) != (got.Get("WWW-Authenticate") == `Keystone uri="http://identity"`) || (tt.http == 503) != (got.Get("Retry-After") == "5") {
			t.Errorf("%s: %v", name, got)
		}
	}

	res, err := client.Check(ctx, envoy("GET", "/healthcheck", map[string]string{"x-auth-token": "junk", "x-storage-token": "junk", "x-roles": "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	if ok := res.GetOkResponse(); ok == nil || len(ok.Headers) != 0 || !slices.Contains(ok.HeadersToRemove, "x-auth-token") ||
		!slices.Contains(ok.HeadersToRemove, "x-storage-token") || !slices.Contains(ok.HeadersToRemove, "x-identity-status") {
		t.Errorf("anonymous: %v", res)
	}
	for _, bad := range []*authv3.CheckRequest{{}, envoy("", "/healthcheck", nil), envoy("GET", "", nil), envoy("GET", "healthcheck", nil)} {
		if res, err := client.Check(ctx, bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v %v", res, err)
		}
	}
}

// TestGRPCLatin1: what gRPC cannot carry is no verdict.
func TestGRPCLatin1(t *testing.T) {
	h, _ := handler(t, local(t), func(p *proxy.Handler) { p.Headers.Encoding = headers.Latin1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := dial(t, serve(t, h, nil).Listener.Addr().String())
	if res, err := client.Check(ctx, envoy("GET", "/", map[string]string{"x-auth-token": "zoe"})); status.Code(err) != codes.Internal {
		t.Errorf("%v %v", res, err)
	}
	if res, err := client.Check(ctx, envoy("GET", "/", map[string]string{"x-auth-token": "alice"})); err != nil || res.GetOkResponse() == nil {
		t.Errorf("%v %v", res, err)
	}
}
