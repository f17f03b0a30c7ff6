// Package config reads the configuration of authproxy, keystone-all and keystone-manage: oslo.config INI files into typed
// values that each know where they came from.
//
// [LoadAuthToken] reads the [keystone_authtoken] section out of any OpenStack service's file (glance-api.conf, nova.conf, …);
// [LoadKeystone] reads a keystone.conf. Both are driven by a table of options ([AuthTokenOptions], [KeystoneOptions]) from
// which a command can make its flags. What wins: built-in default < file, later files over earlier ones < environment < flag.
//
// All that is wrong is reported at once: the error joins one [*Error] for each finding, every one with its place.
package config
