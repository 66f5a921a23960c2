#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service of the system bus: polkit is asked who may have pools there; and its unit, policies and other files."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from servicetest import NAME, SERVICE, Bus, Skip, apply, as_somebody, main, raises, test

DATA = pathlib.Path(__file__).resolve().parents[2] / 'data'
ACTION = 'org.libpool.Service1.create-pool'
AUTHORITY = '''<node><interface name="org.freedesktop.PolicyKit1.Authority"><method name="CheckAuthorization">
<arg type="(sa{sv})" direction="in"/><arg type="s" direction="in"/><arg type="a{ss}" direction="in"/>
<arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="(bba{ss})" direction="out"/>
</method></interface></node>'''


class PolicyBus(Bus):
    """One that allows what that of the system does, and what the policy of the service adds to that."""

    def command(self, start):
        path = self.folder / 'bus.conf'
        path.write_text(re.sub(r'<policy context="default">.*?</policy>', f'''<policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <include>{DATA}/dbus/org.libpool.Service1.conf</include>''', path.read_text(), flags=re.S))
        return super().command(start)


class Authority:
    """Stands in for polkit, in a process of its own so that blocking calls can be made meanwhile."""

    def __init__(self, bus):
        self.script = f'''
import sys
from gi.repository import Gio, GLib
connection = Gio.DBusConnection.new_for_address_sync({bus.address!r}, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
                                                     Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
asked = 0
def on_call(connection, sender, path, interface, method, values, invocation):
    global asked
    (kind, details), action, _, flags, _ = values.unpack()
    asked += 1
    right = kind == 'system-bus-name' and details['name'].startswith(':') and action == {ACTION!r} and flags == 1
    # the first is allowed, the second is not
    invocation.return_value(GLib.Variant('((bba{{ss}}))', ((right and asked == 1, False, {{}}),)))
info = Gio.DBusNodeInfo.new_for_xml({AUTHORITY!r})
connection.register_object('/org/freedesktop/PolicyKit1/Authority', info.interfaces[0], on_call, None, None)
Gio.bus_own_name_on_connection(connection, 'org.freedesktop.PolicyKit1', 0, lambda *_: print('ready', flush=True), None)
GLib.MainLoop().run()
'''

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, '-c', self.script], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b'ready\n'
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@test
def polkit_says_who_may_make_pools():
    with Bus(arguments='--system') as bus, Authority(bus), bus.connect() as client:
        # this needs no permission
        assert client.service.ListBackends()
        pool = client.create_pool(processes=1)
        assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
        raises('NotAllowed', client.create_pool, processes=1, part='polkit')


@test
def without_polkit_nobody_may():
    with Bus(arguments='--system') as bus, bus.connect() as client:
        raises('NotAllowed', client.create_pool, processes=1, part='ServiceUnknown')


@test
def the_files_say_the_same():
    policy = ElementTree.parse(DATA / 'dbus/org.libpool.Service1.policy').getroot()
    assert [action.get('id') for action in policy.findall('action')] == [ACTION]
    bus = ElementTree.parse(DATA / 'dbus/org.libpool.Service1.conf').getroot()
    assert {allow.get('own') for allow in bus.iter('allow')} - {None} == {'org.libpool.Service1'}
    for name in 'pool-service.service.in', 'pool-service-system.service.in':
        text = (DATA / 'systemd' / name).read_text()
        assert 'Type=dbus\nBusName=org.libpool.Service1\n' in text
    for name, unit in ('org.libpool.Service1', 'pool-service'), ('org.libpool.Service1-system', 'pool-service-system'):
        text = (DATA / f'dbus/{name}.service.in').read_text()
        assert 'Name=org.libpool.Service1\n' in text and f'SystemdService={unit}.service\n' in text
        assert (DATA / f'systemd/{unit}.service.in').exists()


@test
def systemd_accepts_the_units():
    if not shutil.which('systemd-analyze'):
        raise Skip('there is no systemd-analyze')
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder, SYSTEMD_UNIT_PATH=f'{folder}:')

        def verify(unit, *words):
            done = subprocess.run(['systemd-analyze', 'verify', '--man=no', *words, unit], env=environment, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            # without what it says of other units, which are those of the machine
            return done.returncode, [line for line in done.stdout.splitlines() if unit.name in line]
        for name, *words in ('pool-service-system.service',), ('pool-service.service', '--user'):
            unit = pathlib.Path(folder, name)
            text = (DATA / f'systemd/{name}.in').read_text().replace('@libexecdir@', str(pathlib.Path(SERVICE).parent))
            unit.write_text(text)
            assert verify(unit, *words) == (0, [])
            # which is not because it looks at nothing
            unit.write_text(text.replace('Type=dbus', 'Type=bus').replace(SERVICE, '/nonexistent/pool-service'))
            said = '\n'.join(verify(unit, *words)[1])
            assert 'service type' in said and '/nonexistent/pool-service' in said, said


@test
def the_policy_of_the_system_bus_holds():
    """The bus of the system lets nobody have a name or call anybody, but for what the policy says."""
    if os.geteuid() != 0:
        raise Skip('only root may have the name')
    with PolicyBus() as bus, bus.connect() as client:
        assert client.service.ListBackends()
        as_somebody(bus, f'''
    assert client.service.ListBackends()
    def own(name):
        return client.connection.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
                                           GLib.Variant('(su)', (name, 0)), None, 0, -1, None)
    try:
        own({NAME!r})
        raise RuntimeError('somebody had the name')
    except GLib.Error as error:
        assert Gio.DBusError.get_remote_error(error) == 'org.freedesktop.DBus.Error.AccessDenied', error
''')


@test
def the_settings_that_are_installed_are_accepted():
    text = (DATA / 'service.conf').read_text()
    # all of them, with their defaults
    lines = [line[1:] if line.startswith('#') and '=' in line else line for line in text.splitlines()]
    with Bus('\n'.join(lines)) as bus, bus.connect() as client:
        limits = client.service.get('Limits')
    with Bus() as bus, bus.connect() as client:
        assert client.service.get('Limits') == limits


@test
def the_unit_is_hardened():
    if not shutil.which('systemd-analyze'):
        raise Skip('there is no systemd-analyze')
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / 'pool-service-system.service'
        unit.write_text((DATA / 'systemd/pool-service-system.service.in').read_text().replace('@libexecdir@/pool-service',
                                                                                             '/bin/true'))
        result = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=10', '--no-pager', unit],
                                stdout=subprocess.PIPE, timeout=60)
        assert result.returncode == 0, result.stdout
        assert b'0.4 SAFE' in result.stdout.splitlines()[-1], result.stdout.splitlines()[-1]


@test
def the_manual_has_every_setting():
    manual = (DATA / 'pool-service.8').read_text()
    settings = re.findall(r'^#(\w+)=(.*)$', (DATA / 'service.conf').read_text(), re.M)
    assert len(settings) > 10
    for name, value in settings:
        entry = re.search(rf'^\.It Li {name}\n(.*?)^\.(It|El)', manual, re.M | re.S)
        # with the default, and that for a user where there is one
        assert entry and value in entry.group(1), (name, value)


@test
def the_manual_is_well_formed():
    if not shutil.which('groff'):
        raise Skip('there is no groff')
    result = subprocess.run(['groff', '-mandoc', '-ww', '-Tutf8', DATA / 'pool-service.8'], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=30)
    assert result.returncode == 0 and result.stderr == b'', result.stderr


if __name__ == '__main__':
    main()
