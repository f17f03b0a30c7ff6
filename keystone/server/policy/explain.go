package policy

import (
	"context"
	"fmt"
	"strings"
)

// Step is one check of an explanation.
type Step struct {
	// Depth is 0 for the action itself; the checks that a step is made of follow it, one deeper.
	Depth int
	Check string
	// Verdict is "yes", "no", or "unknown" for what could not be decided.
	Verdict string
	Why     string // "" where the checks that follow say it
}

// Explain decides as Check does, but looks at every check, also where one before has decided, and says what each came to.
func (r Rule) Explain(ctx context.Context, c Credentials, t Target) (allowed bool, steps []Step) {
	x := explanation{evaluation: evaluation{ctx: ctx, action: r.action, caller: c, target: t, remote: r.remote}}
	switch {
	case c.Admin:
		x.step(0, r.action, yes, "the admin token may do everything")
		return true, x.steps
	case r.rule == nil:
		x.step(0, r.action, no, "there is no rule of this name, and no default rule")
		return false, x.steps
	}
	at := x.step(0, r.action, no, "")
	if r.rule.name != r.action {
		x.steps[at].Why = fmt.Sprintf("there is no rule of this name; %q of %s decides: %s", r.rule.name, r.rule.file, r.rule.check)
	} else {
		x.steps[at].Why = fmt.Sprintf("%s: %s", r.rule.file, r.rule.check)
	}
	result := x.walk(r.rule.check, 1)
	x.steps[at].Verdict = result.String()
	return result == yes, x.steps
}

type explanation struct {
	evaluation
	steps []Step
}

// step adds a line and returns its place.
func (x *explanation) step(depth int, text string, v verdict, why string) int {
	x.steps = append(x.steps, Step{depth, text, v.String(), why})
	return len(x.steps) - 1
}

// walk explains a check; it combines verdicts as eval does, without leaving any out.
func (x *explanation) walk(c check, depth int) verdict {
	switch c := c.(type) {
	case anyOf:
		return x.group(c, depth, "any of", func(v []check) check { return anyOf(v) })
	case allOf:
		return x.group(c, depth, "all of", func(v []check) check { return allOf(v) })
	case notCheck:
		return x.group([]check{c.check}, depth, "not", func(v []check) check { return notCheck{v[0]} })
	case *ruleCheck:
		if c.to == nil {
			x.step(depth, c.String(), unknown, "there is no such rule, and no default rule")
			return unknown
		}
		why := ""
		if c.to.name != c.name {
			why = fmt.Sprintf("there is no such rule; %q decides", c.to.name)
		}
		at := x.step(depth, c.String(), no, why)
		result := x.walk(c.to.check, depth+1)
		x.steps[at].Verdict = result.String()
		return result
	}
	before := len(x.failed)
	result := c.eval(&x.evaluation)
	why := x.why(c)
	if len(x.failed) > before {
		why = x.failed[before].Error()
	}
	x.step(depth, c.String(), result, why)
	return result
}

func (x *explanation) group(list []check, depth int, name string, combine func([]check) check) verdict {
	at := x.step(depth, name, no, "")
	verdicts := make([]check, len(list))
	for i, c := range list {
		verdicts[i] = known(x.walk(c, depth+1))
	}
	result := combine(verdicts).eval(&evaluation{})
	x.steps[at].Verdict = result.String()
	return result
}

// known is a check whose verdict has been found.
type known verdict

func (k known) eval(*evaluation) verdict { return verdict(k) }
func (k known) String() string           { return verdict(k).String() }

// why says what a check compared.
func (x *explanation) why(c check) string {
	switch c := c.(type) {
	case always:
		if c {
			return "allows everybody"
		}
		return "denies everybody"
	case roleCheck:
		name, missing := c.name.fill(x.target)
		if missing != "" {
			return "the target has no " + missing
		}
		var roles []string
		if x.caller.Token != nil {
			for _, r := range x.caller.Token.Roles {
				roles = append(roles, r.Name)
			}
		}
		if roles == nil {
			return "the token has no roles"
		}
		return fmt.Sprintf("the roles are %q, asked for is %q", roles, name)
	case remoteCheck:
		if _, missing, _ := c.url(x.target); missing != "" {
			return "the target has no " + missing
		}
	case matchCheck:
		text, missing := c.right.fill(x.target)
		if missing != "" {
			return "the target has no " + missing
		}
		values := c.left.values(&x.caller)
		if values == nil {
			return "the token has no " + c.left.text
		}
		return fmt.Sprintf("%s is %s, asked for is %q", c.left.text, strings.Join(quoted(values), " and "), text)
	}
	return ""
}

func quoted(list []string) (out []string) {
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return out
}
