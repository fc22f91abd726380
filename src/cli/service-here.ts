// The daemon as a service of this user on this system: for `init`, `daemon install` and `doctor`.
import { installService, type Service, serviceFor, serviceState } from '../daemon/service.ts';
import { outputOf } from '../sys/process.ts';
import { nativePath } from './binary.ts';

export interface ServiceHere {
  readonly service: Service;
  readonly path: string;
  readonly state: ReturnType<typeof serviceState>;
  /** The program that manages services; undefined where there is none, as in most containers. */
  readonly manager: string | undefined;
}

export function serviceHere(): ServiceHere {
  const service = serviceFor(process.platform, nativePath(), process.env);
  const [name = ''] = service.enable[0] ?? [];
  const manager = Bun.which(name) === null ? undefined : name;
  return { service, path: service.path, state: serviceState(service), manager };
}

export const ran = (argv: readonly string[]): boolean => outputOf(argv) !== undefined;

/** Writes the unit and starts it; says what could not be run, and returns whether everything could. */
export function installHere({ service }: Pick<ServiceHere, 'service'>): boolean {
  const failed = installService(service, ran);
  for (const command of failed) console.error(`kache: Cannot run "${command}": start the service yourself.`);
  return failed.length === 0;
}
