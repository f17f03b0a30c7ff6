package identity

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/keystone/server/fault"
)

var cheap = Params{Memory: 8, Time: 1, Threads: 1}

func TestHashAndVerify(t *testing.T) {
	h := NewHasher(cheap)
	for _, password := range []string{"x", "pässwörd", "with\x00nul", strings.Repeat("x", MaxPassword)} {
		first, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.Hash(t.Context(), password)
		if err != nil || first == second {
			t.Errorf("two hashes of one password are the same (%v): no salt", err)
		}
		if !strings.HasPrefix(first, "$argon2id$v=19$m=8,t=1,p=1$") || strings.Contains(first, password+"$") {
			t.Errorf("hash %q does not say how it was made", first)
		}
		for _, other := range []string{"", password + "x", password[:len(password)-1], strings.ToUpper(password) + "Y"} {
			if ok, err := h.Verify(t.Context(), first, other); ok || err != nil {
				t.Errorf("%.20q passes for %.20q, %v", other, password, err)
			}
		}
		// Costs are those of the string, so stronger defaults leave old hashes good.
		if ok, err := NewHasher(Params{Memory: 64, Time: 2, Threads: 2}).Verify(t.Context(), first, password); !ok || err != nil {
			t.Errorf("%.20q does not pass: %v", password, err)
		}
	}
}

// TestVector is one of the reference program's: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -e
func TestVector(t *testing.T) {
	const stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := NewHasher(cheap).Verify(t.Context(), stored, "password"); !ok || err != nil {
		t.Errorf("the password does not pass: %v", err)
	}
}

func TestDamagedHashes(t *testing.T) {
	const made = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
	h := NewHasher(Params{Memory: 64, Time: 2, Threads: 1})
	for _, stored := range []string{
		"", "x", "$6$salt$hash", "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", made, made + "AAAA", made + "!",
		"$argon2id$v=18$m=64,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=2,p=0$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		ok, err := h.Verify(t.Context(), stored, "password")
		if ok {
			t.Errorf("%q lets a password pass", stored)
		}
		if (err == nil) != (stored == "") {
			t.Errorf("%q: error %v", stored, err)
		}
		if err != nil && strings.Contains(err.Error(), "c29t") {
			t.Errorf("%q: the error repeats the hash: %v", stored, err)
		}
	}
}

// TestUnknownUserCostsTheSame counts the hashes that are made for an answer, and what each costs.
func TestUnknownUserCostsTheSame(t *testing.T) {
	h := NewHasher(cheap)
	stored, err := h.Hash(t.Context(), "password")
	if err != nil {
		t.Fatal(err)
	}
	var work []string
	h.check = func(stored, password string) (bool, error) {
		work = append(work, stored[:strings.LastIndexByte(stored[:len("$argon2id$v=19$m=8,t=1,p=1$")], '$')])
		return verify(stored, password)
	}
	for name, test := range map[string]struct {
		stored, password string
		right            bool
	}{
		"right":                  {stored, "password", true},
		"wrong":                  {stored, "wrong", false},
		"unknown user":           {"", "wrong", false},
		"unknown, no password":   {"", "", false},
		"too long":               {stored, strings.Repeat("x", MaxPassword+1), false},
		"unknown user, too long": {"", strings.Repeat("x", MaxPassword+1), false},
	} {
		work = nil
		ok, err := h.Verify(t.Context(), test.stored, test.password)
		if ok != test.right || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if len(work) != 1 || work[0] != "$argon2id$v=19$m=8,t=1,p=1" {
			t.Errorf("%s: hashes made: %q, want one of the same cost as for a wrong password", name, work)
		}
	}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(cheap)
		processors := runtime.GOMAXPROCS(0)
		if h.turns.most != processors || h.turns.few != max(1, processors/2) || h.turns.isBusy() {
			t.Errorf("%+v", &h.turns)
		}
		h.Others()
		if time.Sleep(othersCount - 1); !h.turns.isBusy() {
			t.Error("other work does not count for a second")
		}
		if time.Sleep(time.Nanosecond); h.turns.isBusy() {
			t.Error("other work counts for more than a second")
		}
		for range h.turns.most {
			if _, err := h.turns.take(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := h.Verify(t.Context(), "", "x"); !errors.Is(err, fault.ErrBusy) || time.Since(start) != maxWait {
			t.Errorf("got %v after %s, want fault.ErrBusy after %s", err, time.Since(start), maxWait)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		h.turns.next()
		if _, err := h.Hash(t.Context(), "x"); err != nil {
			t.Errorf("with a slot free: %v", err)
		}
	})
}
