package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"authproxy/keystone/server/federation/mapping"
)

func mappingEngineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "rules", Required: true, Usage: "`FILE` of the rules as JSON: a list, or an object with the member rules"},
		&cli.StringFlag{Name: "input", Required: true, Usage: "`FILE` of what is asserted of a user: lines of NAME: VALUE; several values are joined by ;"},
		&cli.StringFlag{Name: "prefix", Usage: "take the attributes alone whose names begin with `PREFIX`, as [federation] assertion_prefix does"},
		&cli.BoolFlag{Name: "engine-debug", Usage: "say on standard error why each rule applies or does not"},
	}
}

// mappingEngine says whom a mapping makes of what an identity provider says.
func (t tool) mappingEngine(c *cli.Context) error {
	text, err := readSmall(c.String("rules"))
	if err != nil {
		return err
	}
	rules, err := parseRules(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.String("rules"), err)
	}
	if text, err = readSmall(c.String("input")); err != nil {
		return err
	}
	assertion, err := parseInput(string(text), c.String("prefix"))
	if err != nil {
		return fmt.Errorf("%s: %w", c.String("input"), err)
	}
	trace := func(string, ...any) {}
	if c.Bool("engine-debug") {
		trace = func(format string, args ...any) { fmt.Fprintln(t.stderr, printable(fmt.Sprintf(format, args...))) }
	}
	mapped, err := rules.Apply(assertion, trace)
	if err != nil {
		return err
	}
	if mapped.Applied == 0 {
		fmt.Fprintln(t.stderr, "keystone-manage: no rule applies: nobody could log in")
	}
	e := json.NewEncoder(t.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(mapped)
}

func parseRules(text []byte) (*mapping.Rules, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, fmt.Errorf("is no JSON: %w", err)
	}
	if o, ok := value.(map[string]any); ok {
		value = o["rules"]
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("is neither a list of rules nor an object with one")
	}
	return mapping.Parse(list)
}

func parseInput(text, prefix string) (mapping.Assertion, error) {
	attributes := map[string]string{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		switch _, twice := attributes[name]; {
		case !ok || name == "":
			return nil, fmt.Errorf("line %d is not NAME: VALUE", number)
		case twice:
			return nil, fmt.Errorf("line %d: %q is there twice; join values by ;", number, name)
		}
		if strings.HasPrefix(mapping.Fold(name), mapping.Fold(prefix)) {
			attributes[name] = strings.TrimSpace(value)
		}
	}
	return mapping.NewAssertion(attributes)
}

// readSmall reads a file that an operator wrote.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBody {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, maxBody)
	}
	return os.ReadFile(path)
}
