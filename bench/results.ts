// The raw outcome of one run: what docs/benchmarks.json holds and everything in docs/benchmarks.md is made from.

export type ToolName =
  | 'plain'
  | 'kache'
  | 'kache+exe'
  | 'sccache'
  | 'rust-kache'
  | 'rust-kache+exe'
  | 'floor'
  | 'floor-libs';

/** `cold`: nothing built, nothing cached. The others name what was there before the build. */
export type Phase = 'cold' | 'warm-elsewhere' | 'warm-same-directory' | 'edited-leaf';

export type BuildSample = {
  application: string;
  tool: ToolName;
  phase: Phase;
  round: number;
  repeat: number;
  wallMs: number;
  /** User and system time of cargo and all it waited for; servers are not in it. */
  cpuMs: number;
};

/** A build with nothing to do. `units` counts what cargo compiled all the same. */
export type UntouchedSample = {
  application: string;
  tool: ToolName;
  round: number;
  directory: 'first' | 'second' | 'second again';
  units: number;
};

/** One library crate restored again and again, outside cargo, outputs deleted before each run. */
export type HitSample = {
  application: string;
  tool: ToolName;
  crate: string;
  cpuMs: number[];
  wallMs: number[];
  peakRssBytes: number;
};

/** CPU of the tool's background processes during all hits of one application, divided by their number. */
export type ServerCpuSample = { application: string; tool: ToolName; hits: number; cpuMsPerHit: number };

export type DiskSample = {
  application: string;
  tool: ToolName;
  filesystem: LoopFilesystem;
  /** What `du` says of the second target directory. */
  targetBytes: number;
  /** What `df` says the second build added to the file system. */
  addedBytes: number;
  /** Sizes of its .rlib and .rmeta files, each inode once. */
  libraryBytes: number;
  /** What `df` says became free when they were deleted: the bytes nothing else shared. */
  libraryOwnBytes: number;
};

export type LoopFilesystem = 'ext4' | 'xfs' | 'btrfs';

/** Compiler processes started by the first build in a second directory. */
export type CompilerSample = { application: string; tool: ToolName; libraries: number; others: number };

export type Failure = {
  application: string;
  tool: ToolName;
  step: string;
  message: string;
  stderrTail: string;
};

export type ApplicationFacts = {
  name: string;
  version: string;
  packages: number;
  units: number;
};

export type ToolFacts = { name: ToolName; version: string; what: string };

export type RoundFacts = { application: string; round: number; order: ToolName[]; loadAverage: number };

export type Machine = {
  date: string;
  cpu: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  filesystem: string;
  versions: { name: string; version: string }[];
};

export type Results = {
  machine: Machine;
  rounds: number;
  repeats: number;
  applications: ApplicationFacts[];
  tools: ToolFacts[];
  notRun: { what: string; why: string }[];
  failures: Failure[];
  order: RoundFacts[];
  builds: BuildSample[];
  untouched: UntouchedSample[];
  hits: HitSample[];
  serverCpu: ServerCpuSample[];
  emptyBun: { cpuMs: number[]; wallMs: number[]; peakRssBytes: number } | null;
  disk: DiskSample[];
  compilers: CompilerSample[];
};

/** The middle value, or the mean of the two in the middle; null for none. */
export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted[sorted.length >> 1];
  const low = sorted[(sorted.length - 1) >> 1];
  return high === undefined || low === undefined ? null : (high + low) / 2;
}
