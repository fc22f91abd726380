import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, jobserverDescriptors, outputOf } from '../../src/sys/process.ts';
import { Lab } from '../support/lab.ts';

const PROCESS = JSON.stringify(join(import.meta.dir, '../../src/sys/process.ts'));

/** Writes a program that uses `names` of process.ts, and returns its command line. */
function program(lab: Lab, names: string, body: string): string[] {
  const script = lab.path('program.ts');
  writeFileSync(script, `import { ${names} } from ${PROCESS};\n${body}`);
  return [process.execPath, script];
}

/** Runs one child with runChild in a process of its own and returns what it says of the child's end. */
function ended(lab: Lab, child: string): unknown {
  const body = `console.log(JSON.stringify(await runChild(['bash', '-c', ${JSON.stringify(child)}], { descriptors: [] })));`;
  return JSON.parse(lab.run(program(lab, 'runChild', body)).stdout);
}

test('the descriptors of a jobserver, as make and Cargo write them', () => {
  const cases: readonly (readonly [string | undefined, readonly number[]])[] = [
    ['-j --jobserver-fds=8,9 --jobserver-auth=8,9', [8, 9]],
    [' -j4 --jobserver-auth=3,4 -- CC=cc', [3, 4]],
    ['--jobserver-fds=12,5', [12, 5]],
    ['-j --jobserver-auth=fifo:/tmp/GMfifo123', []],
    ['--jobserver-auth=-1,-1', []],
    ['--jobserver-auth=', []],
    ['-j1', []],
    ['', []],
    [undefined, []],
  ];
  for (const [makeflags, expected] of cases)
    expect([makeflags, jobserverDescriptors(makeflags)]).toEqual([makeflags, [...expected]]);
});

test('the end of a child is told exactly', () => {
  using lab = new Lab();
  for (const code of [0, 1, 101, 255]) expect(ended(lab, `exit ${code}`)).toEqual({ kind: 'exited', code });
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGPIPE', 'SIGABRT'])
    expect(ended(lab, `ulimit -c 0; kill -${signal.slice(3)} $$`)).toEqual({ kind: 'signalled', signal });
  // A shell that reports a signal as a number has exited.
  expect(ended(lab, 'exit 137')).toEqual({ kind: 'exited', code: 137 });
});

test('a program that cannot be started is an error, not an end', () => {
  using lab = new Lab();
  const body = `await runChild(['/no/such/program'], { descriptors: [] }).then(() => console.log('ended'), (error) => console.log(error.code));`;
  expect(lab.run(program(lab, 'runChild', body)).stdout.trim()).toBe('ENOENT');
});

test('what a child writes comes in order and whole, on both streams', () => {
  using lab = new Lab();
  const child = 'head -c 300000 /dev/zero; printf out; head -c 200000 /dev/zero >&2; printf err >&2';
  const body = `
    const sizes = [0, 0]; const ends = ['', ''];
    const take = (at) => (chunk) => { sizes[at] += chunk.length; ends[at] = (ends[at] + new TextDecoder().decode(chunk)).slice(-3); };
    await runChild(['bash', '-c', ${JSON.stringify(child)}], { descriptors: [], onStdout: take(0), onStderr: take(1) });
    console.log(JSON.stringify([sizes, ends]));`;
  expect(JSON.parse(lab.run(program(lab, 'runChild', body)).stdout)).toEqual([
    [300_003, 200_003],
    ['out', 'err'],
  ]);
});

test('without a receiver the child has our own streams', () => {
  using lab = new Lab();
  const body = `await runChild(['bash', '-c', 'echo out; echo err >&2'], { descriptors: [] });`;
  expect(lab.run(program(lab, 'runChild', body))).toMatchObject({ stdout: 'out\n', stderr: 'err\n' });
});

