// The server for launchers, with an answerer of the test's own and with clients that do everything a launcher never does.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAUNCHER_PROTOCOL, placeSeenFromHere } from '../../src/daemon/launcher-calls.ts';
import { LauncherServer, type LauncherServerOptions } from '../../src/daemon/launchers.ts';
import type {
  Answer,
  Answerer,
  CompileAnswer,
  Decision,
  HitAnswer,
  LaterAnswer,
  LaunchedCall,
  PlacedFile,
  PlacedWay,
} from '../../src/daemon/protocol.ts';
import { signatureNow } from '../../src/store/hashes.ts';
import type { ExitStatus } from '../../src/sys/process.ts';
import { framed, Peer, requestIn, type Told } from '../support/launcher-peer.ts';
import { until } from '../support/wrapper-call.ts';

let dir: string;
let socket: string;
/** What every hit brings, already in its place. */
let text: Extract<PlacedFile, { kind: 'text' }>;
let blob: Extract<PlacedFile, { kind: 'blob' }>;
const home = process.cwd();
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'kache-test-hits-')));
  socket = join(dir, 'socket-hits');
  text = { kind: 'text', text: 'a: b\n', aside: '/out/.kache/1-a.d', target: join(dir, 'a.d') };
  blob = {
    kind: 'blob',
    source: '/store/blobs/ab/abc',
    sizeBytes: 12,
    ways: ['hardlinked', 'copied'],
    mode: 0o644,
    aside: '/out/.kache/1-a.rlib',
    target: join(dir, 'a.rlib'),
  };
  for (const { target } of [text, blob]) writeFileSync(target, target);
});
afterEach(() => {
  // The server leaves no folder in use, and goes to the root for that.
  process.chdir(home);
  rmSync(dir, { recursive: true, force: true });
});

/** What a server was asked and told. */
class Served implements Disposable {
  readonly calls: LaunchedCall[] = [];
  readonly folders: string[] = [];
  readonly settled: (readonly (PlacedWay | undefined)[])[] = [];
  readonly lines: string[] = [];
  noted = 0;
  answered = 0;
  requests = 0;
  /** What is answered; a function may throw. */
  next: Answer | (() => never) = 'none';
  isCurrent = true;
  readonly server: LauncherServer;

  constructor(options: Partial<LauncherServerOptions> = {}) {
    const answer: Answerer = (call) => {
      this.calls.push(call);
      this.folders.push(process.cwd());
      return typeof this.next === 'function' ? this.next() : this.next;
    };
    this.server = new LauncherServer({
      socket,
      answer,
      isCurrent: () => this.isCurrent,
      onRequest: () => this.requests++,
      onAnswered: () => this.answered++,
      log: (line) => this.lines.push(line),
      ...options,
    });
  }

  hit(made: Partial<HitAnswer> = {}): HitAnswer {
    return {
      kind: 'hit',
      proof: proof(),
      files: [text, blob],
      stdout: 'out\n',
      stderr: 'err\n',
      settle: (ways) => {
        this.settled.push(ways);
      },
      note: () => {
        this.noted++;
      },
      ...made,
    };
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
  }
}

const proof = (): string => join(dir, 'proof');
const plan = (): string =>
  [
    ...['place', proof(), 'text', text.text, text.aside, text.target],
    ...['blob', blob.source, '12', 'hc', '644', blob.aside, blob.target],
  ].join('\0');

const stateOf = (path: string): string => signatureNow(path) ?? '';

/** What a launcher says that can write to the store, when every file is in its place. */
function placed(letters: string, states = [stateOf(text.target), stateOf(blob.target)]): string {
  writeFileSync(proof(), '');
  return ['placed', letters, ...states].join('\0');
}

const request = (told: Told = {}): string => requestIn(dir, told);

/** Asks once and returns the first answer; undefined when there was none. */
async function ask(body: Uint8Array | string): Promise<string | undefined> {
  const peer = await Peer.connect(socket);
  peer.write(framed(body));
  const answer = await peer.frame();
  if (answer === 'no') await peer.closed();
  else peer.hangUp();
  return answer;
}

