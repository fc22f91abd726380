// The daemon as a service of the user: a systemd unit on Linux, a launchd agent on macOS.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Environment } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';

export interface Service {
  readonly path: string;
  readonly text: string;
  /** Commands that make it hold, and that take it away. */
  readonly enable: readonly (readonly string[])[];
  readonly disable: readonly (readonly string[])[];
}

const LABEL = 'dev.kache.daemon';

/** The service of this system, for a program and its environment. Pure. */
export function serviceFor(platform: string, self: string, env: Environment): Service {
  const home = env['HOME'];
  if (home === undefined || !home.startsWith('/'))
    throw new KacheError('no-home', 'Cannot install the daemon: HOME is not set.');
  const kept = variables(env);
  if (platform === 'darwin') {
    const path = `${home}/Library/LaunchAgents/${LABEL}.plist`;
    return {
      path,
      text: launchdAgent(self, kept),
      enable: [['launchctl', 'load', '-w', path]],
      disable: [['launchctl', 'unload', '-w', path]],
    };
  }
  const config = env['XDG_CONFIG_HOME']?.startsWith('/') ? env['XDG_CONFIG_HOME'] : `${home}/.config`;
  return {
    path: `${config}/systemd/user/kache.service`,
    text: systemdUnit(self, kept),
    enable: [
      ['systemctl', '--user', 'daemon-reload'],
      ['systemctl', '--user', 'enable', '--now', 'kache.service'],
    ],
    disable: [['systemctl', '--user', 'disable', '--now', 'kache.service']],
  };
}

/** Where the store and the settings are. Credentials are not written into a unit: builds hand theirs over. */
function variables(env: Environment): [string, string][] {
  return [
    'KACHE_CACHE_DIR',
    'KACHE_CONFIG',
    'KACHE_SOCKET_PATH',
    'XDG_CACHE_HOME',
    'XDG_CONFIG_HOME',
  ].flatMap((name): [string, string][] =>
    env[name] === undefined || env[name] === '' ? [] : [[name, env[name]]],
  );
}

/** A value inside double quotes of a unit: `%` and `$` mean something to systemd. */
const quoted = (text: string): string =>
  `"${text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;

function systemdUnit(self: string, env: readonly [string, string][]): string {
  const set = env
    .map(([name, value]) => `Environment=${quoted(`${name}=${value}`).replaceAll('$$', '$')}\n`)
    .join('');
  return `[Unit]
Description=kache build cache daemon

[Service]
ExecStart=${quoted(self)} daemon run
${set}Restart=on-failure
RestartSec=5
MemoryHigh=768M
TimeoutStopSec=10

[Install]
WantedBy=default.target
`;
}

const xml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function launchdAgent(self: string, env: readonly [string, string][]): string {
  const set = env
    .map(([name, value]) => `    <key>${xml(name)}</key><string>${xml(value)}</string>\n`)
    .join('');
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>${LABEL}</string>
  <key>ProgramArguments</key>
  <array>
    <string>${xml(self)}</string>
    <string>daemon</string>
    <string>run</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
${set}  </dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key><false/>
  </dict>
  <key>ProcessType</key><string>Background</string>
</dict>
</plist>
`;
}

/** Whether the unit is there, and as this program writes it. */
export function serviceState({ path, text }: Service): 'absent' | 'current' | 'other' {
  if (!existsSync(path)) return 'absent';
  return readFileSync(path, 'utf8') === text ? 'current' : 'other';
}

/** Writes the unit, when it is not there as it should be, and makes it hold. Returns what could not be run. */
export function installService(
  service: Service,
  run: (argv: readonly string[]) => boolean,
): readonly string[] {
  if (serviceState(service) !== 'current') {
    mkdirSync(dirname(service.path), { recursive: true });
    writeFileSync(service.path, service.text);
  }
  return service.enable.filter((argv) => !run(argv)).map((argv) => argv.join(' '));
}

/** Takes it away; false when there was none. */
export function uninstallService(service: Service, run: (argv: readonly string[]) => boolean): boolean {
  if (!existsSync(service.path)) return false;
  for (const argv of service.disable) run(argv);
  rmSync(service.path, { force: true });
  return true;
}
