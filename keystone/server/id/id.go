// Package id makes the identifiers that the Identity API hands out.
package id

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// New makes the id of an object: a random UUID in 32 hex digits.
func New() string {
	u := uuid()
	return hex.EncodeToString(u[:])
}

// Audit makes the audit id of a token: a random UUID in 22 characters of URL-safe base64.
func Audit() string {
	u := uuid()
	return base64.RawURLEncoding.EncodeToString(u[:])
}

// Request makes the id of a request: "req-" and a random UUID with its hyphens.
func Request() string {
	s := New()
	return "req-" + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// uuid is a version 4 UUID (RFC 9562 section 5.4).
func uuid() (u [16]byte) {
	rand.Read(u[:]) // never fails: crypto/rand ends the program instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}