test('a hit: the call as it was, the plan, the ways, the output; and it is written down last', async () => {
  using served = new Served();
  const events: string[] = [];
  served.next = served.hit({
    settle: (ways) => events.push(`settled ${ways.map((way) => way ?? 'text').join()} in ${process.cwd()}`),
    note: () => events.push(`noted in ${process.cwd()}`),
  });
  const peer = await Peer.connect(socket);
  const env = ['EMPTY=', 'TWO=a=b', 'CARGO_BIN_EXE_my-bin=/x', 'LINES=a\nb', '__proto__=1', 'ÄÖ=ü'];
  peer.write(framed(request({ argv: ['rustc', '', '--cfg', 'a="b"'], env })));
  expect(await peer.frame()).toBe(plan());
  expect([served.requests, served.answered, events]).toEqual([1, 0, []]);
  expect(served.folders).toEqual([dir]);
  const [call] = served.calls;
  expect(call).toMatchObject({ argv: ['rustc', '', '--cfg', 'a="b"'], cwd: dir });
  expect(call?.caller).toEqual({ pid: 123, parentPid: 45 });
  expect(Object.entries(call?.env ?? {})).toEqual([
    ['EMPTY', ''],
    ['TWO', 'a=b'],
    ['CARGO_BIN_EXE_my-bin', '/x'],
    ['LINES', 'a\nb'],
    ['__proto__', '1'],
    ['ÄÖ', 'ü'],
  ]);
  peer.write(framed(placed('-h')));
  expect(await peer.frame()).toBe('done\0out\n\0err\n');
  await peer.closed();
  expect(events).toEqual([`settled text,hardlinked in ${dir}`, `noted in ${dir}`]);
  expect([served.answered, process.cwd()]).toEqual([1, '/']);
});

test('a call in pieces, and two at once', async () => {
  using served = new Served();
  served.next = served.hit();
  const [one, two] = [await Peer.connect(socket), await Peer.connect(socket)];
  for (const byte of framed(request())) one.write(Uint8Array.of(byte));
  expect(await one.frame()).toBe(plan());
  two.write(framed(request()));
  expect(await two.frame()).toBe(plan());
  two.write(framed(placed('-c')));
  expect(await two.frame()).toStartWith('done');
  one.write(framed(placed('-r')));
  expect(await one.frame()).toStartWith('done');
  expect(served.settled).toEqual([
    [undefined, 'copied'],
    [undefined, 'reflinked'],
  ]);
});

const NO_CALLS: Readonly<Record<string, () => Uint8Array | string>> = {
  'no byte at all': () => '',
  'another protocol': () => request({ protocol: 'kache-launcher-0' }),
  'no protocol': () => 'GET / HTTP/1.1\r\n\r\n',
  'another place': () => request({ place: 'mnt:[1] 1 2' }),
  'no folder': () => [LAUNCHER_PROTOCOL, '1', '2', placeSeenFromHere()].join('\0'),
  'no number of arguments': () => request({ argc: '' }).split('\0').slice(0, 5).join('\0'),
  'more arguments than there are': () => request({ argc: '99' }),
  'a number that is none': () => request({ argc: 'many' }),
  'a variable twice': () => request({ env: ['A=1', 'B=2', 'A=1'] }),
  'a variable without a value': () => request({ env: ['A'] }),
  'a variable without a name': () => request({ env: ['=1'] }),
  'a source that every process has for itself': () => request({ argv: ['rustc', '/dev/stdin'] }),
  'a library that every process has for itself': () =>
    request({ argv: ['rustc', '--extern', 'a=/proc/self/fd/3', 'lib.rs'] }),
  'an argument that is not UTF-8': () => Buffer.concat([Buffer.from(request()), Buffer.from([0x3d, 0xff])]),
  'half a character': () => Buffer.concat([Buffer.from(request()), Buffer.from([0x3d, 0xc3])]),
};

test('what is no call is answered with no, and nobody is asked', async () => {
  using served = new Served();
  served.next = served.hit();
  for (const [name, body] of Object.entries(NO_CALLS))
    expect([name, await ask(body())]).toEqual([name, 'no']);
  expect([served.calls, served.lines]).toEqual([[], []]);
  expect(await ask(request())).toBe(plan());
});

test('a byte order mark is a part of what it stands in front of', async () => {
  using served = new Served();
  expect(await ask(`\ufeff${request()}`)).toBe('no');
  await ask(request({ argv: ['rustc', '\ufeffa'] }));
  expect(served.calls.map(({ argv }) => argv)).toEqual([['rustc', '\ufeffa']]);
});

test('a frame that is too large ends the connection at its first bytes', async () => {
  using served = new Served();
  const peer = await Peer.connect(socket);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(4 * 1024 * 1024 + 1);
  peer.write(length);
  expect(await peer.frame()).toBeUndefined();
  expect(served.requests).toBe(0);
});

