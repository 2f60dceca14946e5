/**
 * Which way imports run: kernel <- platform <- domain <- app. The one place that says so; ESLint (for each import) and check.ts (for Nx's
 * project graph) both read it. Tags are set in each package.json under `nx.tags`.
 *
 * @typedef {{ sourceTag: string, onlyDependOnLibsWithTags?: string[], notDependOnLibsWithTags?: string[], bannedExternalImports?: string[] }} Constraint
 */

/** @type {(...names: string[]) => string[]} */
const layers = (...names) => names.map((name) => `layer:${name}`);
const frameworks = ['@nestjs/*', '@nats-io/*', 'fastify', 'rxjs'];

/** For the code that ships. @type {Constraint[]} */
export const constraints = [
  { sourceTag: 'layer:kernel', onlyDependOnLibsWithTags: layers('kernel'), bannedExternalImports: frameworks },
  { sourceTag: 'layer:platform', onlyDependOnLibsWithTags: layers('kernel', 'platform') },
  { sourceTag: 'layer:domain', onlyDependOnLibsWithTags: layers('kernel', 'platform', 'domain') },
  { sourceTag: 'layer:app', onlyDependOnLibsWithTags: layers('kernel', 'platform', 'domain') },
  { sourceTag: 'layer:testing', onlyDependOnLibsWithTags: layers('kernel', 'testing'), bannedExternalImports: frameworks },
  { sourceTag: 'layer:e2e', onlyDependOnLibsWithTags: layers('kernel', 'platform', 'domain', 'testing') },
  { sourceTag: 'layer:tool', onlyDependOnLibsWithTags: layers('kernel', 'testing'), bannedExternalImports: frameworks },
  // The lab knows the system from outside, so no domain; the bindings it measures for themselves.
  {
    sourceTag: 'layer:lab',
    onlyDependOnLibsWithTags: layers('kernel', 'platform', 'testing', 'lab'),
    bannedExternalImports: ['@nestjs/*'],
  },
  // Among the domains, each knows those in front of which it stands.
  { sourceTag: 'scope:log', notDependOnLibsWithTags: ['scope:cache', 'scope:gateway'] },
  { sourceTag: 'scope:cache', notDependOnLibsWithTags: ['scope:gateway'] },
];

/** For tests: the same, and everybody may use the testing library. @type {Constraint[]} */
export const testConstraints = constraints.map((constraint) => ({
  ...constraint,
  ...(constraint.onlyDependOnLibsWithTags && { onlyDependOnLibsWithTags: [...constraint.onlyDependOnLibsWithTags, 'layer:testing'] }),
}));

/** What the engines of a domain may not know: how they are wired, called and reached. Patterns as in .gitignore. */
export const engineBans = [
  { group: ['@nestjs/*', 'reflect-metadata', 'rxjs'], message: 'An engine knows no framework: wire it in the module.' },
  {
    group: ['@nats-io/*', '@diptych/messaging', '@diptych/messaging/*'],
    message: 'An engine knows no binding: reach it through an adapter.',
  },
  { group: ['@diptych/host', 'fastify'], message: 'An engine does not know the process that it runs in.' },
  {
    group: ['**/adapters/**', '**/*.module.js', '**/*.wire.js'],
    message: 'Adapters and modules import the engine, never the other way round.',
  },
];
