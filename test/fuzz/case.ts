// A case: a project to begin with, and a walk of changes and builds. Plain data, so that it can be shrunk, printed,
// saved and replayed.

/** What a library can be made of; each part writes files and reports what they hold. */
export type Part =
  | 'modules'
  | 'path-module'
  | 'includes'
  | 'env'
  | 'place'
  | 'generated'
  | 'build-dep'
  | 'macro-files'
  | 'macro-env'
  | 'macro-out'
  | 'features'
  | 'links'
  | 'lint'
  | 'assembled';

/** What a build script does whose runs are to be kept (scripts.ts). */
export type ScriptPart =
  | 'slow'
  | 'reads'
  | 'env'
  | 'tools'
  | 'headers'
  | 'tree'
  | 'gives'
  | 'prints'
  | 'takes'
  | 'beside'
  | 'place';

export type Kind = 'lib' | 'macro' | 'facade' | 'native' | 'app';
export type NativeMode = 'bundled' | 'verbatim' | 'whole' | 'not-bundled' | 'debug-info';
export type LinkMode = 'none' | 'response-file' | 'linker-script' | 'included-script';

export type TargetPlace = 'inside' | 'outside' | 'linked';

export interface PackageSpec {
  /** Its folder, and its name in the code of dependents. */
  readonly name: string;
  /** Its name in its own manifest, where two packages share one. */
  readonly cargoName?: string;
  readonly kind: Kind;
  /** A path package beside the workspace, not a member of it. */
  readonly outside: boolean;
  readonly edition: '2018' | '2021' | '2024';
  readonly crateTypes: readonly string[];
  readonly parts: readonly Part[];
  /** Names of earlier packages. */
  readonly deps: readonly string[];
  readonly native?: NativeMode;
  readonly linkMode?: LinkMode;
  /** Of a package of the registry: its versions, 0.`minor`.9000 and those after it. */
  readonly registry?: { readonly minor: number; readonly patches: number };
  readonly scripts?: readonly ScriptPart[];
}

export interface ProjectSpec {
  /** Every package after those it depends on; the application is the last. */
  readonly packages: readonly PackageSpec[];
  /** Lines of `[profile.dev]`. */
  readonly profile: readonly string[];
}

/** One edit in one checkout (`at`). Files that are not there make it do nothing, so that any step can be left out. */
export type Change =
  | { readonly op: 'value'; at: number; file: string; value: number; keepTime?: boolean }
  | { readonly op: 'append'; at: number; file: string; text: string }
  | { readonly op: 'replace'; at: number; file: string; from: string; to: string }
  | { readonly op: 'write'; at: number; file: string; text: string }
  | { readonly op: 'swap'; at: number; file: string; other: string }
  | { readonly op: 'move'; at: number; file: string; to: string }
  | { readonly op: 'copy'; at: number; file: string; to: string }
  | { readonly op: 'link'; at: number; file: string; to: string }
  | { readonly op: 'remove'; at: number; file: string }
  | { readonly op: 'restore'; at: number; file?: string }
  | { readonly op: 'sync'; at: number; from: number }
  | { readonly op: 'relocate'; at: number; to: string }
  | { readonly op: 'clean'; at: number }
  | { readonly op: 'lose'; at: number; pick: number; what: 'output' | 'fingerprint' }
  /** Another version of a package of the registry, by the lockfile. */
  | { readonly op: 'lock'; at: number; name: string; minor: number; patch: number }
  | { readonly op: 'env'; name: string; value: string | null };

export type Command = 'build' | 'build-all' | 'check' | 'clippy' | 'test';

export interface Build {
  readonly at: number;
  readonly command: Command;
  readonly release: boolean;
  readonly loud: boolean;
  readonly rustflags: string;
  /** The target folder is removed before: everything has to come from the store. */
  readonly fresh: boolean;
}

/** Changes, then builds; two builds of different checkouts run at the same time. */
export interface Round {
  readonly changes: readonly Change[];
  readonly builds: readonly Build[];
}

export interface Case {
  readonly seed: number;
  /** Whether kache keeps linked outputs, too. */
  readonly executables: boolean;
  /** Whether it keeps runs of build scripts, too: then it runs behind its launcher, which watches them. */
  readonly buildScripts?: boolean;
  /** Whether it keeps Cargo's records of packages of the registry, and fills new target folders with them. */
  readonly fingerprints?: boolean;
  /** Where the target folders are: in the workspace, or elsewhere, under their own name or behind a link in the workspace. */
  readonly targets?: TargetPlace;
  readonly project: ProjectSpec;
  /** The folders of the checkouts, below one root. */
  readonly checkouts: readonly string[];
  readonly rounds: readonly Round[];
}
