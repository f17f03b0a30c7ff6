package policy

import (
	"errors"
	"fmt"
	"strings"
)

// maxNesting bounds the parentheses and nots within each other in one rule.
const maxNesting = 50

// parseText reads a rule in the newer syntax.
func parseText(text string, remote Remote) (check, error) {
	if text == "" {
		return always(true), nil
	}
	p := parser{words: words(text), remote: remote}
	if len(p.words) == 0 {
		return nil, errors.New("holds nothing but blanks; write \"\" or @ to allow, ! to deny")
	}
	c, err := p.either()
	if err != nil {
		return nil, err
	}
	if p.next() != "" {
		return nil, fmt.Errorf("%q cannot stand where it does; and, or is missing before it", clip(p.next()))
	}
	return c, nil
}

// words splits a rule at blanks and takes parentheses off both ends of each piece; those inside, as in %(name)s, stay.
func words(text string) (list []string) {
	for _, piece := range strings.Fields(text) {
		inner := strings.TrimLeft(piece, "(")
		for range len(piece) - len(inner) {
			list = append(list, "(")
		}
		bare := strings.TrimRight(inner, ")")
		if bare != "" {
			list = append(list, bare)
		}
		for range len(inner) - len(bare) {
			list = append(list, ")")
		}
	}
	return list
}

// parser goes through the words of one rule.
type parser struct {
	words  []string
	depth  int
	remote Remote
}

// next is the word to come, "" at the end.
func (p *parser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

// accept passes over a word, whatever the case of its letters, if it is the next.
func (p *parser) accept(word string) bool {
	if strings.ToLower(p.next()) != word { // exactly as Python's lower() does for these words
		return false
	}
	p.words = p.words[1:]
	return true
}

// either reads checks joined by or.
func (p *parser) either() (check, error) {
	return p.joined("or", p.both, func(c []check) check { return anyOf(c) })
}

// both reads checks joined by and.
func (p *parser) both() (check, error) {
	return p.joined("and", p.single, func(c []check) check { return allOf(c) })
}

func (p *parser) joined(word string, read func() (check, error), combine func([]check) check) (check, error) {
	var list []check
	for {
		c, err := read()
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		if !p.accept(word) {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return combine(list), nil
}

// single reads one check, with not before it or parentheses around it.
func (p *parser) single() (check, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, fmt.Errorf("nests deeper than %d levels; split it into several rules", maxNesting)
	}
	defer func() { p.depth-- }()
	switch {
	case p.next() == "":
		return nil, errors.New("ends where a check has to follow")
	case p.accept("not"):
		c, err := p.single()
		return notCheck{c}, err
	case p.accept("("):
		c, err := p.either()
		if err == nil && !p.accept(")") {
			err = errors.New("a closing parenthesis is missing")
		}
		return c, err
	}
	word := p.next()
	switch strings.ToLower(word) {
	case ")", "and", "or":
		return nil, fmt.Errorf("%q stands where a check has to", word)
	}
	if last := word[len(word)-1]; len(word) > 1 && word[0] == last && (last == '\'' || last == '"') {
		return nil, fmt.Errorf("%s is a quoted text, not a check", clip(word))
	}
	p.words = p.words[1:]
	return parseCheck(word, p.remote)
}

// parseList reads a rule in the older syntax: the outer list is joined by or, the inner ones by and.
func parseList(outer []any, remote Remote) (check, error) {
	if len(outer) == 0 {
		return always(true), nil
	}
	var alternatives anyOf
	for _, item := range outer {
		inner, ok := item.([]any)
		if !ok {
			inner = []any{item}
		}
		var all allOf
		for _, one := range inner {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("an item of the list is neither a text nor a list of texts: %s", clip(fmt.Sprint(one)))
			}
			c, err := parseCheck(text, remote)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		switch len(all) {
		case 0: // an empty inner list is passed over, as OpenStack does
		case 1:
			alternatives = append(alternatives, all[0])
		default:
			alternatives = append(alternatives, all)
		}
	}
	switch len(alternatives) {
	case 0:
		return always(false), nil
	case 1:
		return alternatives[0], nil
	}
	return alternatives, nil
}

// parseCheck reads "@", "!" or KIND:MATCH.
func parseCheck(text string, remote Remote) (check, error) {
	switch text {
	case "@":
		return always(true), nil
	case "!":
		return always(false), nil
	}
	kind, match, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return nil, fmt.Errorf("%q is no check: write @, !, role:NAME, rule:NAME or ATTRIBUTE:TEXT", clip(text))
	case match == "":
		return nil, fmt.Errorf("%q has nothing after the colon", clip(text))
	}
	switch kind {
	case "rule":
		return &ruleCheck{name: match}, nil
	case "http", "https":
		return parseRemote(kind, match, remote)
	}
	right, err := parseTemplate(match)
	if err != nil {
		return nil, err
	}
	if kind == "role" {
		return roleCheck{right}, nil
	}
	left, err := parseOperand(kind)
	if err != nil {
		return nil, err
	}
	return matchCheck{left, right}, nil
}
