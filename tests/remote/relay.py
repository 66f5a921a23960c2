#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TCP relay that can hold, delay, slow down and drop what goes through it.

    with Relay(('127.0.0.1', 0), ('127.0.0.1', port)) as relay:
        connect(relay.address)
        relay.cut()

It is a process, so that it can be on another host than the test; it ends with the test.
"""

import asyncio
import contextlib
import json
import subprocess
import sys

from processes import LIMIT, read_line

CHUNK = 65536
CHUNKS = 64


class Relay(contextlib.AbstractContextManager):
    """The relay as the test has it: listens at one address, and connects to the other for each connection."""

    def __init__(self, listen, target, popen=subprocess.Popen):
        words = [str(word) for word in (*listen, *target)]
        self.process = popen([sys.executable, __file__, *words], bufsize=0,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.address = tuple(json.loads(read_line(self.process)))
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the relay and with it all of its connections."""
        self.process.kill()
        self.process.wait(LIMIT)
        self.process.stdin.close()
        self.process.stdout.close()

    def _ask(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b'\n')
        return json.loads(read_line(self.process))

    def cut(self):
        """From now on nothing passes, no byte, no end and no new connection; nobody is told."""
        self._ask('cut')

    def resume(self):
        """What was held passes, and all that follows."""
        self._ask('resume')

    def drop(self):
        """Resets all connections; new ones are welcome."""
        self._ask('drop')

    def delay(self, seconds):
        """What comes from now on passes so much later, each way."""
        self._ask('delay', seconds)

    def limit(self, rate):
        """From now on so many bytes a second pass, each way of each connection."""
        self._ask('limit', rate)

    @property
    def count(self):
        """How many connections there have been."""
        return self._ask('count')

    @property
    def open(self):
        """How many connections there are."""
        return self._ask('open')


class Server:
    """The relay as it runs."""

    def __init__(self, target):
        self.target = target
        self.gate = asyncio.Event()
        self.gate.set()
        self.seconds = 0
        self.rate = float('inf')
        self.count = 0
        self.tasks = set()

    async def accept(self, reader, writer):
        self.count += 1
        task = asyncio.current_task()
        self.tasks.add(task)
        writers = [writer]
        try:
            await asyncio.sleep(self.seconds)
            await self.gate.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            writers.append(far_writer)
            pumps = [asyncio.create_task(self.pump(reader, far_writer)),
                     asyncio.create_task(self.pump(far_reader, writer))]
            try:
                await asyncio.gather(*pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
            for each in writers:
                each.close()
        except (OSError, asyncio.CancelledError):
            for each in writers:
                each.transport.abort()
        finally:
            self.tasks.discard(task)

    async def pump(self, reader, writer):
        queue = asyncio.Queue(CHUNKS)
        fill = asyncio.create_task(self.fill(reader, queue))
        free = 0
        try:
            while True:
                due, data = await queue.get()
                due = max(due, free)
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                free = due + (len(data) / self.rate if isinstance(data, bytes) else 0)
                await self.gate.wait()
                if isinstance(data, OSError):
                    raise data
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
        finally:
            fill.cancel()

    async def fill(self, reader, queue):
        data = None
        while data != b'' and not isinstance(data, OSError):
            try:
                data = await reader.read(CHUNK)
            except OSError as error:
                data = error
            await queue.put((asyncio.get_running_loop().time() + self.seconds, data))

    def answer(self, command, *arguments):
        match command:
            case 'cut':
                self.gate.clear()
            case 'resume':
                self.gate.set()
            case 'delay':
                self.seconds, = arguments
            case 'limit':
                self.rate, = arguments
            case 'drop':
                for task in self.tasks:
                    task.cancel()
                self.tasks.clear()
            case 'count':
                return self.count
            case 'open':
                return len(self.tasks)
        return None

    async def serve(self, host, port):
        server = await asyncio.start_server(self.accept, host, port)
        print(json.dumps(server.sockets[0].getsockname()), flush=True)
        commands = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(commands)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        # the end of the input is the end of the test
        while line := await commands.readline():
            print(json.dumps(self.answer(*json.loads(line))), flush=True)


def main():
    host, port, target, target_port = sys.argv[1:5]
    asyncio.run(Server((target, int(target_port))).serve(host, int(port)))


if __name__ == '__main__':
    main()
