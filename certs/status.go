package certs

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Status is what a Store knows about itself, for operators.
type Status struct {
	// Generation is that of the current bundle, 0 without one.
	Generation uint64         `json:"generation"`
	Signers    []SignerStatus `json:"signers"`
	// NoPKI says that the last clear answer of the Identity service was that it has no PKI.
	NoPKI       bool      `json:"no_pki"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	// LastError is why the last attempt failed, "" if it did not.
	LastError string `json:"last_error,omitempty"`
}

// SignerStatus is one signing certificate of a Status.
type SignerStatus struct {
	Subject      string `json:"subject"`
	Issuer       string `json:"issuer"`
	SerialNumber string `json:"serial_number"` // hexadecimal, with 0x
	Fingerprint  string `json:"fingerprint"`   // SHA-256, hexadecimal
	// NotBefore and NotAfter are those of the certificate cut to those of its chain.
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// Usable says that it is valid at this time.
	Usable bool `json:"usable"`
}

// Status returns the present state.
func (s *Store) Status() Status {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	b, now := s.Current(), s.now()
	st := Status{Generation: b.Generation(), Signers: []SignerStatus{}, NoPKI: last.noPKI, LastAttempt: last.attempt, LastSuccess: last.success}
	if last.answer != nil {
		st.LastError = last.answer.Error()
	}
	for _, signer := range b.Signers() {
		c := signer.Certificate
		st.Signers = append(st.Signers, SignerStatus{
			Subject: c.Subject.String(), Issuer: c.Issuer.String(),
			SerialNumber: fmt.Sprintf("%#x", c.SerialNumber), Fingerprint: hex.EncodeToString(signer.fingerprint[:]),
			NotBefore: signer.NotBefore(), NotAfter: signer.NotAfter(), Usable: signer.ValidAt(now),
		})
	}
	return st
}
