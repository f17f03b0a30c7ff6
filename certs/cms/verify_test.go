package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// exponent3 makes a key whose public exponent is 3, with which an encoded message can be forged wherever the rest of it is not
// looked at.
func exponent3(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	three := big.NewInt(3)
	prime := func() *big.Int {
		for {
			p, err := rand.Prime(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			if new(big.Int).Mod(p, three).Int64() == 2 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 3}, D: new(big.Int).ModInverse(three, phi), Primes: []*big.Int{p, q}}
	key.Precompute()
	return key
}

// encoded is what a signature opens to, made by hand: with padding of the given bytes, and trailer after the digest.
func encoded(k int, pad, info, sum, trailer []byte) []byte {
	em := append([]byte{0, 1}, pad...)
	em = append(em, 0)
	em = append(append(append(em, info...), sum...), trailer...)
	return append(em, make([]byte, max(0, k-len(em)))...)
}

// TestVerifierAgainstCryptoRSA: of signatures right, wrong in each way that has ever been a hole, and of any bytes at all, what
// crypto/rsa accepts is accepted, and nothing else.
func TestVerifierAgainstCryptoRSA(t *testing.T) {
	t.Parallel()
	stock := key(t, "rsa").(*rsa.PrivateKey)
	long, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for name, private := range map[string]*rsa.PrivateKey{"e=65537": stock, "e=3": exponent3(t), "3072 bits": long} {
		pub := &private.PublicKey
		v := NewVerifier(pub)
		if v.modulus == nil {
			t.Fatalf("%s: no modulus is kept", name)
		}
		k := pub.Size()
		// open makes the signature that opens to em.
		open := func(em []byte) []byte {
			return new(big.Int).Exp(new(big.Int).SetBytes(em), private.D, private.N).FillBytes(make([]byte, k))
		}
		for hash, info := range digestInfo {
			sum := make([]byte, hash.Size())
			rand.Read(sum)
			good, err := rsa.SignPKCS1v15(nil, private, hash, sum)
			if err != nil {
				t.Fatal(err)
			}
			full := bytes.Repeat([]byte{0xff}, k-3-len(info)-len(sum))
			noNull := bytes.Replace(info, []byte{0x05, 0x00}, nil, 1)
			cases := map[string][]byte{
				"good":              good,
				"empty":             nil,
				"short":             good[1:],
				"a zero in front":   append([]byte{0}, good...),
				"zero":              make([]byte, k),
				"one":               append(make([]byte, k-1), 1),
				"the modulus":       private.N.FillBytes(make([]byte, k)),
				"all ones":          bytes.Repeat([]byte{0xff}, k),
				"the negative":      new(big.Int).Sub(private.N, new(big.Int).SetBytes(good)).FillBytes(make([]byte, k)),
				"by hand":           open(encoded(k, full, info, sum, nil)),
				"short padding":     open(encoded(k, full[:8], info, sum, nil)),
				"other padding":     open(encoded(k, append([]byte{0xfe}, full[1:]...), info, sum, nil)),
				"no NULL":           open(encoded(k, append([]byte{0xff, 0xff}, full...), noNull, sum, nil)),
				"a byte after":      open(encoded(k, full[1:], info, sum, []byte{0})),
				"no digest info":    open(encoded(k, append(bytes.Clone(full), bytes.Repeat([]byte{0xff}, len(info))...), nil, sum, nil)),
				"block type 2":      open(append([]byte{0, 2}, encoded(k, full, info, sum, nil)[2:]...)),
				"non-minimal info":  open(encoded(k, full[1:], append([]byte{0x30, 0x81}, info[1:]...), sum, nil)),
				"cube root, e of 3": cubeRoot(encoded(k, full[:8], info, sum, nil), k),
			}
			if sum2 := new(big.Int).Add(new(big.Int).SetBytes(good), private.N); sum2.BitLen() <= 8*k {
				cases["plus the modulus"] = sum2.FillBytes(make([]byte, k))
			}
			for range 50 {
				b := bytes.Clone(good)
				b[rng.IntN(k)] ^= 1 << rng.IntN(8)
				cases[string(b)] = b
			}
			for what, signature := range cases {
				want := rsa.VerifyPKCS1v15(pub, hash, sum, signature)
				if got := v.checkRSA(pub, hash, sum, signature); (got == nil) != (want == nil) {
					t.Errorf("%s %v, %.20q: %v, crypto/rsa says %v", name, hash, what, got, want)
				}
				if accepted := want == nil; accepted != (what == "good" || what == "by hand") {
					t.Errorf("%s %v, %.20q: accepted %v", name, hash, what, accepted)
				}
			}
			sum[0] ^= 1
			if v.checkRSA(pub, hash, sum, good) == nil {
				t.Errorf("%s %v: accepted for another digest", name, hash)
			}
		}
	}
}

// cubeRoot is the least number whose cube begins like em.
func cubeRoot(em []byte, k int) []byte {
	n := new(big.Int).SetBytes(em)
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(8*k/3+8))
	for low.Cmp(high) < 0 {
		middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if new(big.Int).Exp(middle, big.NewInt(3), nil).Cmp(n) < 0 {
			low.Add(middle, big.NewInt(1))
		} else {
			high = middle
		}
	}
	return low.FillBytes(make([]byte, k))
}

// TestVerifierLeavesToCryptoRSA: keys that crypto/rsa refuses, or might, are put to it.
func TestVerifierLeavesToCryptoRSA(t *testing.T) {
	t.Parallel()
	n := key(t, "rsa").(*rsa.PrivateKey).N
	even := new(big.Int).Sub(n, big.NewInt(1))
	for name, pub := range map[string]*rsa.PublicKey{
		"no modulus": {E: 65537}, "zero": {N: new(big.Int), E: 65537}, "negative": {N: new(big.Int).Neg(n), E: 65537}, "even": {N: even, E: 65537},
		"short": {N: new(big.Int).Rsh(n, 1024), E: 65537}, "e of 1": {N: n, E: 1}, "even e": {N: n, E: 65536}, "negative e": {N: n, E: -3},
		"e of 0": {N: n},
	} {
		if NewVerifier(pub).modulus != nil {
			t.Errorf("%s: checked here", name)
		}
		sd := SignedData{Hash: crypto.SHA256, Algorithm: RSA, Content: []byte("x"), Signature: append(make([]byte, 255), 1)}
		if pub.N != nil && pub.N.Sign() > 0 {
			if err := NewVerifier(pub).Check(&sd); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// BenchmarkVerify sets a check with a key at hand beside that of crypto/rsa.
func BenchmarkVerify(b *testing.B) {
	private := key(b, "rsa").(*rsa.PrivateKey)
	sum := make([]byte, 32)
	signature, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum)
	if err != nil {
		b.Fatal(err)
	}
	v := NewVerifier(&private.PublicKey)
	for name, check := range map[string]func(*rsa.PublicKey, crypto.Hash, []byte, []byte) error{"kept": v.checkRSA, "crypto-rsa": rsa.VerifyPKCS1v15} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := check(&private.PublicKey, crypto.SHA256, sum, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
