import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { allowed, HOST_SETTINGS, hostedSettings, httpSettings, TELEMETRY_SETTINGS, THREADS_SETTINGS, type Settings } from '@diptych/host';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { APPS, moduleOf } from './every-app.js';

/*
 * docs/reference/config.md is written from the settings that the code defines, and says who reads them from what the apps
 * import. `npx vitest run apps/monolith -t config.md --update` writes it anew.
 */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PAGE = `${ROOT}docs/reference/config.md`;

it('config.md has every setting of every app, and nothing else', async () => {
  const readers = new Map<Settings, string[]>();
  for (const app of APPS)
    for (const settings of hostedSettings(await moduleOf(app))) readers.set(settings, [...(readers.get(settings) ?? []), app]);
  const sections = [
    section(httpSettings(0), 'every app', { port: APPS.map((app) => `${portOf(app)} (${app})`).join(', ') }),
    section(HOST_SETTINGS, 'every app'),
    section(TELEMETRY_SETTINGS, 'every app'),
    section(THREADS_SETTINGS, 'monolith'),
    ...[...readers]
      .sort(([a], [b]) => a.prefix.localeCompare(b.prefix))
      .map(([settings, apps]) => section(settings, apps.length === APPS.length ? 'every app' : apps.join(', '))),
  ];
  const page = await format([INTRODUCTION, ...sections, OTHERS].join('\n'), { ...(await resolveConfig(PAGE)), filepath: PAGE });
  await expect(page).toMatchFileSnapshot(PAGE);
});

it('config.md has every other variable that some file reads, and nothing else', () => {
  const read = new Set<string>();
  for (const path of globSync(['*.{ts,mjs}', '{apps,libs,tools,e2e}/**/*.{ts,mjs}'], {
    cwd: ROOT,
    exclude: ['**/node_modules', '**/dist'],
  }))
    for (const [, variable] of readFileSync(`${ROOT}${path}`, 'utf8').matchAll(/process\.env(?:\.|\[')(DIPTYCH_\w+)/g)) read.add(variable!);
  const named = [...OTHERS.matchAll(/^\| `(DIPTYCH_\w+)`/gm)].map(([, variable]) => variable);
  expect(named.toSorted()).toEqual([...read].sort());
});

const INTRODUCTION = `# Settings

Every process reads its settings from environment variables, once, at its start, before it opens anything. An empty variable counts as
not set. A value that is not allowed, and a variable that looks like a setting of a part the process hosts but is none, end the start
with exit code 2 and a sentence for each. Times are in milliseconds and sizes in bytes, as the names say.

This page is written from the code and tested against it: \`npx vitest run apps/monolith -t config.md --update\`.
`;

const OTHERS = `## Others

| variable | meaning |
|---|---|
| \`DIPTYCH_DEBUG\` | \`1\`: a process that ends by an error, the lab and the poller too, adds its stack to the sentence on stderr |
| \`DIPTYCH_NATS_SERVER\` | set-up, \`npm run services\`, tests and lab: the nats-server program to run, instead of the one on the PATH |
| \`DIPTYCH_HAPROXY\` | set-up and lab: the haproxy program to run, instead of the one on the PATH |
| \`DIPTYCH_NATS_PORT\` | \`npm run services\` and \`nx serve nats\`: the port of the broker, instead of 4222 |
| \`DIPTYCH_SEED\` | tests: the seed of every random choice; each run prints its own |
| \`DIPTYCH_LONG\` | tests: \`1\` runs them in full sizes, as \`npm run test:long\` does |
| \`DIPTYCH_CHROMIUM\` | The Chromium that takes the picture of a published report; default: the one on the path. |
| \`DIPTYCH_CONTAINERS\` | tests: \`1\` runs the container tests too, as \`npm run test:containers\` does |
| \`DIPTYCH_BENCH_ROUNDS\` | \`npm run bench:http\`: how many rounds are measured, 7 or more, instead of 9 |
`;

function section(settings: Settings, readBy: string, defaults: Record<string, string> = {}): string {
  const rows = [...settings.variables].map(([name, variable]) => {
    const schema = settings.schema.properties[name] as { default?: string | number | boolean; description: string };
    const preset = defaults[name] ?? (schema.default === undefined ? '—' : `\`${String(schema.default)}\``);
    return `| \`${variable}\` | ${preset} | ${cell(allowed(schema))} | ${cell(schema.description)} |`;
  });
  return [
    `## ${settings.prefix}`,
    '',
    `Read by: ${readBy}.`,
    '',
    '| variable | default | allowed | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '\\<');
}

function portOf(app: string): string {
  return /httpPort: (\d+)/.exec(readFileSync(fileURLToPath(new URL(`../../${app}/src/start.ts`, import.meta.url)), 'utf8'))![1]!;
}
