import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { conclude } from '../conclusion.js';
import type { LabReport } from '../results.js';
import { BLOCKS_OF_A_VERDICT } from '../statistics/holm.js';
import { publishedBlock } from './markdown.js';
import { readReport, renderAgain } from './write-report.js';

const FOLDER = 'docs/experiments';

/** Where runs of a command are shown, each document from the root of the repository, with the links as they read from there. */
export interface Publication {
  /** As `meta.command` has it. */
  readonly command: string;
  readonly begin: string;
  readonly end: string;
  readonly data: string;
  readonly manifest: string;
  readonly picture: string;
  readonly documents: ReadonlyArray<{ readonly file: string; readonly behind: string; readonly picture: string }>;
}

const COMPARE = publication('compare', 'compare', '', `${FOLDER}/compare.md`);

export const PUBLICATIONS: readonly Publication[] = [
  {
    ...COMPARE,
    documents: [
      { file: 'README.md', behind: `[method, caveats and data](${FOLDER}/compare.md)`, picture: COMPARE.picture },
      ...COMPARE.documents,
    ],
  },
  ...['scale-out', 'elasticity', 'coming-and-going'].map((name) =>
    publication(`lab -- run ${name}`, name, ` of ${name}`, `${FOLDER}/scaling.md`),
  ),
];

/** @param of what the marks in a document add, where it shows several runs */
function publication(command: string, name: string, of: string, file: string): Publication {
  const behind = `[results](data/${name}.results.json) and [manifest](data/${name}.manifest.json)`;
  return {
    command,
    begin: `<!-- a published run${of}: written by npm run lab -- publish -->`,
    end: `<!-- end of the published run${of} -->`,
    data: `${FOLDER}/data/${name}.results.json`,
    manifest: `${FOLDER}/data/${name}.manifest.json`,
    picture: `${FOLDER}/${name}.png`,
    documents: [{ file, behind, picture: `${name}.png` }],
  };
}

/**
 * Puts a run into the documents: its results and manifest under `docs/experiments/data/`, a picture of its page where a Chromium is found, and the
 * marked blocks of the documents that show such runs. Works on the repository in the current directory. Safe to repeat.
 *
 * @returns 0
 * @throws Error when the run ended early, cannot say, has too few blocks or uncommitted changes, or when its results have no manifest beside them
 */
export function publish(file: string): number {
  const report = readReport(file);
  const manifest = join(dirname(file), 'manifest.json');
  if (report.interrupted !== undefined)
    throw new Error(`${file} is of a run that ended early (${report.interrupted}): publish a whole one`);
  const unfit = unfitToPublish(report);
  if (unfit !== undefined) throw new Error(`${file} is not to be published: ${unfit}`);
  const where = publicationOf(report);
  const isPublished = resolve(file) === resolve(where.data);
  if (!isPublished && !existsSync(manifest))
    throw new Error(`${manifest} is not there: results are published together with their manifest`);
  for (const document of where.documents) blockOf(readFileSync(document.file, 'utf8'), document.file, where);
  mkdirSync(dirname(where.data), { recursive: true });
  if (!isPublished) {
    copyFileSync(file, where.data);
    copyFileSync(manifest, where.manifest);
    takePicture(file, where.picture);
  }
  for (const document of where.documents) {
    const before = readFileSync(document.file, 'utf8');
    writeFileSync(
      document.file,
      before.replace(blockOf(before, document.file, where), () => blockFor(report, where, document)),
    );
    process.stdout.write(`${document.file}\n`);
  }
  process.stdout.write(`${where.data}\n`);
  return 0;
}

/** @throws Error when no document shows such runs */
export function publicationOf({ meta }: LabReport): Publication {
  const found = PUBLICATIONS.find(({ command }) => command === meta.command);
  // In containers the figures are others, and the blocks in the documents are of plain processes.
  if (!found || meta.replay.includes('--runtime docker')) throw new Error(`no document shows runs of \`${meta.replay}\``);
  return found;
}

/** Why a run does not carry what a document would say of it, if so. */
export function unfitToPublish(report: LabReport): string | undefined {
  if (report.meta.dirty) return 'it ran with uncommitted changes, so nobody can repeat it';
  const { outcome, reasons } = conclude(report);
  if (outcome === 'cannot say') return `its outcome is "cannot say" (${reasons.join('; ')})`;
  const fewest = Math.min(...report.experiments.flatMap(({ contrasts }) => contrasts.slice(0, 1)).map(({ blocks }) => blocks));
  if (fewest < BLOCKS_OF_A_VERDICT) return `it has ${fewest} blocks and needs ${BLOCKS_OF_A_VERDICT} (--blocks ${BLOCKS_OF_A_VERDICT})`;
  return undefined;
}

/** What stands between the marks, marks included. @throws Error when there are none */
export function blockOf(text: string, file: string, { begin, end }: Publication): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for a published run: it wants the lines "${begin}" and "${end}"`);
  return text.slice(from, to + end.length);
}

/** What should stand there. @param report undefined: no run has been published */
export function blockFor(report: LabReport | undefined, where: Publication, { behind, picture }: Publication['documents'][number]): string {
  const links = { behind, picture: existsSync(where.picture) ? picture : undefined };
  const nothingYet = `No run has been published yet: \`npm run ${where.command}\`, then \`npm run lab -- publish <results.json>\`.`;
  return `${where.begin}\n\n${report ? publishedBlock(report, links) : nothingYet}\n\n${where.end}`;
}

/** The top of the page, in the light colours. Without a Chromium there is none, and no old one either. */
function takePicture(file: string, picture: string): void {
  rmSync(picture, { force: true });
  renderAgain(file);
  const html = pathToFileURL(resolve(dirname(file), 'report.html')).href;
  for (const program of [process.env['DIPTYCH_CHROMIUM'], 'chromium', 'chromium-browser', 'google-chrome']) {
    if (!program) continue;
    const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const args = ['--headless', '--disable-gpu', '--hide-scrollbars', '--window-size=960,1500', `--screenshot=${resolve(picture)}`, html];
    const { error } = spawnSync(program, [...asRoot, ...args], { timeout: 60_000, stdio: 'ignore' });
    if (!error && existsSync(picture)) return void process.stdout.write(`${picture}\n`);
  }
  process.stdout.write('no picture: no Chromium was found (DIPTYCH_CHROMIUM names one)\n');
}
