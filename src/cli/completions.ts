// Shell completion: the scripts, and the answers the scripts ask for.
import { readdirSync } from 'node:fs';
import type { Argument, Complete, Option, RootCommand } from '@bomb.sh/tab';
import type { Command } from 'commander';
import { ALL_SETTINGS } from '../core/later-settings.ts';
import { takeInventory } from '../store/inventory.ts';
import { openStore } from '../store/store.ts';
import { settingsHere } from './open.ts';
import { print } from './terminal.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** Prints the script for a shell. It asks `kache complete` at each press of the key. */
export async function completions(shell: string): Promise<void> {
  const { script } = await import('@bomb.sh/tab');
  const text = printedBy(() => script(shell, 'kache', 'kache'));
  // A constant could not be set again: neither by a second reading nor by another program's script.
  print(text.replace(/^readonly (?=ShellComp)/gm, ''));
}

/** What a library that knows only the console prints. */
function printedBy(run: () => void): string {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => lines.push(line);
  try {
    run();
  } finally {
    console.log = log;
  }
  return lines.join('\n');
}

/** `kache complete -- <words>`: what can follow, one candidate a line, as the scripts read it. */
export async function complete(program: Command, words: readonly string[]): Promise<void> {
  const { default: tab } = await import('@bomb.sh/tab/commander');
  const root = tab(program);
  // The command of the scripts themselves.
  root.commands.delete('complete');
  addValues(root, words.at(-1) ?? '');
  root.parse([...words]);
}

/** What the command line's own description cannot tell: settings, crates of the store, folders. */
function addValues(root: RootCommand, word: string): void {
  const settings = (give: Complete): void => {
    for (const { key, summary } of ALL_SETTINGS) if (key !== undefined) give(key, summary);
  };
  const crates = (give: Complete): void => {
    for (const name of cratesHere()) give(name, '');
  };
  const folders = (give: Complete): void => {
    for (const name of pathsBeside(word, false)) give(name, '');
  };
  const files = (give: Complete): void => {
    for (const name of pathsBeside(word, true)) give(name, '');
  };
  for (const name of ['config get', 'config set', 'config unset']) argumentOf(root, name, settings);
  argumentOf(root, 'list', crates);
  optionOf(root, 'purge', { name: 'crate-name', values: crates });
  argumentOf(root, 'clean', folders);
  optionOf(root, 'report', { name: 'root', values: folders });
  for (const name of ['pack save', 'pack restore', 'pack show']) argumentOf(root, name, files);
  optionOf(root, 'pack save', { name: 'base', values: files });
}

function argumentOf(root: RootCommand, command: string, values: (give: Complete) => void): void {
  const [argument]: (Argument | undefined)[] = [...(root.commands.get(command)?.arguments.values() ?? [])];
  if (argument !== undefined) argument.handler = values;
}

interface OptionValues {
  readonly name: string;
  readonly values: (give: Complete) => void;
}

function optionOf(root: RootCommand, command: string, { name, values }: OptionValues): void {
  const option: Option | undefined = root.commands.get(command)?.options.get(name);
  if (option !== undefined) option.handler = values;
}

function cratesHere(): string[] {
  const store = openStore(settingsHere().settings.cacheDir);
  if (store.kind === 'problem') return [];
  const names = takeInventory(store).entries.flatMap(({ entry }) => entry?.crateName ?? []);
  return [...new Set(names)].sort();
}

/** Folders a half-written path may mean, and files where they are wanted. */
function pathsBeside(word: string, withFiles: boolean): string[] {
  const folder = word.slice(0, word.lastIndexOf('/') + 1);
  try {
    return readdirSync(folder === '' ? '.' : folder, { withFileTypes: true }).flatMap((entry) => {
      if (entry.isDirectory()) return [`${folder}${entry.name}/`];
      return withFiles && entry.isFile() ? [`${folder}${entry.name}`] : [];
    });
  } catch (error) {
    // No such folder, or one that is closed to us: nothing to offer.
    if (error instanceof Error && 'code' in error) return [];
    throw error;
  }
}
