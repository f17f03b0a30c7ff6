package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"authproxy/validate"
)

// Bodies of the proxy's own answers. Clients get these fixed sentences; the cause is in the log. The 401 is auth_token's,
// byte for byte: clients parse it.
const (
	unauthorizedBody = `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`
	forbiddenBody    = `{"error": {"code": 403, "title": "Forbidden", "message": "None of your roles opens this service."}}`
	noRouteBody      = `{"error": {"code": 404, "title": "Not Found", "message": "There is no service at this address."}}`
	ambiguousBody    = "The path of the request can be read in more ways than one.\n"
	unavailableBody  = "The Keystone service is temporarily unavailable.\n"
	duplicateBody    = "The request has more than one X-Auth-Token, X-Service-Token or X-Storage-Token header.\n"
	tunnelBody       = "CONNECT is not supported.\n"
	badGatewayBody   = "The service behind this proxy did not answer.\n"
	badUpgradeBody   = "The Upgrade header is not one protocol name.\n"
	badBodyBody      = "The body of the request could not be read.\n"
)

const (
	plainText       = "text/plain; charset=utf-8"
	applicationJSON = "application/json"
)

// answer is a response that the proxy gives itself.
type answer struct {
	code        int
	outcome     outcome
	contentType string
	body        string
	// challenges are the values of WWW-Authenticate; retryAfter is "" for none.
	challenges []string
	retryAfter string
}

// answerFor chooses the status for a verdict; refused is false for a request that goes to the upstream. A token that is
// known to be bad is a 401 even where the other one cannot be judged.
func (h *Handler) answerFor(v verdict) (a answer, refused bool) {
	switch {
	case v.unfit != nil && validate.ReasonOf(v.unfit) == BadMethod:
		return answer{code: http.StatusNotImplemented, outcome: badRequest, contentType: plainText, body: tunnelBody}, true
	case v.unfit != nil && validate.ReasonOf(v.unfit) == AmbiguousPath:
		return answer{code: http.StatusBadRequest, outcome: badRequest, contentType: plainText, body: ambiguousBody}, true
	case v.unfit != nil:
		return answer{code: http.StatusBadRequest, outcome: badRequest, contentType: plainText, body: duplicateBody}, true
	case v.forbidden != nil && v.userErr == nil && (h.DelayAuthDecision || v.serviceErr == nil):
		return answer{code: http.StatusForbidden, outcome: forbidden, contentType: applicationJSON, body: forbiddenBody}, true
	case h.DelayAuthDecision || v.userErr == nil && v.serviceErr == nil:
		return answer{}, false
	case errors.Is(v.userErr, validate.ErrInvalid) || errors.Is(v.serviceErr, validate.ErrInvalid):
		return answer{code: http.StatusUnauthorized, outcome: refusedToken, contentType: applicationJSON,
			body: unauthorizedBody, challenges: h.challenges(v)}, true
	default:
		return answer{code: http.StatusServiceUnavailable, outcome: undecided, contentType: plainText,
			body: unavailableBody, retryAfter: h.retryAfter}, true
	}
}

func (a answer) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", a.contentType)
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	for _, challenge := range a.challenges {
		header.Add("WWW-Authenticate", challenge)
	}
	if a.retryAfter != "" {
		header.Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.code)
	_, _ = w.Write([]byte(a.body)) // net/http leaves the body out for HEAD; a client that is gone needs no answer
}

// challenge is the WWW-Authenticate value of the Keystone scheme.
func challenge(uri string) string {
	if uri == "" {
		return "Keystone"
	}
	return `Keystone uri="` + uri + `"`
}

// challenges are the values of WWW-Authenticate for a 401.
func (h *Handler) challenges(v verdict) []string {
	if h.Negotiate && v.wantsKerberos() {
		return []string{h.challenge, "Negotiate"}
	}
	return []string{h.challenge}
}

func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(d/time.Second)))
}

// logVerdict counts and logs every token that does not hold. A request without a token is nothing to write home about.
func (h *Handler) logVerdict(r *http.Request, v verdict) {
	for _, e := range []struct {
		which, text string
		err         error
	}{{"user", v.userText, v.userErr}, {"service", v.serviceText, v.serviceErr}, {"user", v.userText, v.forbidden}, {"", "", v.unfit}} {
		if e.err == nil {
			continue
		}
		reason := validate.ReasonOf(e.err)
		h.Metrics.refusal(reason)
		level := slog.LevelInfo
		switch {
		case reason == validate.Missing || r.Context().Err() != nil:
			level = slog.LevelDebug
		case errors.Is(e.err, validate.ErrUnavailable):
			level = slog.LevelWarn
		}
		if !h.Log.Enabled(r.Context(), level) {
			continue
		}
		attrs := []slog.Attr{
			slog.String("reason", string(reason)), slog.String("token", e.which), slog.String("digest", digest(e.text)),
			slog.Bool("passed_on", h.DelayAuthDecision && v.unfit == nil && v.forbidden == nil),
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("peer", r.RemoteAddr),
		}
		if c := cause(e.err); c != nil {
			attrs = append(attrs, slog.Any("cause", c))
		}
		if v.peerErr != nil && reason == validate.Bind {
			attrs = append(attrs, slog.Any("not_identified", v.peerErr))
		}
		h.Log.LogAttrs(context.WithoutCancel(r.Context()), level, "token not accepted", attrs...)
	}
}

// cause is what lies behind a refusal, without the reason, which is logged on its own.
func cause(err error) error {
	if e := (*validate.Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	return err
}

// digest names a token in the log: enough of its SHA-256 to follow it, nothing of the token.
func digest(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
