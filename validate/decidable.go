package validate

import (
	"sync"

	"authproxy/certs/cms"
	"authproxy/keystone/token"
	"authproxy/revocation"
)

// stock is what a signed token is as PKIZ text of a stock Keystone, made when a list first asks for it.
type stock struct {
	once  sync.Once
	ids   []string
	exact bool // the text presented is that very text
}

// decidable says whether a list in which the token was not found would show it if it were revoked. An entry without audit ids
// names one text by its hash, and the same message can stand in other texts.
//
// From PKIZ text the PKI text follows, and its ids have been looked up. The other way round a compressor has choices: what the
// stock zlib makes is known, and looked up here, but a PKIZ text that is not of its making may have been issued in any other.
// A token in a form that this cloud is known not to issue was turned into it by somebody, and is not decided here at all.
func (v *Validator) decidable(verified *Verified, list *revocation.Snapshot) (decidable, revoked bool) {
	if !list.HasEntriesWithoutAuditID() {
		return true, false
	}
	s := &verified.stock
	s.once.Do(func() { s.exact, s.ids = v.stockIDs(verified) })
	for _, id := range s.ids {
		if list.ContainsID(id) {
			return true, true
		}
	}
	issued := token.Unknown
	if v.o.Provider != nil {
		issued = v.o.Provider()
	}
	if issued != token.Unknown && issued != verified.Form {
		return false, false
	}
	return verified.Form == token.PKI || s.exact, false
}

// stockIDs gives the ids of a signed token as PKIZ text of a stock Keystone, and whether the text presented is that one.
func (v *Validator) stockIDs(verified *Verified) (exact bool, ids []string) {
	der, err := token.Decode(verified.text, v.o.Limits)
	if err != nil {
		return false, nil // cannot be: it was verified
	}
	message, err := cms.Parse(der)
	if err != nil {
		return false, nil
	}
	texts := []string{token.StockPKIZ(der)}
	if other, ok := message.OtherSpelling(verified.signer.Certificate.PublicKey); ok {
		texts = append(texts, token.StockPKIZ(other.Append(nil)))
	}
	for _, text := range texts {
		ids = append(ids, v.hashes(text)...)
	}
	return texts[0] == verified.text, ids
}
