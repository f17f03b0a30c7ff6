"""Runs test suites of OpenStack's Python clients, all in this process, and prints one line for each test.

Usage: run.py MODULE-OR-PACKAGE... with the patterns of the tests to leave out on standard input.

A line is RESULT, the outcome (passed, failed, skipped or out) and the test's name, with the last line of the traceback behind them,
between tabs.
"""
import contextlib
import fnmatch
import importlib
import io
import logging
import os
import pkgutil
import re
import shlex
import sys
import unittest
import warnings

CLASS_FAILED = re.compile(r'(?:setUpClass|tearDownClass) \((.*)\)')


def name_of(test):
    """The dotted name, without the attributes that tempest puts into brackets."""
    return re.sub(r'\[.*\]', '', test.id())


def tests_in(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def modules(name):
    module = importlib.import_module(name)
    if not hasattr(module, '__path__'):
        return [module]
    found = []
    for info in pkgutil.iter_modules(module.__path__, name + '.'):
        if info.ispkg or info.name.rpartition('.')[2].startswith('test_'):
            found += modules(info.name)
    return found


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.outcomes = {}
        self.classes = {}

    def note(self, test, outcome, reason=''):
        whole_class = CLASS_FAILED.match(test.id())
        if whole_class:
            self.classes[whole_class.group(1)] = (outcome, reason)
        elif self.outcomes.get(name_of(test), ('passed',))[0] == 'passed':
            self.outcomes[name_of(test)] = (outcome, reason)

    def problem(self, test, err, details):
        if err is not None:
            text = self._exc_info_to_string(err, test)
        else:
            text = '\n'.join(d.as_text() for name, d in details.items() if name.startswith('traceback'))
        if os.environ.get('SUITE_VERBOSE'):
            print(test.id(), text, file=sys.stderr)
        lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
        end = lines[-1] if lines else ''
        for line in reversed(lines):
            if re.match(r'[\w.]+(Error|Exception|Failed|NotFound|Mismatch\w*|Forbidden|Conflict|BadRequest|Unauthorized|ServerFault)\b', line):
                end = line if line == end else line + ' ' + end
                break
        self.note(test, 'failed', end)

    def addSuccess(self, test, details=None):
        self.note(test, 'passed')

    def addError(self, test, err=None, details=None):
        self.problem(test, err, details)

    addFailure = addError

    def addSkip(self, test, reason=None, details=None):
        self.note(test, 'skipped', reason or ''.join(d.as_text() for d in (details or {}).values()))


def command_in_process(base):
    """Has the functional tests of the openstack command call it as a function: starting Python for each takes a second."""
    from openstackclient import shell

    def execute(cmd, fail_ok=False, merge_stderr=False):
        out = io.StringIO()
        err = out if merge_stderr else io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = shell.main(shlex.split(cmd)[1:])
            except SystemExit as e:
                status = e.code
        for handler in list(logging.getLogger().handlers):
            logging.getLogger().removeHandler(handler)
        if status and not fail_ok:
            raise base.exceptions.CommandFailed(status, cmd, out.getvalue(), err.getvalue())
        return out.getvalue()

    base.execute = execute


def client_by_session(base):
    """Makes the client as the tests' own helper would, which needs a file that Debian leaves out."""
    def get_client(version):
        cloud = base.os_client_config.get_config(cloud='devstack-admin', identity_api_version=version)
        return base.client.Client(version, session=cloud.get_session(), interface='admin', region_name='RegionOne')

    base.get_client = get_client


def main(names):
    warnings.simplefilter('ignore')
    patterns = sys.stdin.read().split()
    if any(name.startswith('openstackclient') for name in names):
        command_in_process(importlib.import_module('openstackclient.tests.functional.base'))
    if any(name.startswith('keystoneclient') for name in names):
        client_by_session(importlib.import_module('keystoneclient.tests.functional.base'))
    loader, chosen, out = unittest.TestLoader(), {}, []
    run = unittest.TestSuite()
    for name in names:
        for module in modules(name):
            for test in tests_in(loader.loadTestsFromModule(module, None)):
                if any(fnmatch.fnmatchcase(name_of(test), p) for p in patterns):
                    out.append(name_of(test))
                elif name_of(test) not in chosen:
                    chosen[name_of(test)] = test
                    run.addTest(test)
    result = Result()
    with contextlib.redirect_stdout(sys.stderr):
        run.run(result)
    for name, test in chosen.items():
        kind = type(test)
        outcome = result.outcomes.get(name) or result.classes.get(kind.__module__ + '.' + kind.__qualname__, ('failed', 'it was not run'))
        print('RESULT', outcome[0], name, ' '.join(outcome[1].split())[:300], sep='\t')
    for name in out:
        print('RESULT', 'out', name, '', sep='\t')


main(sys.argv[1:])