test('a folder that is not there is none to answer in', async () => {
  using served = new Served();
  served.next = served.hit();
  expect(await ask(request({ cwd: join(dir, 'gone') }))).toBe('no');
  expect([served.calls, served.lines.length]).toEqual([[], 1]);
});

test('an answer that would not survive the way is none', async () => {
  using served = new Served();
  for (const made of [
    { stdout: 'a\0b' },
    { stderr: '\0' },
    { files: [{ ...text, text: '\0' }] },
    { files: [blob, { ...blob, target: '/out/\0' }] },
  ]) {
    served.next = served.hit(made);
    expect(await ask(request())).toBe('no');
  }
  expect([served.calls.length, served.settled, served.noted]).toEqual([4, [], 0]);
});

test('files that did not come into their places are nothing to settle', async () => {
  using served = new Served();
  served.next = served.hit();
  const [one, two] = [stateOf(text.target), stateOf(blob.target)];
  const replies = [
    ...['failed', '', 'placed', 'placed\0', 'placed\0-', 'placed\0-h-', request()],
    ...[placed('-h').toUpperCase(), placed('-h', []), placed('-h', [one]), placed('-h', [two, one])],
    placed('-h', [one, two.replace(/^\d+/, '1')]),
  ];
  for (const reply of replies) {
    const peer = await Peer.connect(socket);
    peer.write(framed(request()));
    expect(await peer.frame()).toBe(plan());
    writeFileSync(proof(), '');
    peer.write(framed(reply));
    expect([reply, await peer.frame()]).toEqual([reply, 'no']);
    expect(existsSync(proof())).toBe(false);
    await peer.closed();
  }
  expect([served.settled, served.noted, served.answered]).toEqual([[], 0, 0]);
});

test('who cannot write to the store is not believed', async () => {
  using served = new Served();
  served.next = served.hit();
  const peer = await Peer.connect(socket);
  peer.write(framed(request()));
  expect(await peer.frame()).toBe(plan());
  const said = framed(placed('-h'));
  rmSync(proof());
  peer.write(said);
  expect([await peer.frame(), served.settled, served.noted]).toEqual(['no', [], 0]);
});

test('what cannot be removed shows nothing, and harms nobody', async () => {
  using served = new Served();
  served.next = served.hit();
  const peer = await Peer.connect(socket);
  peer.write(framed(request()));
  expect(await peer.frame()).toBe(plan());
  const said = framed(placed('-h'));
  rmSync(proof());
  mkdirSync(proof());
  peer.write(said);
  expect([await peer.frame(), served.settled, served.noted]).toEqual(['no', [], 0]);
  rmSync(proof(), { recursive: true });
});

test('what is there by now must be what was placed; links that came since are nothing', async () => {
  using served = new Served();
  const states: (readonly string[])[] = [];
  served.next = served.hit({ settle: (_, given) => states.push(given) });
  const settledAfter = async (meanwhile: () => void): Promise<string | undefined> => {
    const peer = await Peer.connect(socket);
    peer.write(framed(request()));
    expect(await peer.frame()).toBe(plan());
    const reply = placed('-h');
    meanwhile();
    peer.write(framed(reply));
    return (await peer.frame())?.split('\0')[0];
  };
  const then = stateOf(blob.target);
  expect(await settledAfter(() => linkSync(blob.target, join(dir, 'linked')))).toBe('done');
  expect(states).toEqual([[stateOf(text.target), then]]);
  expect(stateOf(blob.target)).not.toBe(then);
  expect(await settledAfter(() => writeFileSync(blob.target, 'other'))).toBe('no');
  expect(
    await settledAfter(() => {
      writeFileSync(`${text.target}.new`, text.target);
      renameSync(`${text.target}.new`, text.target);
    }),
  ).toBe('no');
  expect(await settledAfter(() => rmSync(blob.target))).toBe('no');
  expect(states.length).toBe(1);
});

test('a launcher that dies between the plan and its end leaves nothing behind', async () => {
  using served = new Served();
  served.next = served.hit();
  for (const last of [undefined, framed(placed('-h')).subarray(0, 6)]) {
    const peer = await Peer.connect(socket);
    peer.write(framed(request()));
    expect(await peer.frame()).toBe(plan());
    if (last !== undefined) peer.write(last);
    peer.hangUp();
  }
  const late = await Peer.connect(socket);
  late.write(framed(request()).subarray(0, 20));
  late.hangUp();
  expect(await ask(request())).toBe(plan());
  expect([served.settled, served.noted, served.requests]).toEqual([[], 0, 3]);
});

