package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/server/tokens"
)

var (
	errNoRoute  = errors.New("no such route")
	errTooLarge = errors.New("request body too large")
	// errNoCertificatesV2 is how v2.0 says that a certificate file is not there.
	errNoCertificatesV2 = errors.New("certificates are not available")
)

// fail answers a call that went wrong. It is the only place that turns errors into status codes. The client gets a fixed
// sentence, the log gets the cause.
func (c *call) fail(err error) {
	status, message := http.StatusInternalServerError, "An unexpected error prevented the server from fulfilling your request."
	title, level := "", slog.LevelDebug
	extra := map[string]any{}
	switch e := cause(err).(type) {
	case fault.NotFound:
		status, message = http.StatusNotFound, e.Error()
		if e.Kind == "token" { // what the client sent may be a token that is good elsewhere, or for who may use expired ones
			err = errors.New("no such token")
		}
	case fault.Conflict:
		status, message = http.StatusConflict, e.Error()
	case fault.Forbidden:
		status, message = http.StatusForbidden, e.Error()
		if errors.Is(err, policy.ErrRemote) {
			level = slog.LevelWarn
		}
	case fault.Invalid:
		status, message = http.StatusBadRequest, e.Error()
	case fault.NotImplemented:
		status, message = http.StatusNotImplemented, e.Error()
	case fault.Gone:
		status, message = http.StatusGone, e.Error()
	case fault.Unauthorized:
		status, message, level = http.StatusUnauthorized, "The request you have made requires authentication.", slog.LevelInfo
		c.w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", c.publicURI()))
		if e.Negotiate && c.s.Negotiate {
			c.w.Header().Add("WWW-Authenticate", "Negotiate")
		}
	case fault.Challenge:
		status, message = http.StatusUnauthorized, e.Error()
		extra["identity"] = map[string]any{"methods": []string{e.Method}, e.Method: e.Values}
	case fault.UnsupportedMethod:
		status, message = http.StatusUnauthorized, e.Error()
		extra["identity"] = map[string]any{"methods": e.Offered}
	default:
		switch {
		case errors.Is(err, errNoRoute):
			status, message = http.StatusNotFound, "The resource could not be found."
		case errors.Is(err, errNoCertificatesV2):
			status, title, message, level = http.StatusForbidden, "Cannot retrieve certificates",
				"The certificates are not available on this server.", slog.LevelWarn
		case errors.Is(err, errTooLarge):
			c.tooLarge()
			return
		case errors.Is(err, fault.ErrBusy):
			status, message, level = http.StatusServiceUnavailable, "The server is busy, try again later.", slog.LevelWarn
			c.w.Header().Set("Retry-After", "1")
		case errors.Is(err, fault.ErrUnreachable):
			status, message, level = http.StatusServiceUnavailable, "The server cannot reach its database now, try again later.", slog.LevelError
			c.w.Header().Set("Retry-After", "1")
		case errors.Is(err, fault.ErrFull):
			status, message, level = http.StatusInsufficientStorage, "The server has no space left to store anything.", slog.LevelError
		case errors.Is(err, context.Canceled): // the client has gone
			status, message = http.StatusServiceUnavailable, "The request was given up."
		case errors.Is(err, tokens.ErrNoCertificate) && c.s.certificatesOptional():
			status, message = http.StatusNotFound, "This service signs no tokens and has no certificates."
		default:
			level = slog.LevelError
		}
	}
	c.s.log().Log(c.ctx(), level, "request failed", slog.String("request_id", c.id), slog.Int("status", status), slog.Any("cause", err))
	if title == "" {
		title = http.StatusText(status)
	}
	extra["code"], extra["title"], extra["message"] = status, title, message
	c.reply(status, map[string]any{"error": extra})
}

// cause is the fault within err, or nil.
func cause(err error) error {
	for _, find := range []func(error) (error, bool){
		as[fault.NotFound], as[fault.Conflict], as[fault.Forbidden], as[fault.Invalid], as[fault.NotImplemented],
		as[fault.Gone], as[fault.Unauthorized], as[fault.UnsupportedMethod], as[fault.Challenge],
	} {
		if e, ok := find(err); ok {
			return e
		}
	}
	return nil
}

func as[T error](err error) (error, bool) {
	e, ok := errors.AsType[T](err)
	return e, ok
}

// tooLarge answers in text, as the filter before Keystone does.
func (c *call) tooLarge() {
	c.w.Header().Del("Vary")
	c.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	c.w.Header().Set("Connection", "close") // the rest of the body is not read
	c.w.WriteHeader(http.StatusRequestEntityTooLarge)
	fmt.Fprintf(c.w, "413 Request Entity Too Large\n\nRequest is too large. Larger than max_request_body_size (%d).\n\n   ", c.s.maxBody())
}

func (c *call) publicURI() string {
	if c.l.PublicEndpoint != "" {
		return c.l.PublicEndpoint
	}
	return c.base() + "/"
}
