package headers

// Names are the headers of the table, for those who do not make the request anew: with each of them overwritten or removed, nothing
// of what a client says about an identity is left.
func Names() []string {
	var names []string
	for _, r := range table {
		names = append(names, r.user)
	}
	for _, r := range table {
		if r.service != "" {
			names = append(names, r.service)
		}
	}
	return names
}

// LookAlike says whether an upstream could take a header for one of the table, or for one that carries a token, though it has
// another spelling (X_Roles) than the one in which these are sent. name is in the form that net/http gives names.
func LookAlike(name string) bool {
	for _, r := range table {
		if alike(name, r.user) || r.service != "" && alike(name, r.service) {
			return true
		}
	}
	return alike(name, AuthToken) || alike(name, ServiceToken) || alike(name, StorageToken)
}

func alike(name, other string) bool {
	return len(name) == len(other) && name != other && hasFoldedPrefix(name, other)
}
