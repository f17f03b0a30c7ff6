package sharedcache

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"slices"
	"time"
)

// The formats of Python's auth_token, byte for byte, so that it can read what is written here and the other way round.

var pythonBase64 = base64.StdEncoding.Strict()

// name is how the strategy goes into the keys: always in upper case. auth_token puts it there as it was configured, and takes
// any other spelling of ENCRYPT for MAC.
func (s Strategy) name() string {
	if s == Encrypt {
		return "ENCRYPT"
	}
	return "MAC"
}

// python keeps bodies as auth_token does with a memcache_security_strategy. From HMAC-SHA-384 under the secret, of token text
// and strategy without anything between them, come 16 bytes each of name, MAC key and encryption key; so a value made for
// another token, or by the other strategy, does not verify.
type python struct {
	secret   []byte
	strategy Strategy
}

func (p python) entry(text string) (entry, error) {
	mac := hmac.New(sha512.New384, p.secret)
	mac.Write([]byte(text + p.strategy.name()))
	keys := mac.Sum(nil)
	e := &pythonEntry{text: text, name: keys[:16], mac: keys[16:32]}
	if p.strategy == Encrypt {
		block, err := aes.NewCipher(keys[32:])
		if err != nil {
			return nil, err
		}
		e.block = block
	}
	return e, nil
}

type pythonEntry struct {
	text      string
	name, mac []byte
	block     cipher.Block // nil: MAC only
}

// key is what Python 3 makes of bytes in a format string; the quotes and the b are part of the name.
func (e *pythonEntry) key() string {
	return "tokens/b'" + pythonBase64.EncodeToString(e.name) + "'"
}

func (e *pythonEntry) seal(body []byte, since time.Time) ([]byte, error) {
	body, err := annotate(body, e.text, since)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv) // never fails
	return e.protect(body, iv), nil
}

func (e *pythonEntry) open(value []byte) ([]byte, time.Time, error) {
	body, err := e.unprotect(value)
	if err != nil {
		return nil, time.Time{}, err
	}
	since, _, err := attribute(body, e.text) // that it is this token's, the key has shown
	return body, since, err
}

// protect is auth_token's protect_data: base64 of the MAC, then base64 of the data, which with ENCRYPT is
// iv ‖ AES-128-CBC with PKCS#7 padding.
func (e *pythonEntry) protect(data, iv []byte) []byte {
	if e.block != nil {
		pad := aes.BlockSize - len(data)%aes.BlockSize
		padded := append(slices.Clip(data), bytes.Repeat([]byte{byte(pad)}, pad)...)
		boxed := append(slices.Clip(iv), padded...)
		cipher.NewCBCEncrypter(e.block, iv).CryptBlocks(boxed[aes.BlockSize:], padded)
		data = boxed
	}
	payload := pythonBase64.AppendEncode(nil, data)
	return append(e.sign(payload), payload...)
}

func (e *pythonEntry) unprotect(value []byte) ([]byte, error) {
	const macSize = sha512.Size384 / 3 * 4
	if len(value) < macSize {
		return nil, errForeign
	}
	given, payload := value[:macSize], value[macSize:]
	if !hmac.Equal(given, e.sign(payload)) {
		return nil, errForeign
	}
	// From here on it is what a holder of the secret wrote.
	data, err := pythonBase64.AppendDecode(nil, payload)
	if err != nil {
		return nil, errUnusable
	}
	if e.block == nil {
		return data, nil
	}
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, errUnusable
	}
	iv, data := data[:aes.BlockSize], data[aes.BlockSize:]
	cipher.NewCBCDecrypter(e.block, iv).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.HasSuffix(data, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errUnusable
	}
	return data[:len(data)-pad], nil
}

func (e *pythonEntry) sign(payload []byte) []byte {
	mac := hmac.New(sha512.New384, e.mac)
	mac.Write(payload)
	return pythonBase64.AppendEncode(nil, mac.Sum(nil))
}

// plain keeps bodies as auth_token does without a strategy: bare JSON.
type plain struct{}

func (plain) entry(text string) (entry, error) { return plainEntry{text}, nil }

type plainEntry struct{ text string }

func (e plainEntry) key() string { return "tokens/" + digest(e.text) }

func (e plainEntry) seal(body []byte, since time.Time) ([]byte, error) {
	return annotate(body, e.text, since)
}

// open takes no body that does not tell whose it is: nothing else would notice a memcached that mixes up its answers.
func (e plainEntry) open(value []byte) ([]byte, time.Time, error) {
	since, bound, err := attribute(value, e.text)
	if err == nil && !bound {
		err = errForeign
	}
	return value, since, err
}
