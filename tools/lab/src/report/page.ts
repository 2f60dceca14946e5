import type { Conclusion } from '../conclusion.js';
import type { Contrast, Experiment, LabReport, Run } from '../results.js';
import { capabilityOf } from '../experiments/crash-score.js';
import { chartOf } from './charts.js';
import { escape } from './drawing.js';
import { comparedIn, labelOf, middleOf, verdictOf } from './figures.js';
import { scalingTable } from './scaling-tables.js';

/** One self-contained page: no script, nothing loaded from anywhere, light and dark, for a phone and for paper. */
export function page(report: LabReport, conclusion: Conclusion): string {
  const { meta } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Diptych: monolith and services compared</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Monolith and services, side by side</h1>
<p class="outcome ${conclusion.outcome.replace(' ', '-')}">Outcome: <strong>${conclusion.outcome}</strong>${conclusion.reasons.length > 0 ? ` – ${escape(conclusion.reasons.join('; '))}` : ''}</p>
${conclusion.unexpected.length === 0 ? '' : `<p>Not as expected: ${escape(conclusion.unexpected.join('; '))}</p>\n`}<ul class="sentences">${conclusion.sentences.map((sentence) => `<li>${escape(sentence)}</li>`).join('')}</ul>
<ul class="notes">${conclusion.notes.map((note) => `<li>${escape(note)}</li>`).join('')}</ul>
<p class="legend"><span class="monolith">● monolith</span> <span class="services">● services</span> – every dot is a run with fresh processes, a hollow one is void, a stroke is the median</p>
</header>
<main>
${report.experiments.map((experiment) => section(experiment, meta.replay)).join('\n')}
</main>
<footer>
<h2>How this was measured</h2>
<dl>
<dt>Repeat it</dt><dd><code>${escape(meta.replay)}</code></dd>
<dt>When</dt><dd>${escape(meta.startedAt)}, ${meta.seconds} s</dd>
<dt>Commit</dt><dd><code>${escape(meta.commit)}</code>${meta.dirty ? ' with uncommitted changes' : ''}</dd>
<dt>Machine</dt><dd>${escape(meta.machine.cpu)}, ${meta.machine.cores} cores, ${(meta.machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ${escape(meta.machine.platform)} ${escape(meta.machine.kernel)}; ${escape(meta.profile)}</dd>
<dt>Versions</dt><dd>Node ${escape(meta.versions.node)}, nats-server ${escape(meta.versions.nats)}</dd>
<dt>Plan</dt><dd>decided before the run, <code>${escape(meta.planHash)}</code>; whole in <code>manifest.json</code></dd>
<dt>Void blocks</dt><dd>${escape(voidWords(report))}</dd>
</dl>
<p>Latency runs from the moment a request was scheduled, not from when it could be sent; what failed or timed out counts at the timeout. The unit is one run: all arms
back to back in random order with the same seed, compared in pairs by the Hodges–Lehmann estimate with the exact interval of Wilcoxon's signed-rank test. The first measure of each table is its primary.
Both panels have the same cores and no limit of memory. One machine: disk, kernel and power are shared, so the failure of a host is untested. The figures hold for this system on this machine.</p>
</footer>
</body>
</html>
`;
}

export function voidWords({ gates }: LabReport): string {
  const each = gates.voidBlocks.map(({ experiment, block, why }) => `${experiment} ${block + 1}: ${why}`);
  return [
    ...(each.length === 0 ? ['none'] : each),
    ...(gates.refused === undefined ? [] : [`so nothing is compared: ${gates.refused}`]),
  ].join('; ');
}

function section(experiment: Experiment, replay: string): string {
  const { title, claim, expectation, contrasts, findings, survival, caveat } = experiment;
  const scaling = scalingTable(experiment);
  return `<section id="${experiment.id}">
<h2>${escape(title)}</h2>
<p><em>Claim:</em> ${escape(claim)} <em>Expected:</em> ${escape(expectation)}</p>
<div class="chart">${chartOf(experiment)}</div>
${scaling ? figuresTable(scaling) : ''}
${contrasts.length === 0 ? '' : `<div class="wide"><table><thead><tr>${CONTRAST_HEADS.map((head) => `<th>${head}</th>`).join('')}</tr></thead><tbody>${contrasts.map((each) => contrastRow(each, experiment.runs)).join('')}</tbody></table></div>`}
${survival && survival.length > 0 ? survivalTable(survival) : ''}
${findings.length === 0 ? '' : `<ul>${findings.map((finding) => `<li>${escape(finding)}</li>`).join('')}</ul>`}
<p class="caveat">${escape(caveat)} Again: <code>${escape(replay)}</code></p>
</section>`;
}

function figuresTable([heads = [], ...rows]: readonly string[][]): string {
  return `<div class="wide"><table><thead><tr>${heads.map((head) => `<th>${escape(head)}</th>`).join('')}</tr></thead><tbody>${rows.map((cells) => row(heads, cells)).join('')}</tbody></table></div>`;
}

const CONTRAST_HEADS = ['measure', 'monolith', 'services', 'services / monolith', '95 % interval', 'blocks', 'verdict'];
const SURVIVAL_HEADS = ['capability', 'killed', 'expected', 'seen', 'good while away'];

/** On a phone the head of a table has no room: each cell says by itself what it is. */
function row(heads: readonly string[], cells: readonly string[], className = ''): string {
  const body = cells.map((cell, i) => `<td data-head="${heads[i]}">${escape(cell)}</td>`).join('');
  return `<tr${className === '' ? '' : ` class="${className}"`}>${body}</tr>`;
}

function contrastRow(contrast: Contrast, runs: readonly Run[]): string {
  const { blocks, winner } = contrast;
  const cells = [
    labelOf(contrast),
    middleOf(contrast, runs, 'monolith'),
    middleOf(contrast, runs, 'services'),
    ...comparedIn(contrast),
    String(blocks),
    verdictOf(contrast),
  ];
  return row(CONTRAST_HEADS, cells, winner && `won-by-${winner}`);
}

function survivalTable(survival: NonNullable<Experiment['survival']>): string {
  const body = survival
    .map((cell) => ({ ...cell, capability: capabilityOf(cell) }))
    .map(({ capability, arm, killed, expected, seen, availability }) =>
      row(
        SURVIVAL_HEADS,
        [
          capability,
          killed === arm ? `the whole ${arm}` : `${killed} of the ${arm}`,
          expected,
          seen,
          availability === null ? '—' : `${(availability * 100).toFixed(0)} %`,
        ],
        expected !== seen && seen !== 'not measured' ? 'surprise' : '',
      ),
    )
    .join('');
  return `<div class="wide"><table><thead><tr>${SURVIVAL_HEADS.map((head) => `<th>${head}</th>`).join('')}</tr></thead><tbody>${body}</tbody></table></div>`;
}

const STYLE = `
:root { --ink: #1b1f24; --paper: #fdfdfb; --faint: #6b7280; --line: #d9dcdf; --monolith: #9a3b00; --services: #005f9e; --fault: #b00020; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --paper: #16181b; --faint: #9aa1aa; --line: #363b41; --monolith: #ff9d5c; --services: #6cb8f0; --fault: #ff5c75; --good: #56d364; } }
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --monolith: #9a3b00; --services: #005f9e; --fault: #b00020; } figure, tr { break-inside: avoid; } h2, figcaption { break-after: avoid; } body { max-width: none; padding: 0; font-size: 11pt; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
.outcome.pass strong { color: var(--good); } .outcome.fail strong, .surprise td, .outcome.cannot-say strong { color: var(--fault); }
.sentences li { margin: .4rem 0; } .legend, .caveat, .notes { color: var(--faint); font-size: .9rem; }
span.monolith { color: var(--monolith); } span.services { color: var(--services); }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; }
.chart svg { max-width: 100%; height: auto; } .phone { display: none; }
code { white-space: nowrap; } .won-by-monolith td:last-child { color: var(--monolith); } .won-by-services td:last-child { color: var(--services); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; } tbody tr:last-child td { border-bottom: 0; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); }
dt { font-weight: 600; } dd { margin: 0 0 .4rem; } code { font-size: .9em; overflow-wrap: anywhere; }
td:nth-child(n+2):nth-child(-n+5) { white-space: nowrap; }
@media screen and (max-width: 600px) {
  .desk, thead { display: none; } .phone { display: block; } code { white-space: normal; } ul { padding-left: 1.2rem; }
  table, tbody { display: block; } tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .05rem 0; }
  td:first-child { font-weight: 600; white-space: normal; } td:not(:first-child)::before { content: attr(data-head); color: var(--faint); }
}
`;