test('whatever throws is a no before the output, and nothing behind it', async () => {
  using served = new Served();
  const fail = (): never => {
    throw new Error('on purpose');
  };
  const whole = async (): Promise<string | undefined> => {
    const peer = await Peer.connect(socket);
    peer.write(framed(request()));
    const first = await peer.frame();
    if (first === 'no') return first;
    peer.write(framed(placed('-h')));
    const last = await peer.frame();
    await peer.closed();
    return last;
  };
  served.next = fail;
  expect(await whole()).toBe('no');
  served.next = served.hit({ settle: fail });
  expect([await whole(), served.noted, served.answered]).toEqual(['no', 0, 0]);
  served.next = served.hit({ note: fail });
  expect([await whole(), served.answered]).toEqual(['done\0out\n\0err\n', 1]);
  expect(served.lines.map((line) => line.split('\n')[0])).toEqual(
    Array.from({ length: 3 }, () => 'a call failed: Error: on purpose'),
  );
  served.next = served.hit();
  expect([await whole(), process.cwd()]).toEqual(['done\0out\n\0err\n', '/']);
});

test('answers of several megabytes arrive whole', async () => {
  using served = new Served();
  const long = 'a line that is long enough\n'.repeat(100_000);
  const files = Array.from({ length: 3 }, (_, n): PlacedFile => ({ ...text, text: `${n}${long}` }));
  served.next = served.hit({ files, stdout: long, stderr: `${long}!` });
  const peers = await Promise.all([Peer.connect(socket), Peer.connect(socket)]);
  for (const peer of peers) peer.write(framed(request()));
  for (const peer of peers) {
    const fields = (await peer.frame())?.split('\0') ?? [];
    expect(fields.length).toBe(14);
    expect([3, 7, 11].map((at) => fields[at] === `${(at - 3) / 4}${long}`)).toEqual([true, true, true]);
    const state = stateOf(text.target);
    peer.write(framed(placed('---', [state, state, state])));
    expect((await peer.frame()) === `done\0${long}\0${long}!`).toBe(true);
    await peer.closed();
  }
  expect(served.noted).toBe(2);
});

/** A compile of the test's own: what it was told, in order. */
class Compiled implements CompileAnswer {
  readonly kind = 'compile';
  readonly proof = proof();
  readonly lock = '/store/locks/a';
  readonly told: string[] = [];
  /** Somebody has compiled it meanwhile. */
  isKnown = false;
  failing: 'begin' | 'receive' | 'end' | undefined;

  #tell(step: string, text = ''): void {
    this.told.push(`${step}${text} in ${process.cwd()}`);
    if (this.failing === step) throw new Error('on purpose');
  }

  begin(): ReturnType<CompileAnswer['begin']> {
    this.#tell('begin');
    if (this.isKnown) return undefined;
    return { argv: ['rustc', '', 'a b'], outputs: ['/out/a.rlib', '/out/a.d'] };
  }

  receive({ fd, bytes, states }: Parameters<CompileAnswer['receive']>[0]): Uint8Array {
    this.#tell('receive', ` ${fd} ${JSON.stringify(states)} ${Buffer.from(bytes).toString('latin1')}`);
    return Buffer.concat([Buffer.from('seen '), bytes]);
  }

  end(status: ExitStatus, states: readonly (string | undefined)[]): void {
    this.#tell('end', ` ${JSON.stringify([status, states])}`);
  }

  [Symbol.dispose](): void {
    this.told.push('disposed');
  }
}

/** A launcher that has been told to compile. */
async function compiling(served: Served, compiled: Compiled): Promise<Peer> {
  served.next = compiled;
  const peer = await Peer.connect(socket);
  peer.write(framed(request()));
  expect(await peer.frame()).toBe(`compile\0${proof()}\0/store/locks/a`);
  expect(compiled.told).toEqual([]);
  return peer;
}

async function started(served: Served, compiled: Compiled): Promise<Peer> {
  const peer = await compiling(served, compiled);
  writeFileSync(proof(), '');
  peer.write(framed('ready'));
  expect(await peer.frame()).toBe('start\x003\0rustc\0\0a b\0/out/a.rlib\0/out/a.d');
  expect(existsSync(proof())).toBe(false);
  return peer;
}

