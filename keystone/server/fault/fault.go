// Package fault names what can go wrong with a request to the Identity API.
//
// The subsystems return these errors (wrapped where that helps the log), keystone/server turns them into a status code and a
// body in one place. Their texts are what the client reads, so they never hold a secret nor a cause.
package fault

import (
	"errors"
	"fmt"
)

// NotFound says that there is no object of this kind with this id (404).
type NotFound struct {
	Kind string // "user", "project", "token", …; "" where the id says it all
	ID   string
}

func (e NotFound) Error() string {
	if e.Kind == "" {
		return "Could not find: " + e.ID
	}
	return fmt.Sprintf("Could not find %s: %s", e.Kind, e.ID)
}

// Conflict says that an object cannot be stored beside those that are there (409).
type Conflict struct {
	Kind   string
	Detail string // "Duplicate Entry" when empty
}

func (e Conflict) Error() string {
	detail := e.Detail
	if detail == "" {
		detail = "Duplicate Entry"
	}
	return fmt.Sprintf("Conflict occurred attempting to store %s - %s", e.Kind, detail)
}

// Forbidden says that the caller may not do this, or that nobody may (403).
type Forbidden struct {
	Action string // a policy rule such as "identity:list_users", or what was tried, in words
	// Message is the whole sentence instead, for the few answers that do not speak of an action.
	Message string
}

func (e Forbidden) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return "You are not authorized to perform the requested action: " + e.Action
}

// Invalid says what is wrong with the request itself (400).
type Invalid struct{ Message string }

func (e Invalid) Error() string { return e.Message }

// Missing is the Invalid for an attribute that target lacks.
func Missing(attribute, target string) Invalid {
	return Invalid{fmt.Sprintf("Expecting to find %s in %s - the server could not comply with the request since it is either"+
		" malformed or otherwise incorrect. The client is assumed to be in error.", attribute, target)}
}

// Required is the Invalid for an object that lacks a property.
func Required(property string) Invalid {
	return Invalid{fmt.Sprintf("'%s' is a required property", property)}
}

// BadField is the Invalid for a property whose value is of the wrong type, length or choice.
func BadField(name string, value any) Invalid {
	return Invalid{fmt.Sprintf("Invalid input for field '%s'. The value is '%s'.", name, brief(value))}
}

// TooLarge is the Invalid for a part of a login that is longer than any can be.
func TooLarge(attribute string, most int) Invalid {
	return Invalid{fmt.Sprintf("Request attribute %s must be less than or equal to %d. The server could not comply with the request"+
		" because the attribute size is invalid (too large). The client is assumed to be in error.", attribute, most)}
}

// BadDate is the Invalid for a time in a query that cannot be read as one.
func BadDate(value string) Invalid { return Invalid{"invalid date format " + brief(value)} }

// brief keeps a value that a client sent from filling the answer to it.
func brief(value any) string {
	const most = 256
	s := fmt.Sprint(value)
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// Unauthorized says that the caller did not prove who they are (401). Why is for the log alone: a client that could tell an
// unknown user from a wrong password could list the users.
type Unauthorized struct {
	Why string
	// UserID is whom it is about, if that is known; for the log alone as well.
	UserID string
	// Throttled says that the request came too soon after others that failed.
	Throttled bool
	// Negotiate says that it could help to authenticate by Kerberos.
	Negotiate bool
}

func (e Unauthorized) Error() string { return "unauthorized: " + e.Why }

// UnsupportedMethod says that an authentication method is not on offer (401), and which are.
type UnsupportedMethod struct{ Offered []string }

func (UnsupportedMethod) Error() string {
	return "Attempted to authenticate with an unsupported method."
}

// Challenge says that a method needs more from the client (401), and what the client gets to go on with.
type Challenge struct {
	Method string
	Values map[string]any
}

func (Challenge) Error() string { return "Additional authentications steps required." }

// NotImplemented says that the API has this and the server does not (501).
type NotImplemented struct{ What string }

func (e NotImplemented) Error() string { return e.What }

// Gone says that the server is set up not to offer this (410).
type Gone struct{ What string }

func (e Gone) Error() string { return e.What }

// ErrBusy says that the server cannot take the request now and that the client may try again (503).
var ErrBusy = errors.New("the server is busy, try again later")

// ErrUnreachable says that the database does not answer, which passes by itself or by what the operator does (503).
var ErrUnreachable = errors.New("the database cannot be reached")

// ErrFull says that there is no room to store anything (507).
var ErrFull = errors.New("there is no space left to store anything")

// IsNotFound reports whether err says that an object does not exist.
func IsNotFound(err error) bool {
	_, ok := errors.AsType[NotFound](err)
	return ok
}