test('named descriptors reach the child at their own numbers, others do not', () => {
  using lab = new Lab();
  writeFileSync(lab.path('seven'), 'seven');
  writeFileSync(lab.path('five'), 'five');
  const child =
    'cat <&7; cat <&5; ls /proc/self/fd | while read fd; do [ $fd = 6 ] && echo " six"; done; true';
  const body = `await runChild(['bash', '-c', ${JSON.stringify(child)}], { descriptors: [7, 5] });`;
  const argv = program(lab, 'runChild', body)
    .map((item) => `'${item}'`)
    .join(' ');
  const opened = `exec 5<'${lab.path('five')}' 6<'${lab.path('five')}' 7<'${lab.path('seven')}'; exec ${argv}`;
  expect(lab.run(['bash', '-c', opened]).stdout).toBe('sevenfive');
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} sent to us reaches the child, which decides how it ends`, async () => {
    using lab = new Lab();
    const child = `trap 'exit 42' ${signal.slice(3)}; echo ready; while :; do read -t 0.05 -u 9; done 9<> <(:)`;
    const body = `
      const end = await runChild(['bash', '-c', ${JSON.stringify(child)}], { descriptors: [], onStdout: () => console.log('ready') });
      console.log(JSON.stringify(end));`;
    const run = Bun.spawn(program(lab, 'runChild', body), { stdout: 'pipe' });
    const reader = run.stdout.getReader();
    const decoder = new TextDecoder();
    let text = decoder.decode((await reader.read()).value);
    expect(text).toBe('ready\n');
    run.kill(signal);
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += decoder.decode(next.value);
    expect(text).toContain('{"kind":"exited","code":42}');
    expect(await run.exited).toBe(0);
  });
}

test('ending like a child: with its code, or by its signal', () => {
  using lab = new Lab();
  const end = (status: object): { status: number | null; signal: string | undefined } => {
    const argv = program(lab, 'endLike', `endLike(${JSON.stringify(status)});`);
    return lab.run(['bash', '-c', `ulimit -c 0; exec '${argv.join("' '")}'`]);
  };
  for (const code of [0, 3, 255]) expect(end({ kind: 'exited', code }).status).toBe(code);
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGSEGV', 'SIGPIPE', 'SIGXFSZ', 'SIGABRT'])
    expect([signal, end({ kind: 'signalled', signal }).signal]).toEqual([signal, signal]);
});

test('becoming another program: arguments, the empty ones too, and the environment with changes', () => {
  using lab = new Lab();
  const shown = 'printf "[%s]" "$0" "$@"; printf "(%s)" "$KEPT" "$CHANGED" "$NEW" "$CHANGED_TOO"';
  const body = `exec('/bin/sh', ['sh', '-c', ${JSON.stringify(shown)}, 'zero', '', 'ü b', 'two\\nlines', '${'x'.repeat(90_000)}', ''], { CHANGED: 'after', NEW: 'new' });`;
  const run = lab.run(program(lab, 'exec', body), {
    env: { KEPT: 'kept = as it was', CHANGED: 'before', CHANGED_TOO: 'longer name' },
  });
  expect(run.stdout.replace('x'.repeat(90_000), 'many')).toBe(
    '[zero][][ü b][two\nlines][many][](kept = as it was)(after)(new)(longer name)',
  );
});

test('our own arguments go on byte for byte, with something in front', () => {
  using lab = new Lab();
  const shown = 'shift; printf "%s|" "$@"';
  const body = `execArguments('/bin/sh', ['sh', '-c', ${JSON.stringify(shown)}, 'sh']);`;
  const argv = program(lab, 'execArguments', body).join("' '");
  const run = Bun.spawnSync(['bash', '-c', `exec '${argv}' $'\\xff\\xfe' '' 'a b' $'c\\n'`], {
    env: lab.env(),
  });
  expect(run.stdout.toString('latin1')).toBe('\xff\xfe||a b|c\n|');
});

test('becoming a program that is not there is an error with a name', () => {
  using lab = new Lab();
  const body = `try { exec('/no/such', ['x']); } catch (error) { console.log(error.message); }`;
  expect(lab.run(program(lab, 'exec', body)).stdout.trim()).toBe('Cannot run "/no/such": ENOENT');
});

test('SIGPIPE is back to its default in the program we become', () => {
  using lab = new Lab();
  const body = `exec('/bin/sh', ['sh', '-c', 'grep SigIgn /proc/self/status']);`;
  const ignored = /SigIgn:\s*([0-9a-f]+)/.exec(lab.run(program(lab, 'exec', body)).stdout)?.[1] ?? '';
  expect(BigInt(`0x${ignored}`) & ((1n << 12n) | (1n << 24n))).toBe(0n);
});

test('the output of a short program, or nothing', () => {
  expect(outputOf(['sh', '-c', 'echo text; echo noise >&2'])).toBe('text\n');
  expect(outputOf(['sh', '-c', 'echo text; exit 1'])).toBeUndefined();
  expect(outputOf(['sh', '-c', 'echo text; kill -9 $$'])).toBeUndefined();
  expect(outputOf(['/no/such/program'])).toBeUndefined();
});

test('a helper outlives us and holds none of our pipes', async () => {
  using lab = new Lab();
  const fifo = lab.path('fifo');
  expect(lab.run(['mkfifo', fifo]).status).toBe(0);
  // The helper waits until somebody reads: by then its starter has ended and its output is closed.
  const body = `startDetached(['sh', '-c', ${JSON.stringify(`ls -l /proc/$$/fd > ${lab.path('fds')}; pwd > ${fifo}`)}]);`;
  expect(lab.run(program(lab, 'startDetached', body)).status).toBe(0);
  expect(await Bun.file(fifo).text()).toBe('/\n');
  const streams = readFileSync(lab.path('fds'), 'utf8')
    .split('\n')
    .filter((line) => / [012] -> /.test(line));
  expect(streams.filter((line) => line.includes('/dev/null')).length).toBeGreaterThanOrEqual(2);
  expect(streams.filter((line) => line.includes('pipe:'))).toEqual([]);
});

test('the boot has one name while it lasts', () => {
  expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
});
