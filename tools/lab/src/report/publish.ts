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
const PICTURE = `${FOLDER}/compare.png`;
const DATA = `${FOLDER}/data/compare.results.json`;

/** Where a published run is shown, each from the root of the repository, with the links as they read from there. */
export const PUBLISHED = {
  data: DATA,
  documents: [
    { file: 'README.md', behind: `[method, caveats and data](${FOLDER}/compare.md)`, picture: PICTURE },
    {
      file: `${FOLDER}/compare.md`,
      behind: '[results](data/compare.results.json) and [manifest](data/compare.manifest.json)',
      picture: 'compare.png',
    },
  ],
} as const;

const BEGIN = '<!-- a published run: written by npm run lab -- publish -->';
const END = '<!-- end of the published run -->';
const NOTHING_YET = 'No run has been published yet: `npm run compare`, then `npm run lab -- publish <results.json>`.';

/**
 * Puts a run into the documents: its results and manifest under `docs/experiments/data/`, a picture of its page where a Chromium is found, and the
 * marked blocks of README.md and docs/experiments/compare.md. Works on the repository in the current directory. Safe to repeat.
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
  if (!existsSync(manifest)) throw new Error(`${manifest} is not there: results are published together with their manifest`);
  for (const document of PUBLISHED.documents) blockOf(readFileSync(document.file, 'utf8'), document.file);
  mkdirSync(dirname(DATA), { recursive: true });
  if (resolve(file) !== resolve(DATA)) {
    copyFileSync(file, DATA);
    copyFileSync(manifest, join(dirname(DATA), 'compare.manifest.json'));
    takePicture(file);
  }
  for (const document of PUBLISHED.documents) {
    const before = readFileSync(document.file, 'utf8');
    writeFileSync(
      document.file,
      before.replace(blockOf(before, document.file), () => blockFor(report, document)),
    );
    process.stdout.write(`${document.file}\n`);
  }
  process.stdout.write(`${DATA}\n`);
  return 0;
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
export function blockOf(text: string, file: string): string {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for a published run: it wants the lines "${BEGIN}" and "${END}"`);
  return text.slice(from, to + END.length);
}

/** What should stand there. @param report undefined: no run has been published */
export function blockFor(report: LabReport | undefined, { behind, picture }: (typeof PUBLISHED.documents)[number]): string {
  const links = { behind, picture: existsSync(PICTURE) ? picture : undefined };
  return `${BEGIN}\n\n${report ? publishedBlock(report, links) : NOTHING_YET}\n\n${END}`;
}

/** The top of the page, three sentences and the first chart, in the light colours. Without a Chromium there is none, and no old one either. */
function takePicture(file: string): void {
  rmSync(PICTURE, { force: true });
  renderAgain(file);
  const html = pathToFileURL(resolve(dirname(file), 'report.html')).href;
  for (const program of [process.env['DIPTYCH_CHROMIUM'], 'chromium', 'chromium-browser', 'google-chrome']) {
    if (!program) continue;
    const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const args = ['--headless', '--disable-gpu', '--hide-scrollbars', '--window-size=960,1500', `--screenshot=${resolve(PICTURE)}`, html];
    const { error } = spawnSync(program, [...asRoot, ...args], { timeout: 60_000, stdio: 'ignore' });
    if (!error && existsSync(PICTURE)) return void process.stdout.write(`${PICTURE}\n`);
  }
  process.stdout.write('no picture: no Chromium was found (DIPTYCH_CHROMIUM names one)\n');
}
