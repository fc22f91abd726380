// The applications the suite builds: pinned versions from crates.io, and one workspace of its own.

/** What is built, what it should consist of, and how the suite touches it. */
export type Application = {
  name: string;
  /** A published crate with its own Cargo.lock, or a folder beside this file. */
  source: { kind: 'crate'; version: string } | { kind: 'folder'; path: string };
  /** Packages and compiled units (libraries, macros, build scripts, programs) of a debug build on Linux x86-64. */
  packages: number;
  units: number;
  /** Appended to in the phase "one edited leaf". */
  editedFile: string;
  /** Run after a restored build; must print the same as after a plain build. */
  program: { name: string; args: string[] };
  /** Part of `--quick`, and of the disk measurement unless asked otherwise. */
  small: boolean;
};

export const APPLICATIONS: readonly Application[] = [
  {
    name: 'workspace',
    source: { kind: 'folder', path: 'apps/workspace' },
    packages: 18,
    units: 25,
    editedFile: 'crates/units/src/lib.rs',
    program: { name: 'greenhouse', args: [] },
    small: true,
  },
  {
    name: 'zoxide',
    source: { kind: 'crate', version: '0.10.0' },
    packages: 59,
    units: 67,
    editedFile: 'src/main.rs',
    program: { name: 'zoxide', args: ['--version'] },
    small: true,
  },
  {
    name: 'dua-cli',
    source: { kind: 'crate', version: '2.32.2' },
    packages: 124,
    units: 141,
    editedFile: 'src/main.rs',
    program: { name: 'dua', args: ['--version'] },
    small: false,
  },
  {
    name: 'trippy',
    source: { kind: 'crate', version: '0.13.0' },
    packages: 210,
    units: 242,
    editedFile: 'src/main.rs',
    program: { name: 'trip', args: ['--version'] },
    small: false,
  },
];
