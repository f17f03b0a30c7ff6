package server

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/id"
)

// An audit event says who did what to what, and how it ended, in the form of CADF 1.0 (DSP0262), as Keystone's notifications of the
// format cadf do. Every request that is to change something makes one, and every login; those that are refused too.
type auditEvent struct {
	TypeURI   string        `json:"typeURI"`
	ID        string        `json:"id"`
	EventType string        `json:"eventType"`
	EventTime string        `json:"eventTime"`
	Action    string        `json:"action"`
	Outcome   string        `json:"outcome"`
	Reason    auditReason   `json:"reason"`
	Initiator auditResource `json:"initiator"`
	Target    auditResource `json:"target"`
	Observer  auditResource `json:"observer"`
	RequestID string        `json:"requestId"`
}

type auditReason struct {
	Type string `json:"reasonType"`
	Code string `json:"reasonCode"`
}

type auditResource struct {
	TypeURI     string            `json:"typeURI"`
	ID          string            `json:"id"`
	Name        string            `json:"name,omitempty"`
	ProjectID   string            `json:"project_id,omitempty"`
	DomainID    string            `json:"domain_id,omitempty"`
	Host        *auditHost        `json:"host,omitempty"`
	Attachments []auditAttachment `json:"attachments,omitempty"`
}

type auditHost struct {
	Address string `json:"address"`
	Agent   string `json:"agent,omitempty"`
}

type auditAttachment struct {
	ContentType string `json:"contentType"`
	Name        string `json:"name"`
	Content     string `json:"content"`
}

const (
	auditTime    = "2006-01-02T15:04:05.000000+0000"
	auditAccount = "service/security/account/user"
	authenticate = "authenticate"
	longestText  = 255
)

// auditTypes are the kinds of objects as CADF names them, where that is not data/security/ and the kind.
var auditTypes = map[string]string{"user": "data/security/account/user", "token": "service/security/account/token"}

// audit logs the event of a call that is over.
func (c *call) audit(status int) {
	action, kind := c.action()
	if !c.s.Audit || action == "" {
		return
	}
	event := auditEvent{
		TypeURI: "http://schemas.dmtf.org/cloud/audit/1.0/event", ID: id.New(), EventType: "activity",
		EventTime: time.Now().UTC().Format(auditTime), Action: action, Outcome: "success",
		Reason:    auditReason{"HTTP", strconv.Itoa(status)},
		Initiator: auditResource{TypeURI: auditAccount, ID: c.caller.UserID(), Host: &auditHost{c.address(), printable(c.r.UserAgent())}},
		Target:    auditResource{TypeURI: auditTypes[kind], ID: c.object},
		Observer:  auditResource{TypeURI: "service/security", ID: "keystone"},
		RequestID: c.id,
	}
	if status >= 400 {
		event.Outcome = "failure"
	}
	i, t := &event.Initiator, &event.Target
	if action == authenticate {
		t.TypeURI, t.ID = auditAccount, c.loginUser
	}
	switch {
	case c.caller.Admin:
		i.ID = "admin_token"
	case c.caller.Token != nil:
		i.Name = c.caller.Token.User.Name
		if c.caller.Token.Project != nil {
			i.ProjectID = c.caller.Token.Project.ID
		}
		if c.caller.Token.Domain != nil {
			i.DomainID = c.caller.Token.Domain.ID
		}
	case action == authenticate: // else a service asks for somebody
		i.ID = c.loginUser
	}
	if t.TypeURI == "" {
		t.TypeURI = "data/security/" + kind
	}
	for name, value := range c.pathTarget() {
		if name != "token_id" { // as good as a password
			t.Attachments = append(t.Attachments, auditAttachment{"text/plain", name, printable(value)})
		}
	}
	slices.SortFunc(t.Attachments, func(a, b auditAttachment) int { return strings.Compare(a.Name, b.Name) })
	if t.ID == "" {
		t.ID = printable(c.lastInPath())
	}
	for _, id := range []*string{&i.ID, &t.ID} {
		if *id == "" {
			*id = "unknown"
		}
	}
	text, err := json.Marshal(event)
	if err != nil { // it holds nothing but text
		panic(err)
	}
	c.s.log().Info("audit", slog.Any("event", json.RawMessage(text)))
}

// action is what a call is to do, and to which kind of object: ("created.user", "user"); "" where it changes nothing. What one
// object has of another is named by both ("group_user"), but for roles that somebody gets on something: role assignments.
func (c *call) action() (action, kind string) {
	pieces := strings.Split(strings.Trim(c.route, "/"), "/")
	var kinds []string
	for _, piece := range pieces[1:] {
		if !strings.HasPrefix(piece, "{") && !strings.HasPrefix(piece, "OS-") {
			kinds = append(kinds, singular(piece))
		}
	}
	kind = strings.Join(kinds, "_")
	verbs := map[string]string{http.MethodPost: "created", http.MethodPut: "created", http.MethodPatch: "updated", http.MethodDelete: "deleted"}
	verb, last := verbs[c.r.Method], pieces[len(pieces)-1]
	switch {
	case strings.HasSuffix(c.route, "/protocols/{protocol}/auth"):
		return authenticate, "token"
	case verb == "" || len(pieces) < 2:
		return "", ""
	case last == "ec2tokens" || last == "s3tokens":
		return authenticate, "token"
	case c.route == "/v3/auth/tokens" || strings.HasPrefix(c.route, "/v2.0/tokens"):
		if verb == "created" {
			return authenticate, "token"
		}
		return "revoked.token", "token"
	case slices.Contains([]string{"password", "tenant", "enabled"}, last): // of a user
		return "updated.user", "user"
	case kind == "authorize":
		return "updated.request_token", "request_token"
	case kind == "tenant":
		kind = "project"
	case len(kinds) > 1 && slices.Contains(kinds, "role"):
		kind = "role_assignment"
	default: // what a user has is named without them: "credential", "access_token"
		kind = strings.TrimPrefix(kind, "user_")
	}
	// v2.0 changes by PUT, and by POST to what is there.
	if pieces[0] == "v2.0" && (kind == "project" || kind == "user") && strings.HasPrefix(last, "{") && verb == "created" {
		verb = "updated"
	}
	return verb + "." + kind, kind
}

// lastInPath is the last variable of the path, unless it is a token.
func (c *call) lastInPath() (value string) {
	for piece := range strings.SplitSeq(c.route, "/") {
		if name, ok := strings.CutPrefix(piece, "{"); ok && name != "token_id}" {
			value = c.param(strings.TrimSuffix(name, "}"))
		}
	}
	return value
}

// printable keeps what a client wrote short and on one line.
func printable(text string) string {
	text = text[:min(len(text), longestText)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}

// loginOutcome is how a login ended, as the figures have it.
func loginOutcome(err error) string {
	if e, ok := errors.AsType[fault.Unauthorized](err); ok {
		if e.Throttled {
			return "throttled"
		}
		return "refused"
	}
	switch {
	case err == nil:
		return "success"
	case fault.IsNotFound(err): // of the token that the login was by
		return "refused"
	case errors.Is(err, fault.ErrBusy):
		return "busy"
	}
	switch cause(err).(type) {
	case fault.Challenge:
		return "challenged"
	case fault.Invalid, fault.UnsupportedMethod, fault.NotImplemented, fault.Forbidden, fault.Conflict, fault.Gone:
		return "invalid"
	}
	return "failed"
}
