import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WORKSPACE } from '@diptych/testing';
import { OUTAGES, TITLES, type FaultName, type Fates } from '../outage-table.js';
import type { Footprint } from './footprint.js';
import type { Cell } from './outage.js';
import { ARM_NAMES, type ArmName } from './panels.js';
import { CAPABILITIES } from './probes.js';

/** Of what and where a run was. */
export interface Manifest {
  readonly at: string;
  readonly commit: string;
  readonly cores: number;
  readonly loadAtStart: number;
  /** From before the images were built until all was taken down. */
  readonly minutes: number;
}

const PAGE = 'docs/experiments/outages.md';
const FAULTS = Object.keys(OUTAGES) as FaultName[];

/**
 * Writes what a run found beside its cells, and with `publish` into the pages that show it.
 *
 * @throws Error when a run that is to be published has not looked at every row, or in which a file failed
 */
export function writePages(recordDir: string, manifest: Manifest, options: { publish: boolean; failed: readonly string[] }): void {
  const file = join(recordDir, 'cells.jsonl');
  if (!existsSync(file)) return;
  const found = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Cell);
  // In the order of the table: what ran beside each other ended in any order.
  const cells = FAULTS.flatMap((fault) => OUTAGES[fault].flatMap((row) => cellOf(found, fault, row.arm, row.name) ?? []));
  const footprintFile = join(recordDir, 'footprint.json');
  const footprint = existsSync(footprintFile) ? (JSON.parse(readFileSync(footprintFile, 'utf8')) as Footprint) : undefined;
  const body = [about(manifest), matrix(cells), proofs(cells), footprint ? footprintTable(footprint) : ''].join('\n\n');
  writeFileSync(join(recordDir, 'outages.md'), `# Outages\n\n${body}\n`);
  if (!options.publish) return;
  if (options.failed.length > 0) throw new Error(`not published, since these failed: ${options.failed.join(', ')}`);
  const missing = FAULTS.flatMap((fault) =>
    OUTAGES[fault].filter((row) => !cellOf(cells, fault, row.arm, row.name)).map(({ arm, name }) => `${fault} ${arm} ${name}`),
  );
  if (missing.length > 0 || !footprint)
    throw new Error(`not published, since these were not run: ${[...missing, footprint ? '' : 'footprint'].join(', ')}`);
  replaceIn(PAGE, body);
  replaceIn('README.md', summary(cells));
  spawnSync('prettier', ['--log-level', 'warn', '--write', PAGE, 'README.md'], { cwd: WORKSPACE });
}

const BEGIN = '<!-- a run of the container tests: written by npm run test:containers -- --update -->';
const END = '<!-- end of the run -->';

function replaceIn(page: string, text: string): void {
  const path = join(WORKSPACE, page);
  const before = readFileSync(path, 'utf8');
  const [from, to] = [before.indexOf(BEGIN), before.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${page} has no place for the run`);
  writeFileSync(path, `${before.slice(0, from + BEGIN.length)}\n\n${text}\n\n${before.slice(to)}`);
}

function cellOf(cells: readonly Cell[], fault: FaultName, arm: ArmName, name: string): Cell | undefined {
  return cells.findLast((cell) => cell.fault === fault && cell.arm === arm && cell.name === name);
}

function about({ at, commit, cores, loadAtStart, minutes }: Manifest): string {
  return `Begun ${at.slice(0, 16).replace('T', ' ')} UTC, commit ${commit}, ${cores} cores, load average ${loadAtStart.toFixed(0)} at the beginning; the run took ${minutes.toFixed(1)} minutes, from before its images were built until all was taken down.`;
}

function matrix(cells: readonly Cell[]): string {
  const rows = cells.map((cell) => [
    TITLES[cell.fault],
    cell.arm,
    cell.name,
    outlives(cell),
    settled(cell),
    `${Math.round(cell.goodput * 100)} %`,
    wellAgain(cell),
    lostOf(cell),
    String(cell.repeatsAfter),
  ]);
  return table(
    [
      'fault',
      'arm',
      'of',
      'what survives while it lasts',
      'and does so after',
      'right answers',
      'well again after',
      'writes lost',
      'repeats left',
    ],
    rows,
  );
}

function proofs(cells: readonly Cell[]): string {
  const lines = cells.map((cell) => `- ${TITLES[cell.fault]}, ${cell.arm}, ${cell.name}: ${cell.proof}`);
  return `How each injection was proved:\n\n${lines.join('\n')}`;
}

const outlives = (cell: Cell) => fatesText(cell.seen) + (sameFates(cell) ? '' : ` (expected: ${fatesText(cell.expected)})`);
/** Of nothing that survives, nothing can be said. */
const settled = ({ seen, unsettledMs }: Cell) => (Object.values(seen).includes('survives') ? `${(unsettledMs / 1000).toFixed(1)} s` : '–');
const wellAgain = ({ recoveryMs }: Cell) => `${(recoveryMs / 1000).toFixed(1)} s`;
/** Of keys with an acknowledged write. */
const lostOf = ({ lost, written }: Cell) => `${lost} of ${written}`;

/** One row a fault: what of each arm's capabilities outlives it, after how long it is well again, and how many writes are lost. */
function summary(cells: readonly Cell[]): string {
  const rows = FAULTS.map((fault) => [
    TITLES[fault],
    ...ARM_NAMES.map((arm) => {
      const ofArm = cells.filter((cell) => cell.fault === fault && cell.arm === arm);
      return ofArm.length === 0
        ? '–'
        : ofArm
            .map((cell) => `${ofArm.length > 1 ? `${cell.name}: ` : ''}${outlives(cell)}; ${wellAgain(cell)}, ${lostOf(cell)}`)
            .join('<br>');
    }),
  ]);
  return table(['fault', ...ARM_NAMES], rows);
}

function footprintTable({ imageBytes, upMs, arms }: Footprint): string {
  const rows = ARM_NAMES.map((arm) => [
    arm,
    `${(arms[arm].memoryBytes / 1e6).toFixed(0)} MB`,
    `${(arms[arm].startMs / 1000).toFixed(1)} s`,
  ]);
  return [
    `The image has ${(imageBytes / 1e6).toFixed(0)} MB; both panels were up and healthy ${(upMs / 1000).toFixed(1)} s after \`docker compose up\`.`,
    table(['arm', 'idle memory, all containers', 'stopped to the first answered write and read'], rows),
  ].join('\n\n');
}

function sameFates({ seen, expected }: Cell): boolean {
  return CAPABILITIES.every((capability) => seen[capability] === expected[capability]);
}

function fatesText(fates: Fates): string {
  const ofFate = (fate: string) => CAPABILITIES.filter((capability) => fates[capability] === fate);
  const [survives, interrupted] = [ofFate('survives'), ofFate('interrupted')];
  if (survives.length === CAPABILITIES.length) return 'everything';
  if (interrupted.length === CAPABILITIES.length) return 'everything, interrupted';
  const parts = [
    ...(survives.length > 0 ? [survives.join(', ')] : []),
    ...(interrupted.length > 0 ? [`interrupted: ${interrupted.join(', ')}`] : []),
  ];
  return parts.join('; ') || 'nothing';
}

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