test('a compile: begun when the launcher has shown itself, fed by lines, ended with its states', async () => {
  using served = new Served();
  const compiled = new Compiled();
  const peer = await started(served, compiled);
  expect(served.server.isBusy).toBe(true);
  const odd = Buffer.from([0x6c, 0, 0xff, 0x0a]);
  peer.write(framed(Buffer.concat([Buffer.from('line\x002\x001:2:3.4:5.6\0\0'), odd])));
  expect(await peer.frame()).toBe(`seen ${odd.toString()}`);
  peer.write(framed('line\x001\0\0\0out\n'));
  expect(await peer.frame()).toBe('seen out\n');
  peer.write(framed('ended\0exited\x000\x001:2:3.4:5.6\0'));
  expect(await peer.frame()).toBe('done');
  await peer.closed();
  const status = '{"kind":"exited","code":0}';
  expect(compiled.told).toEqual([
    `begin in ${dir}`,
    `receive 2 ["1:2:3.4:5.6",null] ${odd.toString('latin1')} in ${dir}`,
    `receive 1 [null,null] out\n in ${dir}`,
    `end [${status},["1:2:3.4:5.6",null]] in ${dir}`,
    'disposed',
  ]);
  expect([served.answered, served.server.isBusy, process.cwd()]).toEqual([1, false, '/']);
});

test('a compiler that was killed is told by its signal', async () => {
  using served = new Served();
  const compiled = new Compiled();
  const peer = await started(served, compiled);
  peer.write(framed('ended\0signalled\x009'));
  expect(await peer.frame()).toBe('done');
  expect(compiled.told[1]).toStartWith('end [{"kind":"signalled","signal":"SIGKILL"},[]]');
});

test('nothing is begun for who cannot write to the store', async () => {
  using served = new Served();
  const compiled = new Compiled();
  const peer = await compiling(served, compiled);
  peer.write(framed('ready'));
  expect(await peer.frame()).toBe('no');
  expect([compiled.told, served.server.isBusy]).toEqual([['disposed'], false]);
});

test('nothing is begun that somebody has compiled meanwhile', async () => {
  using served = new Served();
  const compiled = new Compiled();
  compiled.isKnown = true;
  const peer = await compiling(served, compiled);
  writeFileSync(proof(), '');
  peer.write(framed('ready'));
  expect(await peer.frame()).toBe('no');
  expect([compiled.told.length, compiled.told.at(-1), served.server.isBusy]).toEqual([2, 'disposed', false]);
});

test('a socket that is put back: whoever is connected stays so', async () => {
  using served = new Served();
  const compiled = new Compiled();
  const peer = await started(served, compiled);
  rmSync(socket);
  served.server.listenAgain();
  expect([served.server.isReachable, served.server.isBusy]).toEqual([true, true]);
  served.next = 'none';
  expect(await ask(request())).toBe('no');
  peer.write(framed('ended\0exited\x000'));
  expect(await peer.frame()).toBe('done');
  await peer.closed();
  served.server.listenAgain();
  expect([await ask(request()), statSync(socket).mode & 0o777]).toEqual(['no', 0o600]);
});

test('a launcher that hangs up, at any time, lets go of what its compile holds, once', async () => {
  using served = new Served();
  for (const at of ['compiling', 'started', 'in a frame'] as const) {
    const compiled = new Compiled();
    const peer = await (at === 'compiling' ? compiling : started)(served, compiled);
    // One that is killed before it says so.
    if (at === 'compiling') writeFileSync(proof(), '');
    if (at === 'in a frame') peer.write(framed('line\x001\0\0\0out\n').subarray(0, 7));
    peer.hangUp();
    await until('it is let go of', () => !served.server.isBusy);
    expect([at, compiled.told.filter((step) => step === 'disposed').length]).toEqual([at, 1]);
    expect(existsSync(proof())).toBe(false);
  }
});

test('frames that no launcher sends store nothing', async () => {
  using served = new Served();
  const frames = [
    '',
    'line',
    'line\x003\0\0\0a',
    'line\x001\0\0a',
    'ended',
    'ended\0exited',
    'ended\0exited\0',
    'ended\0exited\0-1',
    'no',
  ];
  for (const frame of frames) {
    const compiled = new Compiled();
    const peer = await started(served, compiled);
    peer.write(framed(frame));
    expect([frame, await peer.frame(), compiled.told.slice(1)]).toEqual([frame, 'no', ['disposed']]);
  }
  expect(served.answered).toBe(0);
});

