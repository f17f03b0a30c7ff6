package config

import (
	"fmt"
	"strconv"
)

// limitSections are those whose list_limit counts. That of [assignment] is for domains, projects and roles too, where [resource]
// and [role] say nothing, as it was before they had sections of their own.
var limitSections = [...]string{defaultSection, "identity", "assignment", "resource", "role", "catalog", "policy", "credential",
	"endpoint_filter", "endpoint_policy", "federation", "oauth1", "trust"}

// maxListLimit bounds what a list_limit may be.
const maxListLimit = 1 << 30

// resourceFields are the options about users, projects, roles and lists of them.
func resourceFields() []field[Keystone] {
	fields := []field[Keystone]{
		{Option{Section: defaultSection, Name: "api_compat", Default: "kilo", Choices: []string{"kilo", "later"},
			Help: "whose answers to give: kilo, or later, which adds the few attributes that clients of later releases cannot do without"},
			func(k *Keystone) any { return &k.apiCompat }},
		{Option{Section: defaultSection, Name: "max_project_tree_depth", Default: "5", Min: 1, Max: 1000, Help: "levels of projects below one another"},
			func(k *Keystone) any { return &k.MaxProjectTreeDepth }},
		{Option{Section: "os_inherit", Name: "enabled", Default: "false", Help: "let projects inherit roles granted on their domain or a project above"},
			func(k *Keystone) any { return &k.Inherit }},
	}
	for i, section := range limitSections {
		fields = append(fields, field[Keystone]{Option{Section: section, Name: "list_limit", rule: checkListLimit,
			Help: "most objects that a list holds; all where unset"},
			func(k *Keystone) any { return &k.limits[i] }})
	}
	return fields
}

func checkListLimit(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxListLimit {
		return fmt.Errorf("%q is not a number of objects; write one of 1 or more, or take the line out", clip(text))
	}
	return nil
}

// listLimits settles which section's limit counts for which.
func (k *Keystone) listLimits() map[string]int {
	limits := map[string]int{}
	for i, section := range limitSections {
		if n, err := strconv.Atoi(k.limits[i]); err == nil { // "" is none
			if section == defaultSection {
				section = ""
			}
			limits[section] = n
		}
	}
	if n, ok := limits["assignment"]; ok {
		for _, section := range []string{"resource", "role"} {
			if _, own := limits[section]; !own {
				limits[section] = n
			}
		}
	}
	return limits
}
