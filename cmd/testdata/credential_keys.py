"""Encrypts and decrypts credentials with Keystone's own code. Usage: credential_keys.py DIRECTORY, with lines on standard input:
"encrypt TEXT" prints the encrypted text and the key's hash, "decrypt TEXT" the text, "setup" and "rotate" change the keys.
"""
import sys

import keystone.conf
from keystone.common import fernet_utils
from keystone.credential.providers.fernet.core import MAX_ACTIVE_KEYS, Provider

keystone.conf.configure()
CONF = keystone.conf.CONF
CONF([], project='keystone', default_config_files=[])
CONF.set_override('key_repository', sys.argv[1], group='credential')
provider = Provider()
keys = fernet_utils.FernetUtils(sys.argv[1], MAX_ACTIVE_KEYS, 'credential')
for line in sys.stdin:
    verb, _, text = line.rstrip('\n').partition(' ')
    if verb == 'encrypt':
        token, key_hash = provider.encrypt(text)
        print(token.decode(), key_hash)
    elif verb == 'decrypt':
        print(provider.decrypt(text))
    elif verb == 'setup':
        keys.create_key_directory()
        keys.initialize_key_repository()
    elif verb == 'rotate':
        keys.rotate_keys()
