package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// MaxPassword is the longest password in bytes; a longer one is refused, never cut.
const MaxPassword = 4096

// Params are the costs of one hash.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultParams is the least that OWASP's password storage cheat sheet asks of Argon2id.
var DefaultParams = Params{Memory: 19 * 1024, Time: 2, Threads: 1}

// Limits on the costs that a stored hash may ask for: a row that somebody tampered with must not eat the machine.
const (
	maxMemory = 1 << 20 // KiB
	maxTime   = 64
	maxOutput = 64
)

// Hasher turns passwords into strings that say how they were made, and checks passwords against them.
//
// It uses Argon2id: of the three KDFs in golang.org/x/crypto it costs an attacker with GPUs most, and unlike bcrypt it
// takes passwords of any length and bytes. The strings are those of the Argon2 reference program,
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash, so that stronger costs and other algorithms can stand beside them.
//
// Hashing is slow on purpose. All processors may do it at a time, but only half of them (one at least) within a second of other
// work, see Others: so a burst of log-ins delays other log-ins, and hardly the validation of tokens, and memory stays bounded. Turns
// are fair by address, see turns.
type Hasher struct {
	params Params
	turns  turns
	others atomic.Int64 // when there was other work, in Unix nanoseconds
	dummy  func() string
	// check is the work of a Verify; tests count it.
	check func(stored, password string) (bool, error)
}

// NewHasher returns a Hasher; the zero Params are DefaultParams.
func NewHasher(p Params) *Hasher {
	if p == (Params{}) {
		p = DefaultParams
	}
	h := &Hasher{params: p, check: verify, dummy: sync.OnceValue(func() string { return p.hash(rand.Text()) })}
	processors := runtime.GOMAXPROCS(0)
	h.turns = turns{most: processors, few: max(1, processors/2), isBusy: func() bool {
		return time.Since(time.Unix(0, h.others.Load())) < othersCount
	}}
	return h
}

// othersCount is for how long other work leaves processors to more of its kind.
const othersCount = time.Second

// Others notes that there is work other than hashing.
func (h *Hasher) Others() { h.others.Store(time.Now().UnixNano()) }

// Hash makes the string to store. It returns fault.ErrBusy where too many are waiting.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	release, err := h.turns.take(ctx, "")
	if err != nil {
		return "", err
	}
	defer release()
	return h.params.hash(password), nil
}

// Verify says whether the password is the one that stored was made of. For stored == "" it does the same work and says no,
// so that the answer for a user who does not exist takes as long as that for one who does.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (bool, error) {
	release, err := h.turns.take(ctx, "")
	if err != nil {
		return false, err
	}
	defer release()
	return h.verifyNow(stored, password)
}

// verifyNow is Verify for who has their turn.
func (h *Hasher) verifyNow(stored, password string) (bool, error) {
	exists := stored != ""
	if !exists {
		stored = h.dummy()
	}
	if len(password) > MaxPassword {
		password, exists = "", false
	}
	same, err := h.check(stored, password)
	return same && exists, err
}

// Waiting is how many wait for their turn and how many were sent away since too many did.
func (h *Hasher) Waiting() (now int, refused int64) { return h.turns.count() }

const outputLength, saltLength = 32, 16

func (p Params) hash(password string) string {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, outputLength)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Time, p.Threads,
		enc.EncodeToString(salt), enc.EncodeToString(sum))
}

func verify(stored, password string) (bool, error) {
	fields := strings.Split(stored, "$")
	if len(fields) != 6 || fields[1] != "argon2id" {
		return false, fmt.Errorf("stored password is not a hash that this program knows")
	}
	var version int
	var p Params
	_, errVersion := fmt.Sscanf(fields[2], "v=%d", &version)
	_, errParams := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Time, &p.Threads)
	salt, errSalt := base64.RawStdEncoding.DecodeString(fields[4])
	sum, errSum := base64.RawStdEncoding.DecodeString(fields[5])
	switch {
	case errVersion != nil, errParams != nil, errSalt != nil, errSum != nil, version != argon2.Version,
		p.Time < 1, p.Threads < 1, p.Time > maxTime, p.Memory > maxMemory, len(sum) < 16, len(sum) > maxOutput:
		return false, fmt.Errorf("stored password is a damaged argon2id hash")
	}
	got := argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1, nil
}