test('a step of a compile that throws: nothing to start, no answer to a line, an end all the same', async () => {
  using served = new Served();
  const failed = async (failing: Compiled['failing']) => {
    const compiled = new Compiled();
    compiled.failing = failing;
    const peer = await (failing === 'begin' ? compiling : started)(served, compiled);
    writeFileSync(proof(), '');
    peer.write(
      framed(failing === 'begin' ? 'ready' : failing === 'end' ? 'ended\0exited\x000' : 'line\x001\0\0\0a'),
    );
    const answer = await peer.frame();
    await peer.closed();
    await until('it is let go of', () => !served.server.isBusy);
    rmSync(proof(), { force: true });
    return [answer, compiled.told.at(-1)];
  };
  expect(await failed('begin')).toEqual(['no', 'disposed']);
  expect(await failed('receive')).toEqual([undefined, 'disposed']);
  expect(await failed('end')).toEqual(['done', 'disposed']);
  expect(served.lines.length).toBe(3);
});

test('a server that ends lets go of the compiles it follows', async () => {
  const served = new Served();
  const compiled = new Compiled();
  const peer = await started(served, compiled);
  served[Symbol.dispose]();
  await peer.closed();
  expect(compiled.told.at(-1)).toBe('disposed');
});

/** An answer that comes when the test says so. */
function later() {
  const { promise, resolve, reject } = Promise.withResolvers<Decision>();
  const folders: string[] = [];
  const answer: LaterAnswer = {
    kind: 'later',
    withinMs: 500,
    answer: async (inFolder) => {
      const decision = await promise;
      inFolder(() => folders.push(process.cwd()));
      return decision;
    },
  };
  return { answer, resolve, reject, folders };
}

test('a remote is asked first: the launcher is told how long it may take, and others are answered meanwhile', async () => {
  using served = new Served();
  const asked = later();
  served.next = asked.answer;
  const peer = await Peer.connect(socket);
  peer.write(framed(request()));
  expect(await peer.frame()).toBe('wait\x002500');
  served.next = served.hit();
  expect(await ask(request())).toBe(plan());
  asked.resolve(served.hit());
  expect(await peer.frame()).toBe(plan());
  expect([asked.folders, process.cwd()]).toEqual([[dir], '/']);
  peer.write(framed(placed('-h')));
  expect(await peer.frame()).toStartWith('done');
});

test('what comes of asking a remote: a compile, nothing, an error; a launcher that has gone', async () => {
  using served = new Served();
  const waiting = async (asked: ReturnType<typeof later>): Promise<Peer> => {
    served.next = asked.answer;
    const peer = await Peer.connect(socket);
    peer.write(framed(request()));
    expect(await peer.frame()).toStartWith('wait');
    return peer;
  };
  const answered = async (end: (asked: ReturnType<typeof later>) => void): Promise<string | undefined> => {
    const asked = later();
    const peer = await waiting(asked);
    end(asked);
    return (await peer.frame())?.split('\0')[0];
  };
  expect(await answered(({ resolve }) => resolve(new Compiled()))).toBe('compile');
  expect(await answered(({ resolve }) => resolve('none'))).toBe('no');
  expect(served.lines).toEqual([]);
  expect(await answered(({ reject }) => reject(new Error('on purpose')))).toBe('no');
  expect(served.lines.length).toBe(1);
  const [gone, impatient] = [later(), later()];
  (await waiting(gone)).hangUp();
  const peer = await waiting(impatient);
  peer.write(framed('ready'));
  await peer.closed();
  for (const { resolve } of [gone, impatient]) resolve(served.hit());
  served.next = 'none';
  expect([await ask(request()), served.settled]).toEqual(['no', []]);
});

test('a program that has been replaced answers nothing', async () => {
  using served = new Served();
  served.next = served.hit();
  served.isCurrent = false;
  expect([await ask(request()), served.calls]).toEqual(['no', []]);
});

test('the socket is private, takes the place of an old one, and goes with the server', async () => {
  writeFileSync(socket, 'what a dead one has left');
  const served = new Served();
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  expect(served.server.isReachable).toBe(true);
  const peer = await Peer.connect(socket);
  rmSync(socket);
  expect(served.server.isReachable).toBe(false);
  writeFileSync(socket, '');
  served[Symbol.dispose]();
  expect(existsSync(socket)).toBe(false);
  await peer.closed();
});
