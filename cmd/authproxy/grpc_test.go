package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"authproxy/certs/certstest"
)

// told is a gRPC service that says who asks, in messages, headers and trailers.
type told struct {
	grpc_testing.UnimplementedTestServiceServer
}

func caller(ctx context.Context) (name string) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, key := range []string{"x-identity-status", "x-user-name", "x-roles"} {
		for _, value := range md[key] {
			name += value + " "
		}
	}
	return name
}

func payload(text string) *grpc_testing.Payload { return &grpc_testing.Payload{Body: []byte(text)} }

func (told) UnaryCall(ctx context.Context, q *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("said", "early")), grpc.SetTrailer(ctx, metadata.Pairs("said", "late"))); err != nil {
		return nil, err
	}
	if q.ResponseStatus != nil {
		return nil, grpcstatus.Error(codes.Code(q.ResponseStatus.Code), q.ResponseStatus.Message)
	}
	return &grpc_testing.SimpleResponse{Payload: payload(caller(ctx) + string(q.Payload.GetBody()))}, nil
}

func (told) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return nil, errors.Join(grpc.SetTrailer(ctx, metadata.Pairs("said", "late")), grpcstatus.Error(codes.Unimplemented, "for example"))
}

func (told) FullDuplexCall(s grpc_testing.TestService_FullDuplexCallServer) error {
	s.SetTrailer(metadata.Pairs("said", "late"))
	for {
		q, err := s.Recv()
		if err == io.EOF {
			return grpcstatus.Error(codes.DataLoss, "for example")
		}
		if err != nil {
			return err
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(caller(s.Context()) + string(q.Payload.GetBody()))}); err != nil {
			return err
		}
	}
}

// A gRPC client by TLS, the proxy, and a gRPC server by h2c: calls, streams both ways, status in trailers, and refusals that gRPC
// understands.
func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, told{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	p, ca := newPKI(t), certstest.New(t)
	r := offline(t, p, append(listenerFiles(t, ca, t.TempDir()), "--upstream", "http://"+l.Addr().String(), "--upstream-protocol", "h2c", "--close-streams", "grpc",
		"--revocation-cache-time=1")...)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	conn, err := grpc.NewClient(r.data[len("https://"):], grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := grpc_testing.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	alice := metadata.AppendToOutgoingContext(ctx, "x-auth-token", p.token("alice", auditA), "x-roles", "admin", "x_roles", "admin")

	var header, trailer metadata.MD
	res, err := client.UnaryCall(alice, &grpc_testing.SimpleRequest{Payload: payload("hello")}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || string(res.Payload.Body) != "Confirmed alice member hello" {
		t.Errorf("a call: %v %v", res, err)
	}
	if len(header["said"]) != 1 || header["said"][0] != "early" || len(trailer["said"]) != 1 || trailer["said"][0] != "late" {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	_, err = client.UnaryCall(alice, &grpc_testing.SimpleRequest{ResponseStatus: &grpc_testing.EchoStatus{Code: int32(codes.NotFound), Message: "no such thing"}})
	if s, _ := grpcstatus.FromError(err); s.Code() != codes.NotFound || s.Message() != "no such thing" {
		t.Errorf("a status: %v", err)
	}
	for range 50 { // an answer of trailers only, whose end of the stream must not get lost
		if _, err := client.EmptyCall(alice, &grpc_testing.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer)); grpcstatus.Code(err) != codes.Unimplemented {
			t.Fatalf("a status without a message: %v", err)
		}
	}
	if len(trailer["said"]) != 1 || len(header["said"]) != 0 {
		t.Errorf("trailers only: header %v, trailer %v", header, trailer)
	}
	for name, ctx := range map[string]context.Context{
		"no token":    ctx,
		"a bad token": metadata.AppendToOutgoingContext(ctx, "x-auth-token", "junk", "x-identity-status", "Confirmed"),
	} {
		if _, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}); grpcstatus.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); grpcstatus.Code(err) != codes.Unauthenticated { // nothing was sent, and nothing will be
			t.Errorf("%s, a stream: %v", name, err)
		}
	}

	stream, err := client.FullDuplexCall(alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} { // each is answered before the next is sent
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: payload(text)}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || string(got.Payload.Body) != "Confirmed alice member "+text {
			t.Fatalf("%v %v", got, err)
		}
	}
	r.expect(r.admin+"/metrics", "", 200, "authproxy_streams_watched 1")
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); grpcstatus.Code(err) != codes.DataLoss || stream.Trailer()["said"][0] != "late" {
		t.Errorf("the end of a stream: %v, trailer %v", err, stream.Trailer())
	}
}
