package extauth

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

// service is envoy.service.auth.v3.Authorization. Who asks has been looked at before.
type service struct {
	authv3.UnimplementedAuthorizationServer
	*Handler
}

func register(s *grpc.Server, h *Handler) { authv3.RegisterAuthorizationServer(s, service{Handler: h}) }

// Check decides about a request.
func (s service) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	q := grpcQuestion(in)
	r, err := q.request(ctx)
	if err != nil {
		s.o.Log.Warn("a front end does not say what it asks for", slog.String("by", string(byGRPC)), slog.Any("cause", err))
		s.count(byGRPC, http.StatusBadRequest)
		return nil, grpcstatus.Error(codes.InvalidArgument, "the question does not name one request: "+err.Error())
	}
	v := s.judge(r)
	s.count(byGRPC, v.code)
	if v.code != http.StatusOK {
		return denied(v), nil
	}
	ok := &authv3.OkHttpResponse{HeadersToRemove: s.remove(q.names, v)}
	for _, name := range names {
		value := v.header.Get(name)
		switch {
		case value == "": // removed
		case !utf8.ValidString(value):
			s.o.Log.Warn("identity cannot be told to Envoy in this encoding; leave --header-encoding at utf-8", slog.String("header", name))
			return nil, grpcstatus.Error(codes.Internal, "the identity is not UTF-8")
		default:
			ok.Headers = append(ok.Headers, option(name, value, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
		}
	}
	for _, challenge := range v.header["Www-Authenticate"] { // a Kerberos ticket's answer
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, option("WWW-Authenticate", challenge, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.OK)}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}, nil
}

// denied is the answer that the client gets from Envoy.
func denied(v *verdict) *authv3.CheckResponse {
	code := codes.PermissionDenied
	switch v.code {
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	}
	d := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(v.code)}, Body: v.body.String()}
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if value := v.header.Get(name); value != "" {
			d.Headers = append(d.Headers, option(name, value, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
		}
	}
	for _, challenge := range v.header["Www-Authenticate"] {
		d.Headers = append(d.Headers, option("WWW-Authenticate", challenge, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(code)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: d}}
}

func option(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: strings.ToLower(name), Value: value}, AppendAction: action}
}

// grpcQuestion reads a question of Envoy's.
func grpcQuestion(in *authv3.CheckRequest) question {
	about := in.GetAttributes().GetRequest().GetHttp()
	q := question{by: byGRPC, method: about.GetMethod(), uri: about.GetPath(), host: about.GetHost(), header: http.Header{}}
	add := func(name, value string) {
		if name == "" || strings.HasPrefix(name, ":") {
			return
		}
		canonical := http.CanonicalHeaderKey(name)
		q.header[canonical] = append(q.header[canonical], value)
		q.names = append(q.names, name)
	}
	for name, value := range about.GetHeaders() {
		add(name, value)
	}
	for _, h := range about.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		add(h.GetKey(), value)
	}
	splitTokens(q.header)
	if addr, err := netip.ParseAddr(in.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()); err == nil {
		q.client = addr.Unmap()
	}
	return q
}
