"""Walks through a script with the openstack command and prints one line for each step, as run.py does.

Each line of the script is one step:
  ok COMMAND [=> TEXT]   the command succeeds, and TEXT is in what it prints
  no COMMAND => TEXT     the command fails, and TEXT is in what it says
  let NAME COMMAND       the command succeeds; $NAME stands for what it prints from then on
  out COMMAND => REASON  what this server is not to have: the command fails
The command is called as a function, for starting Python takes a second each time.
"""
import contextlib
import io
import logging
import shlex
import string
import sys
import warnings

from openstackclient import shell
from openstackclient.common import clientmanager
from osc_lib.clientmanager import ClientCache


def forget():
    """Drops the clients of the command before, which may have been another user's."""
    for kind in clientmanager.ClientManager.__mro__:
        for value in vars(kind).values():
            if isinstance(value, ClientCache):
                value._handle = None


def run(command):
    forget()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = shell.main(['--os-cloud=devstack-admin'] + shlex.split(command))
        except SystemExit as e:
            status = e.code
    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)
    return status, out.getvalue(), err.getvalue()


def main():
    warnings.simplefilter('ignore')
    known = {}
    for number, line in enumerate(sys.stdin, 1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        kind, rest = line.split(' ', 1)
        name = ''
        if kind == 'let':
            name, rest = rest.split(' ', 1)
        command, _, text = rest.partition(' => ')
        text = string.Template(text).safe_substitute(known)
        status, out, err = run(string.Template(command).safe_substitute(known))
        if kind in ('ok', 'let'):
            good = not status and text in out + err
        else:
            good = status and (kind == 'out' or text in err)
        if name:
            known[name] = out.strip()
        outcome = 'failed' if not good else 'out' if kind == 'out' else 'passed'
        said = text if kind == 'out' else 'status %s: %s %s' % (status, out, err)
        print('RESULT', outcome, 'line-%d.%s' % (number, '-'.join(command.split(' -')[0].split()[:4])), ' '.join(said.split())[:300], sep='\t')


main()
