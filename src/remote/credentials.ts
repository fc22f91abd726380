// Where the credentials of a bucket come from: settings, the environment, or AWS's own chain (profiles, SSO, roles, web
// identity, container and instance metadata), whose library is loaded only when it is needed.

import type { Environment } from '../core/config.ts';
import type { Denied, Unavailable } from './backend.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** The credentials that hold now; `fresh` after the service has said that those before have expired. */
export type CredentialSource = (fresh: boolean) => Promise<Credentials | Denied | Unavailable>;

export interface CredentialSettings {
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly sessionToken: string | undefined;
  readonly profile: string | undefined;
}

/** Renewed this long before they expire. */
const MARGIN_MS = 5 * 60 * 1000;
/** Without an expiry they are looked up again after this. */
const LASTS_MS = 15 * 60 * 1000;

export function credentialSource(settings: CredentialSettings, env: Environment): CredentialSource {
  const given = staticCredentials(settings, env);
  if (given !== undefined) return async () => given;
  return chain(settings.profile ?? env['AWS_PROFILE'], env);
}

function staticCredentials(settings: CredentialSettings, env: Environment): Credentials | undefined {
  const of = (id?: string, secret?: string, token?: string): Credentials | undefined =>
    id === undefined || secret === undefined || id === '' || secret === ''
      ? undefined
      : {
          accessKeyId: id,
          secretAccessKey: secret,
          ...(token === undefined || token === '' ? {} : { sessionToken: token }),
        };
  const own = of(settings.accessKey, settings.secretKey, settings.sessionToken);
  // A profile that was asked for goes before the variables that lie around.
  if (own !== undefined || settings.profile !== undefined) return own;
  return of(env['AWS_ACCESS_KEY_ID'], env['AWS_SECRET_ACCESS_KEY'], env['AWS_SESSION_TOKEN']);
}

/** The library reads this process's variables; those of the caller are put there while it looks. */
function chain(profile: string | undefined, env: Environment): CredentialSource {
  let known: { credentials: Credentials; untilMs: number } | undefined;
  let pending: Promise<Credentials | Denied | Unavailable> | undefined;
  const resolve = async (): Promise<Credentials | Denied | Unavailable> => {
    using _turn = await turns.take();
    try {
      const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
      using _there = new EnvironmentOverlay(env);
      const found = await fromNodeProviderChain({
        ...(profile === undefined ? {} : { profile }),
        ...(env['HOME'] === undefined ? {} : filesBelow(env)),
        clientConfig: { maxAttempts: 2 },
        timeout: 1000,
        maxRetries: 1,
      })();
      const credentials: Credentials = {
        accessKeyId: found.accessKeyId,
        secretAccessKey: found.secretAccessKey,
        ...(found.sessionToken === undefined ? {} : { sessionToken: found.sessionToken }),
      };
      const untilMs = (found.expiration?.getTime() ?? Date.now() + LASTS_MS + MARGIN_MS) - MARGIN_MS;
      known = { credentials, untilMs };
      return credentials;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { kind: 'denied', detail: `no credentials: ${error.message.split('\n')[0]}` };
    }
  };
  return async (fresh) => {
    if (!fresh && known !== undefined && Date.now() < known.untilMs) return known.credentials;
    pending ??= resolve().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}

const filesBelow = (env: Environment): { filepath: string; configFilepath: string } => ({
  filepath: env['AWS_SHARED_CREDENTIALS_FILE'] ?? `${env['HOME']}/.aws/credentials`,
  configFilepath: env['AWS_CONFIG_FILE'] ?? `${env['HOME']}/.aws/config`,
});

/** Takes turns: the variables of the process are one thing for all. */
class Turns {
  #last: Promise<void> = Promise.resolve();

  async take(): Promise<Disposable> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    return { [Symbol.dispose]: resolve };
  }
}

const turns = new Turns();

/** This process's `AWS_` variables and home replaced by another environment's, until the end of the scope. */
class EnvironmentOverlay implements Disposable {
  readonly #before = new Map<string, string | undefined>();

  constructor(env: Environment) {
    const isOurs = (name: string): boolean => name === 'HOME' || name.startsWith('AWS_');
    for (const name of new Set([...Object.keys(process.env), ...Object.keys(env)].filter(isOurs))) {
      this.#before.set(name, process.env[name]);
      this.#set(name, env[name]);
    }
  }

  #set(name: string, value: string | undefined): void {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }

  [Symbol.dispose](): void {
    for (const [name, value] of this.#before) this.#set(name, value);
  }
}
