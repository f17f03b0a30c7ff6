// Package events knows which tokens ended by what happened: a user was disabled, a password changed, a role taken away, a
// project or domain disabled, a trust deleted (revocation events, the extension OS-REVOKE of the Identity API v3).
//
// A Poller fetches the events again and again, apart from any request. Requests ask the current Set, which never waits, and the
// Poller how old it is. Events are not signed: they count for what the connection is worth that they came by, and all that they
// can do is to end tokens.
package events
